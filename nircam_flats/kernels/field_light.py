"""Light that moves over the boxes of frames, told from what stays in each box: conjugate gradients in one loop."""

import numpy as np

from nircam_flats.kernels._njit import njit
from nircam_flats.kernels.polynomial import dot

__all__ = ["solve_moving_light"]


@njit(nogil=True, cache=True)
def _pull(values, cells, index, part, weights, shares, out):
    """Add to the cells, ``out``, the weighted departures of the boxes that see them from the mean of their frames.

    What departs is in ``values``; None stands for what the boxes see of ``cells``.
    """
    n_boxes, n = weights.shape
    seen = np.empty(n)
    for box in range(n_boxes):
        mean = 0.0
        for j in range(n):
            if values is None:
                seen[j] = 0.0
                for k in range(4):
                    seen[j] += part[box, j, k] * cells[index[box, j, k]]
            else:
                seen[j] = values[box, j]
            mean += weights[box, j] * seen[j]
        mean *= shares[box]
        for j in range(n):
            departure = weights[box, j] * (seen[j] - mean)
            for k in range(4):
                out[index[box, j, k]] += part[box, j, k] * departure


@njit(nogil=True, cache=True)
def _roughen(cells, shapes, own, out):
    """``own`` times each cell, and what it exceeds its neighbours by, ``out``."""
    start = 0
    for ny, nx in shapes:
        for y in range(ny):
            here, there = cells[start : start + nx], out[start : start + nx]
            below = cells[start - nx : start] if y > 0 else here
            above = cells[start + nx : start + 2 * nx] if y < ny - 1 else here
            for x in range(nx):
                there[x] = (own + 2) * here[x] - below[x] - above[x]
            for x in range(1, nx):
                there[x] += here[x] - here[x - 1]
            for x in range(nx - 1):
                there[x] += here[x] - here[x + 1]
            start += nx


@njit(nogil=True, cache=True)
def _normal(cells, index, part, weights, shares, shapes, own, expected, out):
    """The left side of the normal equations, ``out``."""
    rough = np.empty(len(cells))
    _roughen(cells / expected, shapes, own, rough)
    _roughen(rough, shapes, own, out)
    out /= expected
    _pull(None, cells, index, part, weights, shares, out)


@njit(nogil=True, cache=True)
def _diagonal(index, part, weights, shapes, own, expected):
    """The diagonal of the normal equations, without what constants take of it."""
    diagonal, i = np.empty(len(expected)), 0
    for ny, nx in shapes:
        for y in range(ny):
            for x in range(nx):
                n = (y > 0) + (y < ny - 1) + (x > 0) + (x < nx - 1)
                diagonal[i] = ((own + n) ** 2 + n) / expected[i] ** 2
                i += 1
    for box in range(weights.shape[0]):
        for j in range(weights.shape[1]):
            for k in range(4):
                diagonal[index[box, j, k]] += weights[box, j] * part[box, j, k] ** 2
    return diagonal


@njit(nogil=True, cache=True)
def _solve(values, weights, index, part, shapes, own, expected, cells, most_steps, tolerance):
    shares = np.zeros(len(weights))
    for box in range(len(weights)):
        total = np.sum(weights[box])
        shares[box] = 1 / total if total > 0 else 0.0
    residual, product = np.zeros(len(cells)), np.empty(len(cells))
    _pull(values, cells, index, part, weights, shares, residual)
    goal = tolerance * np.sqrt(dot(residual, residual))
    diagonal = _diagonal(index, part, weights, shapes, own, expected)
    _normal(cells, index, part, weights, shares, shapes, own, expected, product)
    residual -= product
    direction, before = np.zeros(len(cells)), 1.0
    for _ in range(most_steps):
        if np.sqrt(dot(residual, residual)) <= goal:
            break
        scaled = residual / diagonal
        now = dot(residual, scaled)
        direction = scaled + now / before * direction
        before = now
        _normal(direction, index, part, weights, shares, shapes, own, expected, product)
        step = now / dot(direction, product)
        cells += step * direction
        residual -= step * product
    return cells


def solve_moving_light(values, weights, interpolation, shapes, expected, start, *, length, most_steps, tolerance):
    """Return the light of cells that explains, beside something constant in each box, what frames see in their boxes.

    The minimum over light ``c`` and constants ``F`` of ``sum w_bj (v_bj - F_b - (A c)_bj)**2 + |R (c / e)|**2``, where
    ``F`` is solved for given ``c``, so that ``c`` alone is iterated, by conjugate gradients with the diagonal as
    preconditioner. ``R = (1 / length**2 + Laplacian) length / sqrt(4 pi)`` turns light of unit variance that is smooth
    over a length into independent numbers.

    Parameters
    ----------
    values, weights
        Arrays of shape (boxes, frames); values of weight 0 must be finite.
    interpolation
        ``A``, a `scipy.sparse.csr_matrix` with a row for each frame of each box, each of four entries.
    shapes
        Of the meshes of cells, pairs; the cells of one follow those of the other, row by row.
    expected
        ``e``, the size of the light that is expected in each cell, an array.
    start
        Light to begin with, an array.
    length
        In cells.
    most_steps, tolerance
        The steps end when the residual of the normal equations is ``tolerance`` times their right side.
    """
    seen = (*weights.shape, 4)
    index = interpolation.indices.astype(np.uint32)  # loops ask signed ones whether they are negative
    return _solve(
        np.ascontiguousarray(values, float),
        np.ascontiguousarray(weights, float),
        index.reshape(seen),
        interpolation.data.reshape(seen),
        np.array(shapes),
        1 / length**2,
        expected * (np.sqrt(4 * np.pi) / length),
        start.copy(),
        most_steps,
        tolerance,
    )
