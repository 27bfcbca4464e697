"""Figures. Each function draws on an axes, returns the artist, and never shows or changes settings."""

from nircam_flats.plotting.backgrounds import draw_backgrounds
from nircam_flats.plotting.claws import draw_claw_forecast, draw_claw_zone
from nircam_flats.plotting.images import detector_figure, draw_flat

__all__ = ["detector_figure", "draw_backgrounds", "draw_claw_forecast", "draw_claw_zone", "draw_flat"]
