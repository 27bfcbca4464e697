"""Sums and values of two-dimensional polynomials over an image, row by row, with no row of a matrix for each pixel."""

import numpy as np

from nircam_flats.kernels._njit import njit

__all__ = ["dot", "evaluate_polynomial", "weighted_moments"]


@njit(nogil=True, cache=True, fastmath={"nsz", "contract", "reassoc"})
def dot(one, other):
    total = 0.0
    for i in range(one.size):
        total += one[i] * other[i]
    return total


@njit(nogil=True, cache=True)
def _add_rows(data, err, good, offset, scale, by, bx, coefficients, tolerance, n_sigma, used, moments, values):
    n_terms = coefficients.shape[0]
    n_changed, n_used = 0, 0
    surface, weight, product = np.empty(data.shape[1]), np.empty(data.shape[1]), np.empty(data.shape[1])
    has_err = err.size > 0
    for y in range(data.shape[0]):
        surface[:] = 0
        for i in range(n_terms):
            factor = 0.0
            for j in range(n_terms):
                factor += by[j, y] * coefficients[j, i]
            for x in range(surface.size):
                surface[x] += factor * bx[i, x]
        for x in range(surface.size):
            sigma = np.float64(err[y, x]) if has_err else 0.0
            difference = np.float64(data[y, x]) - offset
            use = good[y, x] and abs(difference - surface[x]) <= tolerance + n_sigma * sigma
            n_changed += use != used[y, x]
            n_used += use
            used[y, x] = use
            weight[x] = (scale / sigma) ** 2 if use and has_err else np.float64(use)
            product[x] = weight[x] * difference if use else 0.0
        for i in range(moments.shape[1]):
            total = dot(weight, bx[i])
            for j in range(moments.shape[0]):
                moments[j, i] += by[j, y] * total
        for i in range(n_terms):
            total = dot(product, bx[i])
            for j in range(n_terms):
                values[j, i] += by[j, y] * total
    return n_changed, n_used


def weighted_moments(data, err, good, used, *, offset, scale, by, bx, coefficients, tolerance, n_sigma):
    """Return the sums that the normal equations of a polynomial are made of, over the pixels near a surface.

    A pixel is used if it is ``good`` and ``data - offset`` departs by at most ``tolerance + n_sigma err`` from the
    polynomial of ``coefficients``; its weight is ``(scale / err)^2``.

    Parameters
    ----------
    data, err
        float32 images; err may be None: weights of 1.
    good, used
        Boolean images; ``used`` is overwritten.
    offset, scale
        Numbers.
    by, bx
        Values of the one-dimensional basis at the rows and columns, float64, shapes (m, ny) and (m, nx).
    coefficients
        float64, shape (k, k), of ``by[j] bx[i]``; k is at most m.

    Returns
    -------
    moments, values
        Sums of ``weight by[j] bx[i]``, shape (m, m), and of ``weight (data - offset) by[j] bx[i]``, shape (k, k).
    n_changed, n_used
        How many pixels of ``used`` changed, and how many are used.
    """
    moments, values = np.zeros((len(by), len(bx))), np.zeros(coefficients.shape)
    err = np.empty((0, 0), np.float32) if err is None else err
    n_changed, n_used = _add_rows(
        data, err, good, offset, scale, by, bx, coefficients, tolerance, n_sigma, used, moments, values
    )
    return moments, values, n_changed, n_used


@njit(nogil=True, cache=True, fastmath={"nsz", "contract", "reassoc"})
def evaluate_polynomial(coefficients, by, bx, offset):
    """Return the float32 image ``offset + sum(coefficients[j, i] by[j, y] bx[i, x])``."""
    n_terms = coefficients.shape[0]
    out = np.empty((by.shape[1], bx.shape[1]), np.float32)
    line = np.empty(bx.shape[1])
    for y in range(out.shape[0]):
        line[:] = offset
        for i in range(n_terms):
            factor = 0.0
            for j in range(n_terms):
                factor += by[j, y] * coefficients[j, i]
            for x in range(line.size):
                line[x] += factor * bx[i, x]
        for x in range(line.size):
            out[y, x] = line[x]
    return out
