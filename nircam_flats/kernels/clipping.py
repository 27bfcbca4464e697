"""Sigma clipping on sorted values: the one rule that all clipped statistics of the library share.

With the values in order, clipping only moves the two ends of a window inwards; the sums over the window are kept
by subtracting what leaves it, and taken anew where that leaves too few digits.  The rule is that of
`astropy.stats.sigma_clip` (median, population standard deviation, at most ``max_iterations`` rounds); its values are
the same but for the last digit.
"""

import numpy as np

from nircam_flats.kernels._njit import njit

__all__ = ["clip_sorted", "clip_sorted_rows", "clip_window", "clipped_statistics"]

CANCELLED = 1e-6
"""Part of the sum of squares below which what is left after a subtraction is not trusted."""


@njit(nogil=True, cache=True, inline="always")
def _middle(values, low, high):
    """Median of ``values[low:high]``, which are sorted."""
    half = (low + high) // 2
    if (high - low) % 2:
        return np.float64(values[half])
    return 0.5 * (np.float64(values[half - 1]) + np.float64(values[half]))


@njit(nogil=True, cache=True)
def _sums(values, low, high, shift):
    """Sum, and sum of squares, of ``values[low:high] - shift``."""
    total, squares = 0.0, 0.0
    for i in range(low, high):
        difference = np.float64(values[i]) - shift
        total += difference
        squares += difference * difference
    return total, squares


@njit(nogil=True, cache=True)
def clip_sorted(values, n, n_sigma, max_iterations):
    """Clip the first ``n`` (sorted, finite) of ``values``.

    Returns
    -------
    low, high
        The values kept are ``values[low:high]``.
    median, mean, std
        Of the values kept; std is that of the population. NaN if there are none.
    """
    shift = np.float64(values[n // 2]) if n else np.nan  # sums are about a typical value, so that they do not cancel
    total, squares = _sums(values, 0, n, shift)
    return clip_window(values, n, shift, total, squares, n_sigma, max_iterations)


@njit(nogil=True, cache=True)
def clip_window(values, n, shift, total, squares, n_sigma, max_iterations):
    """Do `clip_sorted`, given the sum and the sum of squares of the values less ``shift``, one of them."""
    if n == 0:
        return 0, 0, np.nan, np.nan, np.nan
    low, high = 0, n
    largest = squares
    median = _middle(values, low, high)
    mean = total / n
    std = np.sqrt(max(squares / n - mean * mean, 0.0))
    for _ in range(max_iterations):
        bottom, top = median - n_sigma * std, median + n_sigma * std
        was_low, was_high = low, high
        while low < high and values[low] < bottom:
            difference = np.float64(values[low]) - shift
            total -= difference
            squares -= difference * difference
            low += 1
        while high > low and values[high - 1] > top:
            high -= 1
            difference = np.float64(values[high]) - shift
            total -= difference
            squares -= difference * difference
        if low == was_low and high == was_high:
            break
        if low == high:  # nothing lies within less than a standard deviation
            return low, high, np.nan, np.nan, np.nan
        if not squares > CANCELLED * largest:
            total, squares = _sums(values, low, high, shift)
            largest = squares
        median = _middle(values, low, high)
        mean = total / (high - low)
        std = np.sqrt(max(squares / (high - low) - mean * mean, 0.0))
    return low, high, median, mean + shift, std


@njit(nogil=True, cache=True)
def clip_sorted_rows(rows, counts, n_sigma, max_iterations):
    """Apply `clip_sorted` to each row; return the medians, stds and numbers kept, one per row."""
    n_rows = rows.shape[0]
    medians = np.empty(n_rows, np.float32)
    stds = np.empty(n_rows, np.float32)
    kept = np.empty(n_rows, np.int32)
    for i in range(n_rows):
        low, high, median, _, std = clip_sorted(rows[i], counts[i], n_sigma, max_iterations)
        medians[i], stds[i], kept[i] = median, std, high - low
    return medians, stds, kept


def clipped_statistics(values, *, n_sigma=3.0, max_iterations=5):
    """Return median, mean, standard deviation and number of the finite ``values`` left after sigma clipping.

    Parameters
    ----------
    values
        Array of any shape; values that are not finite are ignored.
    n_sigma, max_iterations
        Where to cut, and how often.

    Returns
    -------
    median, mean, std, n
        NaN, NaN, NaN and 0 where no value is finite. ``std`` is that of the population (no correction for
        the clipped tails).
    """
    values = np.asarray(values)
    values = values[np.isfinite(values)]  # a copy
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    values.sort()
    low, high, median, mean, std = clip_sorted(values, values.size, n_sigma, max_iterations)
    return median, mean, std, high - low
