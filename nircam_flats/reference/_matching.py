"""Whether a flat, a fit and an exposure belong together; what does not is refused, with both sides named."""

import numpy as np

from nircam_flats._files import bare_file_name
from nircam_flats.exceptions import InvalidInputError, demand
from nircam_flats.reference._arithmetic import NO_ANSWER
from nircam_flats.reference.cutouts import covers
from nircam_flats.reference.rules import level_is_about_one
from nircam_flats.skyflat.dependence import DIVIDE_BY_GREY

__all__ = ["refuse_other_fit", "refuse_other_level", "refuse_unsuited_exposure", "refuse_without_err"]


def _called(thing, kind):
    return thing.name or f"a{'n' if kind[0] in 'aeiou' else ''} {kind} without a name"


def refuse_without_err(flat, what):
    """Raise `InvalidInputError` if ``flat`` has no errors, which ``what`` needs."""
    if flat.err is None:
        raise InvalidInputError(
            f"FlatReference.{what} needs the errors of {flat.name or 'the flat'}; it has none; give them "
            "with attrs.evolve(flat, err=...)"
        )


def refuse_other_level(ground):
    """Raise `InvalidInputError` if a ground flat is not about 1."""
    for fault in level_is_about_one(ground):
        raise InvalidInputError(f"{_called(ground, 'ground flat')}: {fault}")


def refuse_other_fit(ground, fit, *, extrapolate):
    """Raise `InvalidInputError` unless ``fit`` can correct ``ground``; return what could not be checked, or None.

    A fit belongs to the flat that its exposures in this filter were divided by. With ``extrapolate``, a grey fit
    without exposures in this filter is accepted, too.
    """
    here, filter = "FlatReference.corrected_by", ground.filter.name
    demand(fit, "surface", f"{here} needs a FlatModelFit, as FlatModelFit.from_delta makes it of a delta skyflat")
    if [step.name for step in fit.history.steps[-2:]] == [DIVIDE_BY_GREY, "fit"]:
        raise InvalidInputError(
            f"{here} needs the fit of a delta skyflat; got that of a FilterDependence, which is only what "
            f"{filter} adds to grey: fit the delta skyflat of the filter"
        )
    for what, needed, came in (
        ("detector", ground.detector, fit.detector),
        ("shape", ground.data.shape, fit.surface.shape),
    ):
        if needed != came:
            raise InvalidInputError(
                f"{here} needs a fit with the {what} of {_called(ground, 'flat')}, {needed}; got {came}"
            )
    if filter not in fit.flat_names:
        filters, grey = ", ".join(fit.flat_names) or "no filter", len(fit.flat_names) > 1
        if extrapolate and grey:
            return f"it has no exposures in {filter}, which is taken to follow the grey surface of {filters}"
        remedy = "; extrapolate=True applies the grey fit all the same" if grey else ""
        raise InvalidInputError(
            f"{here} needs a fit with exposures in {filter}, the filter of {_called(ground, 'flat')}; "
            f"got one of {filters}{remedy}"
        )
    used = bare_file_name(fit.flat_names[filter])
    if used is None or ground.name is None:
        return (
            f"{_called(ground, 'flat')} is taken for the one that the exposures in {filter} were divided by, "
            f"{used or 'which they do not name'} (R_FLAT); it cannot be checked"
        )
    if used != ground.name:
        raise InvalidInputError(
            f"{here} needs the flat that the exposures in {filter} were divided by, {used} (R_FLAT); got {ground.name}"
        )
    return None


def refuse_unsuited_exposure(exposure, *, new, old):
    """Raise `InvalidInputError` unless ``new`` can take the place of ``old`` in ``exposure`` (either can be None)."""
    here = f"FlatReference.{'undo_from' if new is None else 'apply_to'}"
    demand(exposure, "data", f"{here} needs an Exposure with its pixels (exposure.load())")
    name = _called(exposure, "exposure")
    for flat, role in ((new, "flat"), (old, "flat to replace" if new is not None else "flat")):
        if flat is not None:
            demand(flat, "corner", f"{here} needs as {role} a FlatReference")
            _refuse_other_place(exposure, flat, f"{here} needs a {role}")
    _refuse_other_state(exposure, old, here, name)
    if new is not None:
        with np.errstate(invalid="ignore"):
            senseless = ((new.data < 0) | np.isinf(new.data)) & ~NO_ANSWER.is_set(new.dq)
        if senseless.any():
            raise InvalidInputError(
                f"{here} needs a flat whose negative and infinite values are flagged; {_called(new, 'flat')} has "
                f"{np.count_nonzero(senseless)} that are not; repaired() flags them"
            )
        if exposure.err is not None or exposure.var_flat is not None:
            refuse_without_err(new, "apply_to")
    if exposure.err is not None and (exposure.var_poisson is None or exposure.var_rnoise is None):
        raise InvalidInputError(
            f"{here} needs var_poisson and var_rnoise to make the new err; {name} lacks them; read it with "
            "these planes, or without err"
        )


def _refuse_other_place(exposure, flat, needs):
    name = _called(exposure, "exposure")
    for what in ("detector", "filter"):
        needed, came = getattr(exposure, what), getattr(flat, what)
        if needed != came:
            raise InvalidInputError(
                f"{needs} with the {what} of {name}, {needed}; got {came} in {_called(flat, 'flat')}"
            )
    corner, shape = tuple(exposure.corner), exposure.data.shape
    if not covers(flat, corner, shape):
        raise InvalidInputError(
            f"{needs} that covers {name}, corner {corner} and shape {shape}; got corner {flat.corner} and shape "
            f"{flat.data.shape} in {_called(flat, 'flat')}"
        )


def _refuse_other_state(exposure, old, here, name):
    step = exposure.steps.get("S_FLAT")
    if old is None:
        if step == "COMPLETE":
            raise InvalidInputError(
                f"{here} needs the flat that {name} was divided by (S_FLAT COMPLETE), as replacing=...; got none"
            )
        return
    if step != "COMPLETE":
        raise InvalidInputError(
            f"{here} needs an exposure that a flat divided (S_FLAT COMPLETE); got {name} with S_FLAT {step}"
        )
    used = bare_file_name(exposure.flat_name)
    if used is None or used != old.name:
        remedy = "" if used and old.name else "; give the name with attrs.evolve if you know it"
        role = "flat" if here.endswith("undo_from") else "flat to replace"
        raise InvalidInputError(
            f"{here} needs as {role} the one that {name} was divided by, "
            f"{used or 'which it does not name'} (R_FLAT); got {_called(old, 'flat')}{remedy}"
        )
