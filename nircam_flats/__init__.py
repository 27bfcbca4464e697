"""Sky flats for JWST/NIRCam: from calibrated exposures to new flight flat fields."""

from nircam_flats import recipes, testing
from nircam_flats.exceptions import FitError, FlatsError, FlatsWarning, InvalidInputError
from nircam_flats.exposure import Exclusion, Exposure, ExposureHeader, ExposureSet, Pointing
from nircam_flats.fit import (
    FitStrategy,
    FlatModelFit,
    MedianFilter,
    MultiScale,
    Polynomial2D,
    Surface,
    SurfaceCovariance,
)
from nircam_flats.instrument import DQ, Detector, Filter, ImagingMode, Subarray, imaging_modes
from nircam_flats.masks import MaskReason, MaskStrategy, Segmentation, SkyLevel, SourceMask
from nircam_flats.reference import (
    FlatComparison,
    FlatDelivery,
    FlatProvenance,
    FlatReference,
    GroundFlats,
    PhotometricShift,
)
from nircam_flats.skyflat import (
    CombineStrategy,
    DeltaSkyflat,
    ExtendedLight,
    FrameStack,
    NormalizedFrame,
    NormalizedFrames,
    SigmaClippedMean,
    SigmaClippedMedian,
)

__all__ = [
    "DQ",
    "CombineStrategy",
    "DeltaSkyflat",
    "Detector",
    "Exclusion",
    "Exposure",
    "ExposureHeader",
    "ExposureSet",
    "ExtendedLight",
    "Filter",
    "FitError",
    "FitStrategy",
    "FlatComparison",
    "FlatDelivery",
    "FlatModelFit",
    "FlatProvenance",
    "FlatReference",
    "FlatsError",
    "FlatsWarning",
    "FrameStack",
    "GroundFlats",
    "ImagingMode",
    "InvalidInputError",
    "MaskReason",
    "MaskStrategy",
    "MedianFilter",
    "MultiScale",
    "NormalizedFrame",
    "NormalizedFrames",
    "PhotometricShift",
    "Pointing",
    "Polynomial2D",
    "Segmentation",
    "SigmaClippedMean",
    "SigmaClippedMedian",
    "SkyLevel",
    "SourceMask",
    "Subarray",
    "Surface",
    "SurfaceCovariance",
    "imaging_modes",
    "recipes",
    "testing",
]
