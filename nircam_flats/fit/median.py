"""A median-filtered mesh about a smooth trend, interpolated back."""

from typing import Any, Self

import numpy as np

from nircam_flats.exceptions import FitError, InvalidInputError
from nircam_flats.fit.polynomial import Polynomial2D
from nircam_flats.fit.strategy import FitStrategy
from nircam_flats.kernels import box_medians, expand_mesh, fill_mesh
from nircam_flats.skyflat.meshes import MESH_BOX

__all__ = ["MedianFilter"]

FEWEST = 16
"""Boxes along a side of the frame."""


class MedianFilter(FitStrategy):
    """Medians of boxes, median-filtered over the mesh of boxes about a smooth trend, interpolated.

    `MedianFilter.of_report` is the report's choice for LW detectors, literally: without a trend.

    Parameters
    ----------
    box_size
        Side of the boxes, pixels; by default 32, or a 16th of a frame with less than 16 of them along a side.
    filter_size
        Side of the median filter over the mesh, boxes. By default 8, as for long-wavelength detectors in
        `FlatModelFit.from_delta`, which takes 12 for short-wavelength ones. It may be even: then the result is the mean
        of the windows that lie half a box to either side, so that nothing shifts. (photutils' ``Background2D``, whose
        vocabulary this is, refuses even sizes.)
    trend
        Total degree of the polynomial that is divided out of the mesh before it is filtered, and multiplied back; at
        most a quarter of the boxes along a side, so that it does not follow the noise of a few boxes. None filters the
        mesh itself.

    Notes
    -----
    A window that keeps what lies inside the frame is lopsided at the edge, and a median there is that of a place
    further in: where the flat has a slope, the surface is wrong by what the slope amounts to in half a window. Of the
    simulated changes of 5-8 %, the literal choice leaves 0.35-0.82 % peak to peak in medians of 64 px for that reason,
    even without noise; 0.10-0.24 % about a cubic trend, which also follows what no cubic holds
    (``benchmarks/flats.py --only smooth``).

    Boxes without a value count as being on the trend: a window at the edge of a large hole (a wisp that is left out)
    would else have the noise of the few boxes that it sees.

    Box medians are sigma-clipped (3 sigma, 5 iterations). At the edges of the frame the window keeps what lies
    inside. The mesh is interpolated by cubic splines as ``Background2D`` does.
    """

    centre = "median"

    def __init__(self, *, box_size: Any = None, filter_size: int = 8, trend: Any = 3) -> None:
        if (box_size is not None and box_size < 1) or filter_size < 1 or (trend is not None and trend < 0):
            raise InvalidInputError(
                "MedianFilter needs box_size None or >= 1, filter_size >= 1 and trend None or >= 0; got "
                f"box_size={box_size}, filter_size={filter_size}, trend={trend}"
            )
        self.box_size = None if box_size is None else int(box_size)
        self.filter_size = int(filter_size)
        self.trend = trend

    @classmethod
    def of_report(cls) -> Self:
        """The model of the report for LW detectors, literally: boxes of 32 px, windows of 8 boxes, no trend.

        It is made for full frames.
        """
        return cls(box_size=32, filter_size=8, trend=None)

    def smooth(self, data: np.ndarray, err: np.ndarray | None, good: np.ndarray) -> Any:
        box_size = min(MESH_BOX, max(min(data.shape) // FEWEST, 1)) if self.box_size is None else self.box_size
        medians, _, _ = box_medians(data, box_size)
        if np.isnan(medians).all():
            raise FitError(f"MedianFilter needs a box of {box_size} px with at least 10 % good pixels; there is none")
        trend, beside = np.ones_like(medians), medians
        if degree := min(self.trend or 0, min(medians.shape) // 4):
            trend = Polynomial2D(degree=degree)(medians)
            beside = np.where(np.isnan(medians), np.float32(1), medians / trend)
        filtered = fill_mesh(_filter(beside, self.filter_size)) * trend
        return expand_mesh(filtered, box_size, data.shape)


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
