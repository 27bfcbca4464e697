"""Normalised frames, and the delta skyflats that they combine to."""

from nircam_flats.skyflat.admission import AdmissionRules
from nircam_flats.skyflat.combine import CombineStrategy, FrameStack, SigmaClippedMean, SigmaClippedMedian
from nircam_flats.skyflat.delta import DeltaSkyflat
from nircam_flats.skyflat.dependence import FilterDependence
from nircam_flats.skyflat.extended import BoxMasks, ExtendedLight
from nircam_flats.skyflat.frame import NormalizedFrame
from nircam_flats.skyflat.frames import NormalizedFrames
from nircam_flats.skyflat.gradient import Gradient, WavelengthTrend
from nircam_flats.skyflat.halos import field_light
from nircam_flats.skyflat.light import FrameLight
from nircam_flats.skyflat.series import SkyflatEpoch, SkyflatSeries
from nircam_flats.skyflat.trend import SkyflatTrend

__all__ = [
    "AdmissionRules",
    "BoxMasks",
    "CombineStrategy",
    "DeltaSkyflat",
    "ExtendedLight",
    "FilterDependence",
    "FrameLight",
    "FrameStack",
    "Gradient",
    "NormalizedFrame",
    "NormalizedFrames",
    "SigmaClippedMean",
    "SigmaClippedMedian",
    "SkyflatEpoch",
    "SkyflatSeries",
    "SkyflatTrend",
    "WavelengthTrend",
    "field_light",
]
