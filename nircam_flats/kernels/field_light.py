"""Light that moves over the boxes of frames, told from what stays in each box: conjugate gradients in one loop."""

import numpy as np

from nircam_flats.kernels._njit import njit

__all__ = ["solve_moving_light"]


@njit(nogil=True, cache=True)
def _average(images, weights, total, mean):
    """The weighted mean over the frames, ``mean``, of what is in each box; 0 where no frame has any weight."""
    n, n_boxes = weights.shape
    mean[:] = 0.0
    for j in range(n):
        for box in range(n_boxes):
            mean[box] += weights[j, box] * images[j, box]
    for box in range(n_boxes):
        mean[box] = mean[box] / total[box] if total[box] > 0 else 0.0


@njit(nogil=True, cache=True)
def _look(cells, index, part, weights, total, seen, mean):
    """What the boxes see of the cells, ``seen``, and its weighted mean over the frames, ``mean``."""
    n, n_boxes = weights.shape
    for j in range(n):
        for box in range(n_boxes):
            i = j * n_boxes + box
            value = 0.0
            for k in range(4):
                value += part[i, k] * cells[index[i, k]]
            seen[j, box] = value
    _average(seen, weights, total, mean)


@njit(nogil=True, cache=True)
def _pull(values, mean, index, part, weights, out):
    """Add to the cells, ``out``, the weighted departures of the boxes that see them from the mean of their frames."""
    n, n_boxes = weights.shape
    for j in range(n):
        for box in range(n_boxes):
            i = j * n_boxes + box
            departure = weights[j, box] * (values[j, box] - mean[box])
            for k in range(4):
                out[index[i, k]] += part[i, k] * departure


@njit(nogil=True, cache=True)
def _sparse(indptr, indices, data, vector, out):
    for row in range(len(out)):
        value = 0.0
        for i in range(indptr[row], indptr[row + 1]):
            value += data[i] * vector[indices[i]]
        out[row] = value


@njit(nogil=True, cache=True)
def _solve(values, weights, index, part, indptr, indices, data, cells, most_steps, tolerance):
    n, n_boxes = weights.shape
    total, mean = weights.sum(axis=0), np.empty(n_boxes)
    seen, residual, product = np.empty((n, n_boxes)), np.zeros(len(cells)), np.empty(len(cells))
    _average(values, weights, total, mean)
    _pull(values, mean, index, part, weights, residual)
    goal = tolerance * np.sqrt(np.sum(residual**2))
    diagonal = np.zeros(len(cells))
    for row in range(len(cells)):
        for i in range(indptr[row], indptr[row + 1]):
            if indices[i] == row:
                diagonal[row] += data[i]
    for j in range(n):
        for box in range(n_boxes):
            i = j * n_boxes + box
            for k in range(4):
                diagonal[index[i, k]] += weights[j, box] * part[i, k] ** 2
    _sparse(indptr, indices, data, cells, product)
    _look(cells, index, part, weights, total, seen, mean)
    _pull(seen, mean, index, part, weights, product)
    residual -= product
    direction, before = np.zeros(len(cells)), 1.0
    for _ in range(most_steps):
        if np.sqrt(np.sum(residual**2)) <= goal:
            break
        scaled = residual / diagonal
        now = np.sum(residual * scaled)
        direction = scaled + now / before * direction
        before = now
        _sparse(indptr, indices, data, direction, product)
        _look(direction, index, part, weights, total, seen, mean)
        _pull(seen, mean, index, part, weights, product)
        step = now / np.sum(direction * product)
        cells += step * direction
        residual -= step * product
    return cells


def solve_moving_light(values, weights, interpolation, prior, start, *, most_steps, tolerance):
    """Return the light of cells that explains, beside something constant in each box, what frames see in their boxes.

    The minimum over light ``c`` and constants ``F`` of ``sum w_jb (v_jb - F_b - (A c)_jb)**2 + c' P c``, where ``F`` is
    solved for given ``c``, so that ``c`` alone is iterated, by conjugate gradients with the diagonal as preconditioner.

    Parameters
    ----------
    values, weights
        Arrays of shape (frames, boxes); values of weight 0 must be finite.
    interpolation
        ``A``, a `scipy.sparse.csr_matrix` with a row for each box of each frame, each of four entries.
    prior
        ``P``, a symmetric, positive `scipy.sparse.csr_matrix`.
    start
        Light to begin with, an array.
    most_steps, tolerance
        The steps end when the residual of the normal equations is ``tolerance`` times their right side.
    """
    return _solve(
        np.ascontiguousarray(values, float),
        np.ascontiguousarray(weights, float),
        interpolation.indices.reshape(-1, 4),
        interpolation.data.reshape(-1, 4),
        prior.indptr,
        prior.indices,
        prior.data,
        start.copy(),
        most_steps,
        tolerance,
    )
