"""Facts about NIRCam: attitudes, detectors, subarrays, filters, imaging modes, data-quality bits."""

from nircam_flats.instrument.attitude import Attitude
from nircam_flats.instrument.detector import Detector
from nircam_flats.instrument.dq import DQ
from nircam_flats.instrument.filters import Filter, ImagingMode, imaging_modes
from nircam_flats.instrument.subarray import Subarray

__all__ = ["DQ", "Attitude", "Detector", "Filter", "ImagingMode", "Subarray", "imaging_modes"]
