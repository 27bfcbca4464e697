"""Sigma clipping on sorted values: the one rule that all clipped statistics of the library share.

With the values in order, clipping only moves the two ends of a window inwards; the sums over the window are kept
by subtracting what leaves it, and taken anew where that leaves too few digits.  The rule is that of
`astropy.stats.sigma_clip` (median, population standard deviation, at most ``max_iterations`` rounds); its values are
the same but for the last digit.
"""

import numpy as np

from nircam_flats.kernels._njit import njit

__all__ = ["clip_sorted", "clip_values", "clip_window", "clipped_statistics", "take_finite"]

SAMPLE = 128
MOST_BINS = 2048
"""A sample of the values says where they lie; they are put into up to so many bins, most of which are never sorted."""
FEW = 64
"""Values that are sorted at once."""
ONE = np.uint64(1)
"""Places counted without a sign need no look at whether they are counted from the end."""
CANCELLED = 1e-6
"""Part of the sum of squares below which what is left after a subtraction is not trusted."""


@njit(nogil=True, cache=True, inline="always")
def _middle(values, low, high):
    """Median of ``values[low:high]``, which are sorted."""
    half = (low + high) // 2
    if (high - low) % 2:
        return np.float64(values[half])
    return 0.5 * (np.float64(values[half - 1]) + np.float64(values[half]))


@njit(nogil=True, cache=True, fastmath={"nsz", "contract", "reassoc"})
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
def take_finite(values, kept, n):
    """Put the values that are finite into ``kept`` from place ``n`` on, and return where they end.

    ``kept`` has one place more than there are values.
    """
    for value in values:
        kept[n] = value
        n += np.isfinite(value)
    return n


@njit(nogil=True, cache=True)
def _take_chosen(values, chosen, kept):
    """Do `take_finite` with the values that are chosen."""
    n = 0
    for i in range(values.size):
        kept[n] = values[i]
        n += np.isfinite(values[i]) & chosen[i]
    return n


def clipped_statistics(values, *, where=None, n_sigma=3.0, max_iterations=5):
    """Return median, mean, standard deviation and number of the finite ``values`` left after sigma clipping.

    Parameters
    ----------
    values
        Array of any shape; values that are not finite are ignored.
    where
        Boolean array of its shape: the values that count; by default all.
    n_sigma, max_iterations
        Where to cut, and how often.

    Returns
    -------
    median, mean, std, n
        NaN, NaN, NaN and 0 where no value is finite. ``std`` is that of the population (no correction for
        the clipped tails).
    """
    values = np.asarray(values)
    values = values.astype(np.float32 if values.dtype.newbyteorder("=") == np.float32 else np.float64, copy=False)
    kept, ordered = np.empty((2, values.size + 1), values.dtype)
    bins = np.empty(values.size, np.int16)
    n = take_finite(values.ravel(), kept, 0) if where is None else _take_chosen(values.ravel(), where.ravel(), kept)
    low, high, median, mean, std = clip_values(kept[:n], ordered, bins, n_sigma, max_iterations)
    return median, mean, std, high - low


@njit(nogil=True, cache=True)
def _group(values, lowest, scale, n_bins, bins, ordered):
    """Order values by bins of width ``1 / scale`` from ``lowest``; the first and last bin take what lies outside.

    They are put into ``ordered``, bin after bin; returns where each bin starts.
    """
    last = values.dtype.type(n_bins + 1)
    for i in range(values.size):
        bins[i] = np.int16(min(max((values[i] - lowest) * scale + values.dtype.type(1), values.dtype.type(0)), last))
    starts = np.zeros(n_bins + 3, np.int64)
    for i in range(values.size):
        starts[np.uint16(bins[i]) + ONE] += 1
    starts = np.cumsum(starts)
    free = starts.astype(np.uint64)
    for i in range(values.size):
        number = np.uint64(np.uint16(bins[i]))
        place = free[number]
        ordered[place] = values[i]
        free[number] = place + ONE
    return starts


@njit(nogil=True, cache=True)
def _sort(values):
    if values.size > FEW:
        values.sort()
        return
    for i in range(1, values.size):
        value, j = values[i], i
        while j > 0 and values[j - 1] > value:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value


@njit(nogil=True, cache=True)
def _sort_bin_of(rank, ordered, starts, is_sorted):
    """Sort the bin in which the value of this rank lies, if it is not yet."""
    number = np.searchsorted(starts, rank, side="right") - 1
    if not is_sorted[number]:
        _sort(ordered[starts[number] : starts[number + 1]])
        is_sorted[number] = True


@njit(nogil=True, cache=True)
def _median_of(low, high, ordered, starts, is_sorted):
    half = (low + high) // 2
    _sort_bin_of(half, ordered, starts, is_sorted)
    _sort_bin_of(max(half - 1, low), ordered, starts, is_sorted)
    return _middle(ordered, low, high)


@njit(nogil=True, cache=True)
def clip_values(values, ordered, bins, n_sigma, max_iterations):
    """Do `clip_sorted` for finite values in any order, sorting only those near the median and beyond the cuts.

    ``low`` and ``high`` only say how many are cut on each side. The values may come back in another order; ``ordered``
    (of their type) and ``bins`` (int16) are arrays, at least as large, to work in.
    """
    n = values.size
    if n <= FEW:
        values.sort()
        return clip_sorted(values, n, n_sigma, max_iterations)
    n_bins = min(MOST_BINS, n // 4)
    sample = values[:: max(n // SAMPLE, 16)].copy()
    _sort(sample)
    shift = np.float64(sample[sample.size // 2])
    width = np.float64(sample[sample.size * 84 // 100]) - np.float64(sample[sample.size * 16 // 100])
    if not 0 < width < np.inf:
        values.sort()
        return clip_sorted(values, n, n_sigma, max_iterations)
    lowest, scale = values.dtype.type(shift - 4 * width), values.dtype.type(n_bins / (8 * width))
    starts = _group(values, lowest, scale, n_bins, bins, ordered)
    is_sorted = np.zeros(n_bins + 2, np.bool_)
    low, high = 0, n
    total, squares = _sums(ordered, low, high, shift)
    largest = squares
    median = _median_of(low, high, ordered, starts, is_sorted)
    mean = total / n
    std = np.sqrt(max(squares / n - mean * mean, 0.0))
    for _ in range(max_iterations):
        bottom, top = median - n_sigma * std, median + n_sigma * std
        was_low, was_high = low, high
        while low < high:
            number = np.searchsorted(starts, low, side="right") - 1
            end = min(starts[number + 1], high)
            if not is_sorted[number] and ordered[low:end].max() >= bottom:
                _sort_bin_of(low, ordered, starts, is_sorted)
            if is_sorted[number]:
                end = low + np.searchsorted(ordered[low:end], bottom)
            if end == low:
                break
            part, part_squares = _sums(ordered, low, end, shift)
            total -= part
            squares -= part_squares
            low = end
        while high > low:
            number = np.searchsorted(starts, high - 1, side="right") - 1
            start = max(starts[number], low)
            if not is_sorted[number] and ordered[start:high].min() <= top:
                _sort_bin_of(high - 1, ordered, starts, is_sorted)
            if is_sorted[number]:
                start += np.searchsorted(ordered[start:high], top, side="right")
            if start == high:
                break
            part, part_squares = _sums(ordered, start, high, shift)
            total -= part
            squares -= part_squares
            high = start
        if low == was_low and high == was_high:
            break
        if not squares > CANCELLED * largest:
            total, squares = _sums(ordered, low, high, shift)
            largest = squares
        median = _median_of(low, high, ordered, starts, is_sorted)
        mean = total / (high - low)
        std = np.sqrt(max(squares / (high - low) - mean * mean, 0.0))
    return low, high, median, mean + shift, std
