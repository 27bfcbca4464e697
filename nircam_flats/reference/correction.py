"""From a ground flat and the fit of a sky flat to the flight flat."""

import attrs

from nircam_flats._fields import readonly
from nircam_flats.instrument import DQ
from nircam_flats.kernels import correct_flat
from nircam_flats.provenance import software_versions
from nircam_flats.reference._arithmetic import NO_ANSWER
from nircam_flats.reference._matching import refuse_other_fit, refuse_other_level, refuse_without_err
from nircam_flats.reference.photometry import PhotometricShift
from nircam_flats.reference.provenance import FlatProvenance

__all__ = ["STEP", "corrected", "settled"]

STEP = "correct the ground flat"
"""Name of the step in the provenance that names ground flat and fit."""


def settled(flat, surface=1.0, surface_err=0.0):
    """Return ``flat`` times a surface with 1.0 and NO_FLAT_FIELD | DO_NOT_USE where it has no answer, and how many.

    Without a surface, the values that are known stay as they are.
    """
    data, err, dq, n_given_up = correct_flat(
        flat.data, flat.err, flat.dq, surface, surface_err, no_flat=DQ.NO_FLAT_FIELD, no_answer=NO_ANSWER
    )
    return attrs.evolve(flat, data=readonly(data), err=readonly(err), dq=readonly(dq)), n_given_up


def corrected(ground, fit, *, extrapolate=False, **origins):
    """Return ``ground`` times the surface of ``fit``, and what could not be checked, as a text (None: nothing).

    ``origins`` are further settings that the provenance shall tell, such as the SHA-256 of the files. What is raised
    is told by `FlatReference.corrected_by`.
    """
    refuse_without_err(ground, "corrected_by")
    refuse_other_level(ground)
    unchecked = refuse_other_fit(ground, fit, extrapolate=extrapolate)
    flight, n_given_up = settled(ground, fit.surface, fit.err)
    extrapolated = ground.filter.name not in fit.flat_names
    name, filters = ground.name or "a ground flat", "+".join(fit.flat_names)
    settings = {"ground": name, "fit": filters, "extrapolated": extrapolated, "pixels_given_up": n_given_up}
    history = fit.history.then(
        STEP,
        **settings,
        **origins,
        software=", ".join(f"{package} {number}" for package, number in software_versions()),
    )
    provenance = FlatProvenance(
        exposures=fit.exposures,
        history=history,
        first_date=fit.first_date,
        last_date=fit.last_date,
        photometry=PhotometricShift.between(ground, flight) if flight.good.any() else None,
    )
    told = [f"Flight flat: {name} times a fitted sky flat"]
    if extrapolated:
        told.append(f"No exposures in {ground.filter}: the grey surface of {filters} is taken for it")
    if n_given_up:
        told.append(f"{n_given_up} pixels without an answer flagged, and set to 1.0")
    days = [date.utc.strftime("%Y-%m-%d") for date in (fit.first_date, fit.last_date) if date is not None]
    flight = attrs.evolve(
        flight,
        name=None,
        pedigree=" ".join(("INFLIGHT", *days)),
        description=f"Flight flat {ground.detector} {ground.filter}: {name} x sky flat"
        + (" of other filters" if extrapolated else ""),
        history=(*ground.history, *told, *fit.history.to_lines(), *provenance.to_lines()),
        provenance=provenance,
        covariance=fit.covariance,
        faults=(),
    )
    return flight, unchecked
