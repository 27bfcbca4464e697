"""Figures. Each function draws on an axes, returns the artist, and never shows or changes settings."""

from nircam_flats.plotting.dead_pixels import dead_pixel_cutouts, dead_pixel_figure, draw_dead_pixels
from nircam_flats.plotting.filter_grid import draw_trend, filter_grid
from nircam_flats.plotting.images import detector_figure, draw_flat

__all__ = [
    "dead_pixel_cutouts",
    "dead_pixel_figure",
    "detector_figure",
    "draw_dead_pixels",
    "draw_flat",
    "draw_trend",
    "filter_grid",
]
