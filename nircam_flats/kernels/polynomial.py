"""Sums and values of two-dimensional polynomials over an image, row by row, with no row of a matrix for each pixel."""

import numpy as np

from nircam_flats.kernels._njit import njit

__all__ = ["add_changed_moments", "dot", "evaluate_polynomial"]


@njit(nogil=True, cache=True, fastmath={"nsz", "contract", "reassoc"})
def dot(one, other):
    total = 0.0
    for i in range(one.size):
        total += one[i] * other[i]
    return total


@njit(nogil=True, cache=True, error_model="numpy")
def _add_changes(data, err, good, offset, scale, by, bx, coefficients, tolerance, n_sigma, used, moments, values):
    n_terms = coefficients.shape[0]
    n_changed = 0
    surface, weight, product = np.empty(data.shape[1]), np.empty(data.shape[1]), np.empty(data.shape[1])
    use = np.empty(data.shape[1], np.bool_)
    has_err = err.size > 0
    for y in range(data.shape[0]):
        surface[:] = 0
        for i in range(n_terms):
            factor = 0.0
            for j in range(n_terms):
                factor += by[j, y] * coefficients[j, i]
            for x in range(surface.size):
                surface[x] += factor * bx[i, x]
        n_changed_here = 0
        for x in range(surface.size):
            sigma = np.float64(err[y, x]) if has_err else 0.0
            departure = abs(np.float64(data[y, x]) - offset - surface[x])
            use[x] = good[y, x] and departure <= tolerance + n_sigma * sigma
            n_changed_here += use[x] != used[y, x]
        if n_changed_here == 0:
            continue
        n_changed += n_changed_here
        for x in range(surface.size):
            change = np.float64(use[x]) - np.float64(used[y, x])
            root = scale / np.float64(err[y, x]) if has_err else 1.0
            difference = np.float64(data[y, x]) - offset
            weight[x] = change * root**2 if change != 0 else 0.0
            product[x] = weight[x] * difference if change != 0 else 0.0
            used[y, x] = use[x]
        for i in range(moments.shape[1]):
            total = dot(weight, bx[i])
            for j in range(moments.shape[0]):
                moments[j, i] += by[j, y] * total
        for i in range(n_terms):
            total = dot(product, bx[i])
            for j in range(n_terms):
                values[j, i] += by[j, y] * total
    return n_changed


def add_changed_moments(
    data, err, good, used, moments, values, *, offset, scale, by, bx, coefficients, tolerance, n_sigma
):
    """Bring the sums that the normal equations of a polynomial are made of up to date: over the pixels near a surface.

    A pixel is used if it is ``good`` and ``data - offset`` departs by at most ``tolerance + n_sigma err`` from the
    polynomial of ``coefficients``; its weight is ``(scale / err)^2``. Pixels that were not used before are added, and
    those that are no longer are taken away. Returns how many these are.

    Parameters
    ----------
    data, err
        float32 images; err may be None: weights of 1.
    good, used
        Boolean images; ``used``, which pixels are in the sums, is overwritten.
    moments, values
        Sums of ``weight by[j] bx[i]``, shape (m, m), and of ``weight (data - offset) by[j] bx[i]``, shape (k, k);
        overwritten.
    offset, scale
        Numbers.
    by, bx
        Values of the one-dimensional basis at the rows and columns, float64, shapes (m, ny) and (m, nx).
    coefficients
        float64, shape (k, k), of ``by[j] bx[i]``; k is at most m.
    """
    err = np.empty((0, 0), np.float32) if err is None else err
    return _add_changes(data, err, good, offset, scale, by, bx, coefficients, tolerance, n_sigma, used, moments, values)


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
