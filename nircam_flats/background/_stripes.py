"""The stripes of 1/f noise along the rows, which masks would take for sources."""

from itertools import pairwise

import numpy as np

__all__ = ["N_AMPLIFIERS", "stripes_of"]

N_AMPLIFIERS = 4
MIN_PIXELS = 20
"""In a row of an amplifier, for its median to count."""
MIN_ROWS = 0.3
"""Part of the rows of an amplifier that must have a median; otherwise it is left as it is."""


def stripes_of(data, used, n_amplifiers=N_AMPLIFIERS):
    """Return the stripes, float32 like ``data``: the median of each row of each amplifier, zero on average over rows.

    The reference pixels take off what all rows share, so that the stripes of an amplifier average to zero.

    Parameters
    ----------
    data
        Image ``[y, x]``.
    used
        Boolean image of the pixels that show sky.
    n_amplifiers
        Side by side along x: 4 for full frames, 1 for subarrays.
    """
    stripes = np.zeros_like(data, dtype=np.float32)
    edges = np.linspace(0, data.shape[1], n_amplifiers + 1).astype(int)
    for first, end in pairwise(edges):
        ordered = np.sort(np.where(used[:, first:end], data[:, first:end], np.float32(np.inf)), axis=1)
        n = np.count_nonzero(used[:, first:end], axis=1)
        rows = np.flatnonzero(n >= MIN_PIXELS)
        if len(rows) >= MIN_ROWS * len(data):
            medians = (ordered[rows, (n[rows] - 1) // 2] + ordered[rows, n[rows] // 2]) / 2
            level = np.interp(np.arange(len(data)), rows, medians)
            stripes[:, first:end] = (level - level.mean())[:, np.newaxis]
    return stripes
