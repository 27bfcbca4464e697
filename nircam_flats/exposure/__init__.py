"""Calibrated exposures: one image with its facts, or many of them."""

from nircam_flats.exposure.exposure import Exposure, ExposureHeader
from nircam_flats.exposure.exposure_set import Exclusion, ExposureSet
from nircam_flats.exposure.planned import PlannedPointing
from nircam_flats.exposure.pointing import Pointing

__all__ = ["Exclusion", "Exposure", "ExposureHeader", "ExposureSet", "PlannedPointing", "Pointing"]
