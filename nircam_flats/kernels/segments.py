"""Straight lines through the pixels of an image, with a level of its own for each segment of a row."""

import numpy as np

from nircam_flats.kernels._njit import njit

__all__ = ["segment_moments", "segment_pulls"]


@njit(nogil=True, cache=True)
def _moments(data, pattern, noise, kept, edges, out):
    for y in range(data.shape[0]):
        for k in range(edges.size - 1):
            w, wd, wp, wpp, wpd = 0.0, 0.0, 0.0, 0.0, 0.0
            for x in range(edges[k], edges[k + 1]):
                if kept[y, x]:
                    s, d, p = np.float64(noise[y, x]), np.float64(data[y, x]), np.float64(pattern[y, x])
                    one = 1 / (s * s)
                    w += one
                    wd += one * d
                    wp += one * p
                    wpp += one * p * p
                    wpd += one * p * d
            out[0, y, k], out[1, y, k], out[2, y, k], out[3, y, k], out[4, y, k] = w, wd, wp, wpp, wpd


@njit(nogil=True, cache=True)
def _pulls(data, pattern, noise, used, levels, value, edges, out):
    for y in range(data.shape[0]):
        for k in range(edges.size - 1):
            for x in range(edges[k], edges[k + 1]):
                seen = data[y, x] - levels[y, k] - value * pattern[y, x]
                out[y, x] = seen / noise[y, x] if used[y, x] else np.nan


def _edges(n, n_segments):
    return np.arange(n_segments + 1) * n // n_segments


def segment_moments(data, pattern, noise, kept, n_segments):
    """Return sums of w, w d, w p, w p^2 and w p d over the pixels ``kept`` of each segment, with w = 1 / noise^2.

    float64, shape (5, ny, n_segments): ``n_segments`` equal parts of each row.
    """
    out = np.empty((5, data.shape[0], n_segments))
    _moments(data, pattern, noise, kept, _edges(data.shape[1], n_segments), out)
    return out


def segment_pulls(data, pattern, noise, used, levels, value):
    """Return ``(data - level - value * pattern) / noise``, float32, NaN where not ``used``; a level per segment."""
    out = np.empty(data.shape, np.float32)
    _pulls(data, pattern, noise, used, levels, float(value), _edges(data.shape[1], levels.shape[1]), out)
    return out
