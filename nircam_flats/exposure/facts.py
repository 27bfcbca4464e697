"""What is known of an exposure besides its pixels."""

from functools import cached_property
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from attrs import field, frozen
from attrs.converters import optional

from nircam_flats._fields import HoldsArrays, quantity, to_tuple, unit
from nircam_flats._files import bare_file_name
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.exposure.pointing import Pointing
from nircam_flats.instrument import Detector, Filter
from nircam_flats.instrument.detector import to_detector
from nircam_flats.instrument.filters import to_filter
from nircam_flats.instrument.subarray import check_corner

__all__ = ["ExposureFacts"]

_EARLIEST, _LATEST = 47892, 88069
"""MJD of 1990 and 2100: simulations may be older than the telescope."""


def _isot(time):
    return "None" if time is None else time.isot


def _to_time(value):
    if not isinstance(value, Time) or not value.isscalar:
        raise InvalidInputError(f"Exposure.start and .end must be one astropy Time each; got {value!r}")
    return Time(value.utc.mjd, format="mjd", scale="utc")  # as exact as a header keeps it, to a microsecond


def _to_text(header):
    """Keep a header as the text of its cards: a sixth of the memory of a `fits.Header`, and unchangeable."""
    if isinstance(header, str):
        return header
    if not isinstance(header, fits.Header | None):
        needed = "an astropy.io.fits.Header"
        raise InvalidInputError(f"Exposure.header and .sci_header must be {needed}; got {type(header).__name__}")
    return "" if header is None else header.tostring(endcard=False, padding=False)


def _to_steps(value):
    return tuple((str(step), str(status)) for step, status in dict(value).items())


def _check_filter(instance, attribute, value):
    detector = instance.detector
    if value.channel != detector.channel:
        raise InvalidInputError(
            f"Exposure.filter must be a {detector.channel} filter, as {detector} has; got {value} ({value.channel})"
        )


def _check_above_nothing(instance, attribute, value):
    if value is not None and not (np.isfinite(value) and value > 0):
        place = f"Exposure.{attribute.name}"
        raise InvalidInputError(f"{place} must be finite and above 0, or None where not known; got {value!r}")


def _check_time(instance, attribute, value):
    if value is not None and not _EARLIEST < value.mjd < _LATEST:
        raise InvalidInputError(
            f"Exposure.{attribute.name} must be in the years 1990 to 2100, or None where not known; got MJD {value.mjd}"
        )


def _check_pointing(instance, attribute, value):
    if not isinstance(value, Pointing | None):
        raise InvalidInputError(f"Exposure.pointing must be a Pointing, or None where not known; got {value!r}")


@frozen(kw_only=True, eq=False)
class ExposureFacts(HoldsArrays):
    """What is known of an exposure besides its pixels.

    The base of `~nircam_flats.Exposure` and `~nircam_flats.ExposureHeader`. Only `detector` and `filter` have no
    default; what is None is not known.

    Attributes
    ----------
    name
        Root of the file name, without ``_cal.fits``: jw01063001001_02101_00001_nrcb4.
    path
        The file it came from.
    detector, filter
        Anything `~nircam_flats.Detector.get` and `~nircam_flats.Filter.get` accept.
    start, end
        When the exposure began and ended, UTC.
    exposure_time
        Effective exposure time, s.
    unit
        Unit of the image and its error, MJy / sr in a ``_cal`` file.
    subarray, corner
        Name of the subarray ('FULL' for the whole detector), and the detector position (x, y) of its first
        pixel, from 1, science orientation.
    exposure_type
        NRC_IMAGE: imaging is the only type that makes flats.
    program, observation, visit
        Numbers as text, '01063', '001', '001'.
    visit_status
        'SUCCESSFUL', or what else the observatory said of the visit.
    flat_name
        Bare file name of the flat that the image was divided by; a path or ``crds://name`` is shortened to it.
    steps
        Calibration steps and their status, such as ``{'S_FLAT': 'COMPLETE'}``. An exposure made from arrays
        is taken for what a ``_cal`` image is, flat-fielded and in physical units, unless said otherwise.
    pointing
        Of the aperture that took the image.
    photmjsr
        Surface brightness of 1 DN/s, MJy / sr.
    header, sci_header
        The primary header and that of the extension SCI, with all that was read; a fresh copy at each access.
    wcs
        The `~astropy.wcs.WCS` of the SCI header, whose SIP polynomials agree with the pipeline's full distortion
        model to 1e-6 px; None if the header has no WCS.
    """

    name: str = field(default="", converter=str)
    path: Path | None = field(default=None, converter=optional(Path), repr=False)
    detector: Detector = field(converter=to_detector, repr=str)
    filter: Filter = field(converter=to_filter, validator=_check_filter, repr=str)
    start: Time | None = field(default=None, converter=optional(_to_time), validator=_check_time, repr=_isot)
    end: Time | None = field(default=None, converter=optional(_to_time), validator=_check_time, repr=False)
    exposure_time: u.Quantity | None = quantity(u.s, optional=True, validator=_check_above_nothing)
    unit: u.UnitBase = unit()
    subarray: str = field(default="FULL", converter=str)
    corner: tuple[int, int] = field(default=(1, 1), converter=to_tuple, validator=check_corner, repr=False)
    exposure_type: str = field(default="NRC_IMAGE", converter=str, repr=False)
    program: str | None = field(default=None, converter=optional(str), repr=False)
    observation: str | None = field(default=None, converter=optional(str), repr=False)
    visit: str | None = field(default=None, converter=optional(str), repr=False)
    visit_status: str | None = field(default=None, converter=optional(str), repr=False)
    flat_name: str | None = field(default=None, converter=bare_file_name)
    _steps: tuple = field(
        default=(("S_FLAT", "COMPLETE"), ("S_PHOTOM", "COMPLETE")),
        converter=_to_steps,
        repr=False,
        alias="steps",
    )
    pointing: Pointing | None = field(default=None, validator=_check_pointing, repr=False)
    photmjsr: float | None = field(default=None, converter=optional(float), validator=_check_above_nothing, repr=False)
    _header: str = field(default="", converter=_to_text, repr=False, alias="header")
    _sci_header: str = field(default="", converter=_to_text, repr=False, alias="sci_header")

    @property
    def steps(self) -> dict:
        """Calibration steps and their status, a dictionary."""
        return dict(self._steps)

    @property
    def header(self) -> fits.Header:
        """The primary header, a fresh copy."""
        return fits.Header.fromstring(self._header)

    @property
    def sci_header(self) -> fits.Header:
        """The header of the extension SCI, a fresh copy."""
        return fits.Header.fromstring(self._sci_header)

    @cached_property
    def wcs(self):
        """The `~astropy.wcs.WCS` of the SCI header; None if it has none."""
        header = self.sci_header
        if "CTYPE1" not in header:
            return None
        return WCS(header, fix=False)  # nothing in it needs the fixes, which would warn of the dates they add
