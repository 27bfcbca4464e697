"""Sky flats for JWST/NIRCam: from calibrated exposures to new flight flat fields."""

from nircam_flats.exceptions import FitError, FlatsError, FlatsWarning, InvalidInputError
from nircam_flats.instrument import DQ, Detector, Filter, ImagingMode, imaging_modes

__all__ = [
    "DQ",
    "Detector",
    "Filter",
    "FitError",
    "FlatsError",
    "FlatsWarning",
    "ImagingMode",
    "InvalidInputError",
    "imaging_modes",
]
