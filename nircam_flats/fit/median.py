"""A median-filtered mesh, interpolated back."""

import numpy as np

from nircam_flats.exceptions import FitError, InvalidInputError
from nircam_flats.fit.strategy import FitStrategy
from nircam_flats.kernels import box_medians, expand_mesh, fill_mesh

__all__ = ["MedianFilter"]


class MedianFilter(FitStrategy):
    """Medians of boxes, median-filtered over the mesh of boxes, interpolated (the report's choice for LW detectors).

    Parameters
    ----------
    box_size
        Side of the boxes, pixels.
    filter_size
        Side of the median filter over the mesh, boxes. It may be even: then the result is the mean of the windows
        that lie half a box to either side, so that nothing shifts. (photutils' ``Background2D``, whose vocabulary
        this is, refuses even sizes.)

    Notes
    -----
    Box medians are sigma-clipped (3 sigma, 5 iterations). At the edges of the frame the window keeps what lies
    inside. The mesh is interpolated by cubic splines as ``Background2D`` does.
    """

    def __init__(self, *, box_size=32, filter_size=8):
        if box_size < 1 or filter_size < 1:
            raise InvalidInputError(
                f"MedianFilter needs box_size >= 1 and filter_size >= 1; got {box_size} and {filter_size}"
            )
        self.box_size = int(box_size)
        self.filter_size = int(filter_size)

    def smooth(self, data, err, good):
        medians, _, _ = box_medians(data, self.box_size)
        if np.isnan(medians).all():
            raise FitError(
                f"MedianFilter needs a box of {self.box_size} px with at least 10 % good pixels; there is none"
            )
        return expand_mesh(fill_mesh(_filter(medians, self.filter_size)), self.box_size, data.shape)


def _filter(mesh, size):
    """Median filter that skips NaN and keeps what lies inside at the edges; even sizes are centred."""
    half = size // 2
    padded = np.pad(mesh, half, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))
    ordered = np.sort(windows.reshape(*windows.shape[:2], -1), axis=-1)  # NaN last
    n = np.isfinite(ordered).sum(axis=-1, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum(n - 1, 0) // 2, axis=-1)[..., 0]
    high = np.take_along_axis(ordered, np.minimum(n // 2, size**2 - 1), axis=-1)[..., 0]
    medians = np.where(n[..., 0] > 0, (low + high) / 2, np.nan)
    if size % 2:
        return medians
    ny, nx = mesh.shape
    placements = np.stack([medians[y : y + ny, x : x + nx] for y in (0, 1) for x in (0, 1)])
    n_placed = np.isfinite(placements).sum(axis=0)
    return np.where(n_placed > 0, np.nansum(placements, axis=0) / np.maximum(n_placed, 1), np.nan)
