"""Starlight that a map of susceptibility lets in: looked up for positions, or summed for many attitudes."""

import numpy as np

from nircam_flats.kernels._njit import njit

__all__ = ["look_up", "sum_starlight"]


@njit(nogil=True, cache=True, error_model="numpy")
def _value_at(values, grid, bilinear, v2, v3):
    """Value of a map at a position; 0 off the map. ``grid`` is V2 and V3 of its first edges, then pixels per degree."""
    ny, nx = values.shape
    x, y = (v2 - grid[0]) * grid[2], (v3 - grid[1]) * grid[3]
    if not (0 <= x < nx and 0 <= y < ny):
        return 0.0
    if not bilinear:
        return values[int(y), int(x)]
    x, y = x - 0.5, y - 0.5  # values belong to the middles of pixels
    left, low = int(np.floor(x)), int(np.floor(y))
    fx, fy = x - left, y - low
    right, high = min(left + 1, nx - 1), min(low + 1, ny - 1)
    left, low = max(left, 0), max(low, 0)
    below = (1 - fx) * values[low, left] + fx * values[low, right]
    above = (1 - fx) * values[high, left] + fx * values[high, right]
    return (1 - fy) * below + fy * above


@njit(nogil=True, cache=True, error_model="numpy")
def _look_up(values, grid, bilinear, v2, v3, out):
    for i in range(v2.size):
        out[i] = _value_at(values, grid, bilinear, v2[i], v3[i])


@njit(nogil=True, cache=True, error_model="numpy")
def _sum_starlight(rotations, stars, weights, values, grid, bilinear, lowest, highest, out):
    for n in range(rotations.shape[0]):
        turn, to = rotations[n], out[n]
        for i in range(stars.shape[0]):
            a, b, c = stars[i]
            z = turn[2, 0] * a + turn[2, 1] * b + turn[2, 2] * c
            if not lowest <= z <= highest:  # most stars, at most angles
                continue
            x = turn[0, 0] * a + turn[0, 1] * b + turn[0, 2] * c
            y = turn[1, 0] * a + turn[1, 1] * b + turn[1, 2] * c
            v2, v3 = np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))
            value = _value_at(values, grid, bilinear, v2, v3)
            if value != 0:
                for k in range(weights.shape[0]):
                    to[k] += value * weights[k, i]


def look_up(values, grid, v2, v3, *, bilinear):
    """Return the values of a map at positions, 0 off the map.

    Parameters
    ----------
    values
        Map ``[v3, v2]``, float64.
    grid
        V2 and V3 of the outer edge of the first pixel, and pixels per degree along V2 and V3.
    v2, v3
        Degrees, arrays of one shape.
    bilinear
        Interpolate between the middles of pixels; else take the pixel that a position lies in.
    """
    v2, v3 = np.broadcast_arrays(np.asarray(v2, float), np.asarray(v3, float))
    out = np.empty(v2.shape)
    _look_up(values, np.asarray(grid, float), bilinear, v2.ravel(), v3.ravel(), out.reshape(-1))
    return out


def sum_starlight(rotations, stars, weights, values, grid, *, bilinear):
    """Return for each attitude the sums over stars of the map's value times the weights.

    Parameters
    ----------
    rotations
        From sky to telescope, (n, 3, 3).
    stars
        Unit vectors on the sky, (m, 3).
    weights
        (k, m), one row for each sum.
    values, grid, bilinear
        As in `look_up`.

    Returns
    -------
    array
        (n, k), float64.
    """
    grid = np.asarray(grid, float)
    rows = np.flatnonzero(values.any(axis=1))
    out = np.zeros((len(rotations), len(weights)))
    if rows.size:
        edges = grid[1] + np.array([rows[0] - 1, rows[-1] + 2]) / grid[3]  # a pixel more, for the interpolation
        lowest, highest = np.sin(np.radians(edges))
        rotations, stars, weights = (np.ascontiguousarray(item, float) for item in (rotations, stars, weights))
        _sum_starlight(rotations, stars, weights, values, grid, bilinear, lowest, highest, out)
    return out
