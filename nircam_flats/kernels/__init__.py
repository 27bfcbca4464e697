"""The compiled loops: clipping, combination, meshes, smoothing, growing. Plain arrays in, plain arrays out."""

from nircam_flats.kernels.byte_order import swap_bytes
from nircam_flats.kernels.claws import look_up, sum_starlight
from nircam_flats.kernels.clipping import clipped_statistics
from nircam_flats.kernels.combine import combine_clipped
from nircam_flats.kernels.field_light import solve_moving_light
from nircam_flats.kernels.flats import correct_flat, pixel_faults, ratio_moments, usable_pixels
from nircam_flats.kernels.influence import box_influences
from nircam_flats.kernels.labelling import large_groups
from nircam_flats.kernels.mesh import (
    autocorrelated,
    box_means,
    box_medians,
    box_sums,
    expand_mesh,
    fill_mesh,
    mesh_range,
    peak_to_peak,
    project_mesh,
    repeat_mesh,
)
from nircam_flats.kernels.neighbours import grow, local_medians, smooth
from nircam_flats.kernels.polynomial import add_changed_moments, evaluate_polynomial
from nircam_flats.kernels.rows import divide_rows
from nircam_flats.kernels.scatter import stack_scatter
from nircam_flats.kernels.spline import spline_smoothed

__all__ = [
    "add_changed_moments",
    "autocorrelated",
    "box_influences",
    "box_means",
    "box_medians",
    "box_sums",
    "clipped_statistics",
    "combine_clipped",
    "correct_flat",
    "divide_rows",
    "evaluate_polynomial",
    "expand_mesh",
    "fill_mesh",
    "grow",
    "large_groups",
    "local_medians",
    "look_up",
    "mesh_range",
    "peak_to_peak",
    "pixel_faults",
    "project_mesh",
    "ratio_moments",
    "repeat_mesh",
    "smooth",
    "solve_moving_light",
    "spline_smoothed",
    "stack_scatter",
    "sum_starlight",
    "swap_bytes",
    "usable_pixels",
]
