"""Strips along an edge of the detector where the response is low: they may be vignetted."""

import numpy as np

from nircam_flats.skyflat.meshes import median_of_frames

__all__ = ["vignetted_strips"]

LENGTH = 32
"""Pixels along the edge whose median is taken at each depth."""
DEEPEST = 48
"""A strip reaches at most so many pixels inward; what is deeper is no strip."""


def vignetted_strips(data, good, level):
    """Return the pixels of strips along an edge of the measured area, a boolean image.

    Along each edge, the medians of 32 pixels side by side are followed inward for as long as they lie below ``level``.
    A strip is at least two such pieces long, two pixels deep, and longer than it is deep: what is short or isolated is
    a concentration of dead pixels.
    """
    strips = np.zeros(data.shape, bool)
    rows, columns = (np.flatnonzero(good.any(axis=axis)) for axis in (1, 0))
    if rows.size == 0:
        return strips
    inside = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    values = np.where(good, data, np.float32(np.nan))[inside]
    for turns in range(4):
        _mark(np.rot90(values, turns), level, np.rot90(strips[inside], turns))
    return strips & good


def _mark(values, level, out):
    """Set the strips along the first row, in place."""
    depth, n = min(DEEPEST, len(values) // 2), values.shape[1] // LENGTH
    pieces = values[:depth, : n * LENGTH].reshape(depth, n, LENGTH)
    seen = np.isfinite(pieces).sum(axis=2) >= LENGTH // 4
    low = seen & (median_of_frames(np.moveaxis(pieces, 2, 0)) < level)
    depths = np.where(low.all(axis=0), 0, np.argmin(low, axis=0))  # what never ends is no strip
    depths[depths < 2] = 0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], depths > 0, [0]])))
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        if end - first >= 2 and (end - first) * LENGTH > depths[first:end].max():
            for piece in range(first, end):
                last = values.shape[1] if piece == n - 1 else (piece + 1) * LENGTH
                out[: depths[piece], piece * LENGTH : last] = True
