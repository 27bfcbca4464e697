"""The stripes of 1/f noise along the rows, which masks would take for sources."""

from itertools import pairwise

import numpy as np

from nircam_flats.instrument.detector import N_AMPLIFIERS

__all__ = ["stripes_of"]

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
    edges = np.linspace(0, data.shape[1], n_amplifiers + 1).astype(int)
    levels = np.stack([_row_medians(data[:, a:b], used[:, a:b]) for a, b in pairwise(edges)])
    enough = np.isfinite(levels).mean(axis=1) >= MIN_ROWS
    stripes = np.zeros_like(data, dtype=np.float32)
    if enough.any():
        filled = _filled(levels[enough])
        for number, level in zip(np.flatnonzero(enough), filled, strict=True):
            stripes[:, edges[number] : edges[number + 1]] = level[:, np.newaxis]
    return stripes


def _row_medians(data, used):
    """Return the median of each row, NaN where it has too few pixels."""
    ordered = np.sort(np.where(used, data, np.float32(np.inf)), axis=1)
    n = np.count_nonzero(used, axis=1)
    rows = np.flatnonzero(n >= MIN_PIXELS)
    medians = np.full(len(data), np.nan)
    medians[rows] = (ordered[rows, (n[rows] - 1) // 2] + ordered[rows, n[rows] // 2]) / 2
    return medians


def _filled(levels):
    """Return the rows of amplifiers, shape (amplifiers, rows), less their means, without gaps.

    Most of the noise is common to the amplifiers: where one is masked, the others tell, and where all are, the rows
    beside.
    """
    levels = levels - np.nanmean(levels, axis=1, keepdims=True)
    known = np.isfinite(levels)
    common = np.where(known, levels, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    rows = np.flatnonzero(known.any(axis=0))
    levels = np.where(known, levels, common)
    levels -= levels[:, rows].mean(axis=1, keepdims=True)
    return np.stack([np.interp(np.arange(levels.shape[1]), rows, level[rows]) for level in levels])
