"""Pixels that died, and what became of them."""

from nircam_flats.defects.comparison import DeadPixelComparison
from nircam_flats.defects.dead_pixels import DeadPixelMap, PixelClass

__all__ = ["DeadPixelComparison", "DeadPixelMap", "PixelClass"]
