"""A flat field as CRDS keeps it."""

import re
import warnings
from functools import cached_property
from pathlib import Path
from textwrap import wrap
from typing import Any, Self

import attrs
import numpy as np
from astropy.io import fits
from astropy.time import Time
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, image, readonly, to_tuple
from nircam_flats._files import bare_file_name, reading
from nircam_flats.exceptions import FlatsWarning, InvalidInputError
from nircam_flats.exposure import Exposure
from nircam_flats.fit import FlatModelFit, SurfaceCovariance
from nircam_flats.instrument import Detector, Filter, Subarray
from nircam_flats.instrument.detector import to_detector
from nircam_flats.instrument.filters import to_filter
from nircam_flats.kernels import usable_pixels
from nircam_flats.reference._arithmetic import NO_ANSWER, exchanged
from nircam_flats.reference._datamodel import flat_model
from nircam_flats.reference._fits import read_flat, write_flat
from nircam_flats.reference._matching import refuse_unsuited_exposure, refuse_without_err
from nircam_flats.reference.comparison import FlatComparison
from nircam_flats.reference.correction import corrected, settled
from nircam_flats.reference.cutouts import cut, place_of
from nircam_flats.reference.provenance import FlatProvenance
from nircam_flats.reference.rules import violations

__all__ = ["FlatReference"]


def _text(value):
    return None if value is None else str(value).strip()


def _moment(value):
    return value.utc.strftime("%Y-%m-%dT%H:%M:%S") if isinstance(value, Time) else _text(value)


def _header_text(header):
    """Keep a header as the text of its cards, which cannot be changed."""
    return header.tostring(endcard=False, padding=False) if isinstance(header, fits.Header) else header


def _history_lines(texts):
    """Break texts into lines that HISTORY cards hold, so that a file gives back what was written."""
    if isinstance(texts, str):
        texts = (texts,)
    lines = []
    for text in texts:
        for line in str(text).expandtabs().splitlines() or [""]:
            printable = re.sub(r"[^ -~]", "?", line).rstrip()
            lines += wrap(printable, 72, subsequent_indent="  ") if len(printable) > 72 else [printable]
    return tuple(lines)


@frozen(kw_only=True, eq=False)
class FlatReference(HoldsArrays):
    """A flat field of one detector and filter: values that divide data, their errors and flags.

    Any flat can be held and read, with its faults; `check` lists them, and only a flat without any is
    written.

    Attributes
    ----------
    detector, filter
        The imaging mode; any of their names is accepted.
    data
        Values that divide data, float32 ``[y, x]``.
    err
        1 sigma errors of ``data``; None if not known.
    dq
        Flags as bits of `~nircam_flats.DQ`, uint32; by default no pixel is flagged.
    name
        Bare file name, by which the R_FLAT keyword of an exposure knows the flat; None if it has none yet.
    author, description, pedigree, useafter
        Keywords AUTHOR, DESCRIP, PEDIGREE (``INFLIGHT YYYY-MM-DD YYYY-MM-DD``, GROUND, ...) and USEAFTER
        (``YYYY-MM-DDTHH:MM:SS``, UTC; a `~astropy.time.Time` is accepted). All are needed for writing.
    subarray, corner
        Keyword SUBARRAY, and the first pixel (x, y) on the detector, counted from 1.
    history
        How it was made, in lines of at most 72 characters (longer ones are broken). Needed for writing.
    provenance
        What a flight flat was made of, a `FlatProvenance`; None if it is not told.
    covariance
        How the errors that come from the sky hang together, a `SurfaceCovariance`: of a mean over many pixels it gives
        the error (``flat.covariance.error_of_mean(aperture)``), which pixel errors underestimate. None if it is not
        told, and in cut-outs.

    A flat that was read keeps the other keywords of its file, which are written again, and what is wrong with it.

    Examples
    --------
    >>> import numpy as np
    >>> from nircam_flats import FlatReference
    >>> flat = FlatReference(data=np.ones((8, 8)), err=np.full((8, 8), 0.01), detector="B4", filter="F200W")
    >>> flat.check()[0]
    'author (AUTHOR) must be given; it is missing'
    """

    detector: Detector = field(converter=to_detector, repr=str)
    filter: Filter = field(converter=to_filter, repr=str)
    data: np.ndarray = image(sets_shape=True)
    err: np.ndarray | None = image(optional=True)
    dq: np.ndarray = image(np.uint32)
    name: str | None = field(default=None, converter=bare_file_name)
    author: str | None = field(default=None, converter=_text)
    description: str | None = field(default=None, converter=_text)
    pedigree: str | None = field(default=None, converter=_text)
    useafter: str | None = field(default=None, converter=_moment)
    subarray: str = field(default="FULL", converter=str)
    corner: tuple[int, int] = field(default=(1, 1), converter=to_tuple)
    history: tuple[str, ...] = field(default=(), converter=_history_lines, repr=False)
    provenance: FlatProvenance | None = field(default=None, repr=False)
    covariance: SurfaceCovariance | None = field(default=None, repr=False)
    _header: str = field(default="", converter=_header_text, repr=False, alias="header")
    _faults: tuple[str, ...] = field(default=(), converter=to_tuple, repr=False, alias="faults")

    @dq.default
    def _no_flags(self):
        return np.zeros(np.shape(self.data), np.uint32)

    def __attrs_post_init__(self):
        if self.filter.channel != self.detector.channel:
            raise InvalidInputError(
                f"FlatReference.filter must be of the {self.detector.channel} channel, as {self.detector}; "
                f"got {self.filter}"
            )
        if len(self.corner) != 2:
            raise InvalidInputError(f"FlatReference.corner must be the first pixel (x, y); got {self.corner}")

    @cached_property
    def good(self):
        """Pixels that the flat corrects: finite and positive, not flagged NO_FLAT_FIELD or DO_NOT_USE."""
        return readonly(usable_pixels(self.data, self.dq, np.uint32(NO_ANSWER)))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Return the flat in a FITS file.

        Real flats have faults: what can be understood is read, and `check` lists what is wrong. Flags are
        decoded by name through DQ_DEF; those without a name known to the pipeline are left out.

        Raises
        ------
        InvalidInputError
            If the file is no NIRCam FLAT file, has no image SCI, planes of different shapes, or keywords
            DETECTOR, FILTER and PUPIL that are missing or name no imaging mode.

        Warns
        -----
        FlatsWarning
            If flags are missing or were left out.
        """
        fields, told = read_flat(path)
        if told:
            warnings.warn(f"{path}: {'; '.join(told)}", FlatsWarning, stacklevel=2)
        with reading(path):
            return cls(**fields)

    def check(self) -> tuple:
        """Return what is wrong with the flat, a sentence for each broken rule; an empty tuple if nothing is.

        First what `read` found in the file, then what keeps `write` from writing (the rules are those of
        ``nircam_flats.reference.rules``).
        """
        return (*self._faults, *violations(self))

    def repaired(self) -> "FlatReference":
        """Return the flat with 1.0 and NO_FLAT_FIELD | DO_NOT_USE where it has no answer.

        That is where ``data`` is not finite and positive, where ``err`` is not finite or is negative (it
        becomes 1.0), or where NO_FLAT_FIELD is set. The history says how many pixels changed.

        Raises
        ------
        InvalidInputError
            If the flat has no errors: none are invented.
        """
        refuse_without_err(self, "repaired")
        flat, _ = settled(self)
        changed = (flat.data != self.data) | (flat.err != self.err) | (flat.dq != self.dq)
        if not changed.any():
            return self
        line = f"Repaired: {np.count_nonzero(changed)} pixels without an answer flagged, and set to 1.0"
        return attrs.evolve(flat, history=(*self.history, line))

    def corrected_by(self, fit: FlatModelFit, *, extrapolate: bool = False) -> "FlatReference":
        """Return the flight flat: this ground flat times the surface of ``fit``, with errors and flags.

        Relative errors are combined in quadrature. Where this flat has no answer, or the fit has none (NaN),
        the new one is 1.0 and flagged NO_FLAT_FIELD | DO_NOT_USE. PEDIGREE becomes INFLIGHT with the dates of
        the first and the last exposure; AUTHOR and USEAFTER stay, and are changed with `attrs.evolve`.

        Parameters
        ----------
        fit
            A `~nircam_flats.FlatModelFit` of the same detector, made of exposures that this flat calibrated.
        extrapolate
            Whether a grey fit may correct a filter that none of its exposures was taken in: then nothing says that
            the filter follows the others, nor that the fit belongs to this flat. History and provenance tell it.

        Raises
        ------
        InvalidInputError
            If the fit is of another detector or shape, or has no exposures in this filter, or they were
            divided by another flat; if it is that of a `~nircam_flats.FilterDependence`; if this flat has no errors, or
            is not about 1.

        Warns
        -----
        FlatsWarning
            If this flat has no name, or the exposures do not name theirs, so that they cannot be compared.
        """
        flat, unchecked = corrected(self, fit, extrapolate=extrapolate)
        if unchecked and self.filter.name in fit.flat_names:  # else it was asked for
            warnings.warn(unchecked, FlatsWarning, stacklevel=2)
        return flat

    def cutout(self, subarray: Subarray | str, *, corner: Any = None, shape: tuple | None = None) -> "FlatReference":
        """Return the part of the flat that a subarray reads out, a flat of its own, without a name.

        Parameters
        ----------
        subarray
            A `~nircam_flats.Subarray` or the name of one (keyword SUBARRAY).
        corner, shape
            First pixel (x, y) on the detector, from 1, and (rows, columns); needed for what is no imaging subarray.

        Raises
        ------
        InvalidInputError
            If the subarray is not known, or the flat does not cover it.
        """
        name, corner, shape = place_of(subarray, self.detector, corner, shape)
        line = f"Cut out {name}: {shape[1]} x {shape[0]} pixels from {corner} of {self.name or 'a flat without a name'}"
        part = cut(self, corner, shape)
        return attrs.evolve(part, subarray=name, name=None, faults=(), history=(*self.history, line))

    def apply_to(self, exposure: Exposure, *, replacing: "FlatReference | None" = None) -> Exposure:
        """Return ``exposure`` as it would be, had this flat calibrated it instead of ``replacing``.

        The result agrees with the pipeline's own flat-field step in SCI, ERR, the variances and DQ, but
        pixels that the old flat made unusable stay lost, and flags that the old flat may have set stay
        (except UNRELIABLE_FLAT, which only a flat sets). Planes that the exposure does not hold are not made.
        An exposure of a subarray is given the part of the flats that falls on it.

        Parameters
        ----------
        exposure
            An `~nircam_flats.Exposure`.
        replacing
            The `FlatReference` that it was divided by; None if no flat has divided it (see `undo_from`).

        Raises
        ------
        InvalidInputError
            If the three differ in detector or filter, or a flat does not cover the exposure; if the exposure's R_FLAT
            does not name ``replacing``; if this flat has negative or infinite values without a flag, which the
            pipeline would apply; if the exposure has ERR but not the variances it is made of; if this flat has no
            errors, and they are needed.
        """
        return _exchanged(exposure, old=replacing, new=self)

    def undo_from(self, exposure: Exposure) -> Exposure:
        """Return ``exposure`` as it was before this flat divided it, as the pipeline's own inverse step does.

        VAR_FLAT is 0, ERR the root of the two other variances, S_FLAT becomes SKIPPED and R_FLAT nothing. Flags and
        lost pixels stay: it is not known which of them the flat set.

        Raises
        ------
        InvalidInputError
            If this is not the flat that divided the exposure (S_FLAT, R_FLAT), or does not cover it; if the exposure
            has ERR but not the variances it is made of.
        """
        return _exchanged(exposure, old=self, new=None)

    def compare(self, other: "FlatReference") -> Any:
        """Return the `FlatComparison` of this flat with ``other``: large scales, pixel scales, flags."""
        return FlatComparison.between(self, other)

    def to_datamodel(self) -> Any:
        """Return a ``FlatModel`` of stdatamodels (extra ``jwst``), made of the file that `write` writes.

        Raises
        ------
        InvalidInputError
            If stdatamodels is not installed, or the flat breaks a rule.
        """
        return flat_model(self)

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the flat to a FITS file that CRDS and the pipeline accept.

        The file appears whole or not at all. This object does not take its name; what `read` returns has it.

        Raises
        ------
        InvalidInputError
            If the flat breaks a rule (all are listed), or ``path`` exists and ``overwrite`` is false.
        """
        write_flat(self, path, overwrite=overwrite)


def _exchanged(exposure, *, old, new):
    refuse_unsuited_exposure(exposure, new=new, old=old)
    corner, shape = tuple(exposure.corner), exposure.data.shape
    parts = [None if flat is None else cut(flat, corner, shape) for flat in (old, new)]
    return attrs.evolve(
        exposure,
        **exchanged(exposure, *parts),
        steps=exposure.steps | {"S_FLAT": "SKIPPED" if new is None else "COMPLETE"},
        flat_name=None if new is None else new.name,
        path=None,
    )
