"""Claw light as it is measured: what is brighter than the sky in part of an image, beyond what is darker."""

import numpy as np
from astropy import units as u
from astropy.table import QTable

from nircam_flats.exceptions import InvalidInputError
from nircam_flats.exposure import ExposureSet
from nircam_flats.exposure.facts import ExposureFacts
from nircam_flats.fit import FlatModelFit, Polynomial2D
from nircam_flats.kernels import box_medians
from nircam_flats.masks import Segmentation, SkyLevel, SourceMask
from nircam_flats.scattered._starlight import BRIGHTNESS, ClawBand
from nircam_flats.skyflat import DeltaSkyflat

__all__ = ["compare_claw_light", "measure_claw_light"]

BOX_SIZE = 32
SMALLEST_MESH = 8
PART = 0.05
"""Of the boxes: claws cover about that much of a detector."""
N_GROUPS = 16


def _excess(values):
    """Return how much further the brightest 5 % of ``values`` are from the median than the faintest 5 %."""
    ordered = np.sort(values)
    n = max(1, round(PART * len(ordered)))
    return ordered[-n:].mean() + ordered[:n].mean() - 2 * np.median(ordered)


def measure_claw_light(image):
    """Return the light of claws in an image of 1 (NaN where masked) and its error.

    The image is reduced to clipped medians in boxes of 32 px (smaller ones for small frames). The measure is by how
    much the brightest twentieth of them departs further from the median than the faintest: structure that is as often
    darker as brighter cancels. The error is that by the scatter of single boxes, from a jackknife over 16 groups of
    them; asymmetric structure of the response comes on top.

    Raises
    ------
    InvalidInputError
        If fewer than 32 boxes have a value.
    """
    box_size = min(BOX_SIZE, max(1, min(image.shape) // SMALLEST_MESH))
    medians, _, _ = box_medians(image, box_size)
    values = medians[np.isfinite(medians)].astype(float)
    if len(values) < 2 * N_GROUPS:
        raise InvalidInputError(
            f"claw light needs at least {2 * N_GROUPS} boxes of {box_size} px that are not masked; got {len(values)}"
        )
    group = np.arange(len(values)) % N_GROUPS
    without = np.array([_excess(values[group != i]) for i in range(N_GROUPS)])
    err = np.sqrt((N_GROUPS - 1) / N_GROUPS * ((without - without.mean()) ** 2).sum())
    return _excess(values), err


def compare_claw_light(forecast, other, *, masks, correction):
    """Return the table of `ClawForecast.compare_with`."""
    at = {pointing.name: i for i, pointing in enumerate(forecast.pointings)}
    if isinstance(other, DeltaSkyflat):
        rows = [_of_delta(forecast, at, other)]
    elif isinstance(other, ExposureFacts | ExposureSet):
        members = other if isinstance(other, ExposureSet) else (other,)
        rows = [
            _of_exposure(forecast, at, member, masks or Segmentation.for_first_pass(), correction) for member in members
        ]
    else:
        needed = "an Exposure, ExposureSet or DeltaSkyflat"
        raise InvalidInputError(f"ClawForecast.compare_with: needed {needed}; got {type(other).__name__}")
    return QTable(rows=rows, names=("name", "filter", "detector", "predicted", "measured", "err"))


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
    mask = SourceMask.from_exposure(exposure, masks, correction=correction)
    level = SkyLevel.measure(data, mask.masked, unit=exposure.unit)
    relative = np.where(mask.masked, np.float32(np.nan), data / np.float32(level.value))
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
