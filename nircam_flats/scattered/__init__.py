"""Scattered light: what is not sky and yet in the images."""

from nircam_flats.scattered._separation import Regression, SecondLight
from nircam_flats.scattered.angle_ranges import AngleRanges
from nircam_flats.scattered.claw_forecast import ClawForecast
from nircam_flats.scattered.claw_zone import ClawSusceptibilityZone
from nircam_flats.scattered.decomposition import SkyDecomposition, light_of, without_light
from nircam_flats.scattered.evidence import LightEvidence, Verdict
from nircam_flats.scattered.gauge import CleanestExposures, Gauge, GaugeFit, SmoothResponse
from nircam_flats.scattered.identifiability import Identifiability
from nircam_flats.scattered.star_catalog import StarCatalog
from nircam_flats.scattered.wisp_scale import WispScale
from nircam_flats.scattered.wisp_template import WispTemplate

__all__ = [
    "AngleRanges",
    "ClawForecast",
    "ClawSusceptibilityZone",
    "CleanestExposures",
    "Gauge",
    "GaugeFit",
    "Identifiability",
    "LightEvidence",
    "Regression",
    "SecondLight",
    "SkyDecomposition",
    "SmoothResponse",
    "StarCatalog",
    "Verdict",
    "WispScale",
    "WispTemplate",
    "light_of",
    "without_light",
]
