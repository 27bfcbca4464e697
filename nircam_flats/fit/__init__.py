"""Smooth surfaces of delta skyflats, and the strategies that make them."""

from nircam_flats.fit.covariance import SurfaceCovariance
from nircam_flats.fit.median import MedianFilter
from nircam_flats.fit.model import FlatModelFit
from nircam_flats.fit.multiscale import MultiScale
from nircam_flats.fit.policy import FlatPolicy, Grey, PerFilter, Shrunk
from nircam_flats.fit.polynomial import Polynomial2D
from nircam_flats.fit.strategy import FitStrategy
from nircam_flats.fit.surface import Surface

__all__ = [
    "FitStrategy",
    "FlatModelFit",
    "FlatPolicy",
    "Grey",
    "MedianFilter",
    "MultiScale",
    "PerFilter",
    "Polynomial2D",
    "Shrunk",
    "Surface",
    "SurfaceCovariance",
]
