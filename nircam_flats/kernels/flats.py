"""Loops over the pixels of flats: the product with a surface, with errors and flags; faults; the mean of a ratio."""

import numpy as np

from nircam_flats.kernels._njit import njit

__all__ = ["correct_flat", "pixel_faults", "ratio_moments", "usable_pixels"]


@njit(nogil=True, cache=True, inline="always")
def _value_known(value):
    return np.isfinite(value) and value > 0


@njit(nogil=True, cache=True, inline="always")
def _err_known(err):
    return np.isfinite(err) and err >= 0


@njit(nogil=True, cache=True)
def _correct(data, err, dq, surface, surface_err, no_flat, no_answer, new, new_err, new_dq):
    changed = 0
    for y in range(data.shape[0]):
        for x in range(data.shape[1]):
            value, sigma, flags = data[y, x], err[y, x], dq[y, x]
            answered = _value_known(value) and _err_known(sigma) and (flags & no_flat) == 0
            if answered:
                factor, factor_err = np.float64(surface[y, x]), np.float64(surface_err[y, x])
                first, second = sigma * factor, value * factor_err
                product = np.float32(value * factor)
                product_err = np.float32(np.sqrt(first * first + second * second))
                answered = _value_known(product) and _err_known(product_err)
                if answered:
                    value = product
                sigma = product_err
            if not answered:
                if value != 1 or (flags & no_answer) != no_answer:
                    changed += 1
                value = np.float32(1)
                flags |= no_answer
                if not _err_known(sigma):
                    sigma = np.float32(1)
            new[y, x], new_err[y, x], new_dq[y, x] = value, sigma, flags
    return changed


def correct_flat(data, err, dq, surface, surface_err, *, no_flat, no_answer):
    """Return the product of a flat and a surface, its error and flags, and how many pixels were newly given up.

    ``err_new**2 = (err * surface)**2 + (data * surface_err)**2``, in float64 inside, float32 out. Where value or error
    of either is not known (finite and positive; finite and not negative), or a flag of ``no_flat`` is set, the value
    is 1 and the flags ``no_answer`` are set; an error that is not known is 1 there too.

    Parameters
    ----------
    data, err, surface, surface_err
        float32 images ``[y, x]``; the last two may be single values.
    dq
        uint32 image.
    no_flat, no_answer
        Bits of ``dq``.

    Returns
    -------
    data, err, dq
        New images.
    n_given_up
        Pixels without an answer that were not 1 and flagged ``no_answer`` before.
    """
    surface, surface_err = (
        np.broadcast_to(np.asarray(plane, np.float32), data.shape) for plane in (surface, surface_err)
    )
    new = np.empty(data.shape, np.float32), np.empty(data.shape, np.float32), np.empty(data.shape, np.uint32)
    n_given_up = _correct(data, err, dq, surface, surface_err, np.uint32(no_flat), np.uint32(no_answer), *new)
    return *new, n_given_up


@njit(nogil=True, cache=True)
def pixel_faults(data, err, dq, no_flat, no_answer):
    """Return how many pixels break a rule, and the first one as an index into the flat image; -1 if none does.

    Parameters
    ----------
    data, err
        float32 images ``[y, x]``.
    dq
        uint32 image.
    no_flat, no_answer
        Bits of ``dq``.

    Returns
    -------
    counts, firsts
        Arrays of three: values that are not finite and positive; errors that are not finite or are negative; pixels
        with a bit of ``no_flat`` whose value is not 1 or that lack a bit of ``no_answer``.
    n_usable
        Pixels whose value is finite and positive, without any bit of ``no_answer``.
    """
    counts, firsts, n_usable = np.zeros(3, np.int64), np.full(3, -1, np.int64), 0
    for y in range(data.shape[0]):
        for x in range(data.shape[1]):
            value, flags = data[y, x], dq[y, x]
            known, err_known = _value_known(value), _err_known(err[y, x])
            n_usable += known and (flags & no_answer) == 0
            unsettled = (flags & no_flat) != 0 and (value != 1 or (flags & no_answer) != no_answer)
            if known and err_known and not unsettled:
                continue
            for rule, broken in enumerate((not known, not err_known, unsettled)):
                if broken:
                    if counts[rule] == 0:
                        firsts[rule] = y * data.shape[1] + x
                    counts[rule] += 1
    return counts, firsts, n_usable


@njit(nogil=True, cache=True)
def usable_pixels(data, dq, flags):
    """Return a boolean image, True where ``data`` is finite and positive and ``dq`` has none of ``flags``."""
    usable = np.empty(data.shape, np.bool_)
    for y in range(data.shape[0]):
        for x in range(data.shape[1]):
            value = data[y, x]
            usable[y, x] = np.isfinite(value) & (value > 0) & ((dq[y, x] & flags) == 0)
    return usable


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc"})  # so that it is vectorised
def ratio_moments(first, second, good):
    """Return number, mean and standard deviation (of the population) of ``first / second`` where ``good``."""
    n, total, squares = 0, 0.0, 0.0
    for y in range(first.shape[0]):
        row_total, row_squares = 0.0, 0.0
        for x in range(first.shape[1]):
            departure = np.float64(first[y, x]) / np.float64(second[y, x]) - 1.0 if good[y, x] else 0.0
            n += good[y, x]
            row_total += departure
            row_squares += departure * departure
        total += row_total
        squares += row_squares
    if n == 0:
        return 0, np.nan, np.nan
    mean = total / n
    return n, 1.0 + mean, np.sqrt(max(squares / n - mean * mean, 0.0))
