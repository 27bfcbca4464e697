"""Claw light as it is measured: the part of an image that is brighter than its faint half explains."""

import numpy as np
from astropy import units as u
from astropy.table import QTable
from scipy.stats import norm

from nircam_flats.exceptions import InvalidInputError
from nircam_flats.exposure import ExposureSet
from nircam_flats.exposure.facts import ExposureFacts
from nircam_flats.fit import FlatModelFit, Polynomial2D
from nircam_flats.kernels import box_medians
from nircam_flats.masks import SkyLevel, SourceMask
from nircam_flats.masks.sky_level import MEDIAN_ERROR
from nircam_flats.scattered._starlight import BRIGHTNESS, ClawBand
from nircam_flats.skyflat import DeltaSkyflat

__all__ = ["compare_claw_light", "measure_claw_light"]

BOX_SIZE = 32
SMALLEST_MESH = 16
N_SIGMA = 3.0
N_BOXES = 32
COLUMNS = ("name", "filter", "detector", "predicted", "measured", "err", "covered")


def measure_claw_light(image):
    """Return the brightness of claws in an image of 1 (NaN where masked), its error, and the part of the image covered.

    The image is reduced to clipped medians in boxes of 32 px (smaller ones for small frames). The boxes fainter than
    the median tell how much they scatter without claws, by noise and by what the flat field got wrong. Claws are the
    boxes brighter than three times that; there is none if these are no more than as many as are fainter by as much
    allow. (What is small in a box, clipping leaves out; large objects count as claws.) The brightness is the median of
    these boxes above that of all, for the edges of a claw fill no box; the error that of a median by the scatter, and
    where nothing is seen that of one box: fainter claws than three times this are not seen.

    Raises
    ------
    InvalidInputError
        If fewer than 32 boxes have a value.
    """
    box_size = min(BOX_SIZE, max(1, min(image.shape) // SMALLEST_MESH))
    medians, _, _ = box_medians(image, box_size)
    values = medians[np.isfinite(medians)].astype(float)
    if len(values) < N_BOXES:
        raise InvalidInputError(
            f"claw light needs at least {N_BOXES} boxes of {box_size} px that are not masked; got {len(values)}"
        )
    middle = np.median(values)
    scatter = middle - np.percentile(values, 100 * norm.cdf(-1))
    bright = values > middle + N_SIGMA * scatter
    n_bright, n_faint = np.count_nonzero(bright), np.count_nonzero(values < middle - N_SIGMA * scatter)
    if n_bright <= n_faint + N_SIGMA * np.sqrt(n_faint + 1):
        return 0.0, scatter, 0.0
    return np.median(values[bright]) - middle, MEDIAN_ERROR * scatter / np.sqrt(n_bright), n_bright / len(values)


def compare_claw_light(forecast, other, *, masks, correction):
    """Return the table of `ClawForecast.compare_with`."""
    at = {pointing.name: i for i, pointing in enumerate(forecast.pointings)}
    if isinstance(other, DeltaSkyflat):
        rows = [_of_delta(forecast, at, other)]
    elif isinstance(other, ExposureFacts | ExposureSet):
        members = other if isinstance(other, ExposureSet) else (other,)
        rows = [_of_exposure(forecast, at, member, masks, correction) for member in members]
    else:
        needed = "an Exposure, ExposureSet or DeltaSkyflat"
        raise InvalidInputError(f"ClawForecast.compare_with: needed {needed}; got {type(other).__name__}")
    return QTable(rows=rows, names=COLUMNS)


def _predicted(forecast, at, name, filter, module, photmjsr=None):
    """Return the brightness predicted for an exposure at its own roll, MJy/sr; 0 where it is not affected."""
    if name not in at:
        raise InvalidInputError(
            f"ClawForecast.compare_with: exposure {name!r} must be one of the pointings; make the forecast from the "
            "same exposures: ClawForecast.from_pointings(exposures)"
        )
    pointing = forecast.pointings[at[name]]
    if pointing.roll is None:
        raise InvalidInputError(f"ClawForecast.compare_with: pointing {name!r} must have a roll; it is open")
    if filter not in forecast.filters or module not in forecast.modules:
        return 0.0
    m, f = forecast.modules.index(module), forecast.filters.index(filter)
    flux = forecast.own_flux[m, f, at[name]].to_value(u.DN / u.s)
    return float(np.nan_to_num(flux)) * (photmjsr or ClawBand.of(filter).photmjsr)


def _of_exposure(forecast, at, member, masks, correction):
    exposure = member.load(planes=())
    brightness = _predicted(forecast, at, exposure.name, exposure.filter, exposure.detector.module, exposure.photmjsr)
    data = exposure.data if correction is None else exposure.data / correction.surface
    masked = ~exposure.good
    if masks is not None:
        masked |= SourceMask.from_exposure(exposure, masks, correction=correction).masked
    level = SkyLevel.measure(data, masked, unit=exposure.unit)
    relative = np.where(masked, np.float32(np.nan), data / np.float32(level.value))
    predicted = brightness / (level.value * exposure.unit).to_value(BRIGHTNESS)
    return exposure.name, exposure.filter.name, exposure.detector.name, predicted, *measure_claw_light(relative)


def _of_delta(forecast, at, delta):
    used = delta.exposures[delta.exposures["used"]]
    predicted = []
    for row in used:
        filter = next(item for item in delta.filters if item.name == str(row["filter"]))
        brightness = _predicted(forecast, at, str(row["name"]), filter, delta.detector.module)
        predicted.append(brightness / u.Quantity(row["level"], BRIGHTNESS).value)
    residual = FlatModelFit.from_delta(delta, strategy=Polynomial2D()).residual
    filters = "+".join(item.name for item in delta.filters)
    return "delta skyflat", filters, delta.detector.name, float(np.median(predicted)), *measure_claw_light(1 + residual)
