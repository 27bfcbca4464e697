"""Figures. Each function draws on an axes, returns the artist, and never shows or changes settings."""

from nircam_flats.plotting.backgrounds import draw_backgrounds
from nircam_flats.plotting.claws import claw_sequence, draw_claw_forecast, draw_claw_zone
from nircam_flats.plotting.dead_pixels import (
    dead_pixel_cutouts,
    dead_pixel_figure,
    draw_dead_comparison,
    draw_dead_pixels,
)
from nircam_flats.plotting.evidence import draw_evidence
from nircam_flats.plotting.filter_grid import draw_trend, filter_grid
from nircam_flats.plotting.flatness import draw_profiles, flatness_figure
from nircam_flats.plotting.focal_plane import focal_plane
from nircam_flats.plotting.images import before_after, detector_figure, draw_flat, draw_mosaic
from nircam_flats.plotting.photometry import draw_repeatability, draw_scatter, draw_star_flat
from nircam_flats.plotting.quality import draw_change, draw_contours, draw_map, draw_sky_levels
from nircam_flats.plotting.trends import draw_skyflat_trend
from nircam_flats.plotting.wisps import draw_wisp

__all__ = [
    "before_after",
    "claw_sequence",
    "dead_pixel_cutouts",
    "dead_pixel_figure",
    "detector_figure",
    "draw_backgrounds",
    "draw_change",
    "draw_claw_forecast",
    "draw_claw_zone",
    "draw_contours",
    "draw_dead_comparison",
    "draw_dead_pixels",
    "draw_evidence",
    "draw_flat",
    "draw_map",
    "draw_mosaic",
    "draw_profiles",
    "draw_repeatability",
    "draw_scatter",
    "draw_sky_levels",
    "draw_skyflat_trend",
    "draw_star_flat",
    "draw_trend",
    "draw_wisp",
    "filter_grid",
    "flatness_figure",
    "focal_plane",
]
