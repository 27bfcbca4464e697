"""Sigma-clipped combination of a stack of frames, pixel by pixel.

One pixel lies in each SIMD lane: a tile of `LANES` pixels is sorted along the stack by a network of minima and
maxima (Batcher's odd-even merge sort, Knuth TAOCP 3, algorithm 5.2.2M), which has no branches, and clipped on the
sorted values.
"""

from functools import cache

import numpy as np

from nircam_flats.kernels._njit import njit
from nircam_flats.kernels.clipping import clip_window

__all__ = ["combine_clipped", "sorting_network"]

LANES = 128
INFINITE = np.float32(np.inf)


@cache
def sorting_network(n):
    """Return the comparators of Batcher's odd-even merge sort of ``n`` values, shape (m, 2), to run in order."""
    pairs = []
    p = 1
    while p < n:
        k = p
        while k >= 1:
            for j in range(k % p, n - k, 2 * k):
                for i in range(j, min(j + k, n - k)):
                    if i // (2 * p) == (i + k) // (2 * p):
                        pairs.append((i, i + k))
            k //= 2
        p *= 2
    return np.array(pairs, dtype=np.int32).reshape(-1, 2)


@njit(nogil=True, cache=True)
def _load(stack, start, tile, counts):
    """Copy the pixels from ``start`` on into the lanes; what is not finite becomes infinite, and is not counted."""
    width = min(LANES, stack.shape[1] - start)
    counts[:] = 0
    for i in range(stack.shape[0]):
        row = stack[i, start : start + width]
        to = tile[i]
        for lane in range(width):
            finite = abs(row[lane]) < INFINITE
            to[lane] = row[lane] if finite else INFINITE
            counts[lane] += finite
    return width


@njit(nogil=True, cache=True, fastmath={"nsz"})
def _sort(tile, network):
    for c in range(network.shape[0]):
        a = tile[network[c, 0]]
        b = tile[network[c, 1]]
        for lane in range(LANES):
            x, y = a[lane], b[lane]
            a[lane] = x if x < y else y
            b[lane] = y if x < y else x


@njit(nogil=True, cache=True)
def _sum(tile, counts, shift, total, squares):
    """Sums, and sums of squares, of the finite values about ``shift``, the middle value of each lane."""
    total[:] = 0
    squares[:] = 0
    for lane in range(LANES):
        shift[lane] = tile[min(counts[lane] // 2, tile.shape[0] - 1), lane]
    for i in range(tile.shape[0]):
        row = tile[i]
        for lane in range(LANES):
            difference = np.float64(row[lane]) - shift[lane] if row[lane] < INFINITE else 0.0
            total[lane] += difference
            squares[lane] += difference * difference


@njit(nogil=True, cache=True, error_model="numpy")
def _first_round(tile, counts, shift, total, squares, n_sigma, median, clipped):
    """Median of each lane, and whether its first or last value is clipped: in most lanes none is, and this was all."""
    for lane in range(LANES):
        n = counts[lane]
        half, last = n // 2, max(n - 1, 0)
        before = half - 1 + n % 2 if n else 0
        middle = 0.5 * (np.float64(tile[before, lane]) + np.float64(tile[min(half, last), lane]))
        mean = total[lane] / n
        reach = n_sigma * np.sqrt(max(squares[lane] / n - mean * mean, 0.0))
        median[lane] = middle
        within = (tile[0, lane] >= middle - reach) & (tile[last, lane] <= middle + reach)
        clipped[lane] = not (within and n)


@njit(nogil=True, cache=True)
def _weigh(stack, start, width, inverse_noise, bottom, top, centre, sums):
    """Sums of 1/noise, 1/noise^2, noise^2 and chi2 over the values from ``bottom`` to ``top``."""
    sums[:] = 0
    weight, weight2, variance, chi2 = sums[0], sums[1], sums[2], sums[3]
    for i in range(stack.shape[0]):
        row = stack[i, start : start + width]
        w = inverse_noise[i]
        w2, v = w * w, 1 / (w * w)
        for lane in range(width):
            kept = (row[lane] >= bottom[lane]) & (row[lane] <= top[lane])
            deviation = (row[lane] - centre[lane]) * w if kept else 0.0
            weight[lane] += w if kept else 0.0
            weight2[lane] += w2 if kept else 0.0
            variance[lane] += v if kept else 0.0
            chi2[lane] += deviation * deviation


@njit(nogil=True, cache=True, error_model="numpy")
def _combine(stack, inverse_noise, network, n_sigma, max_iterations, centre_is_mean, prior, data, err, n_used):
    tile = np.full((stack.shape[0], LANES), INFINITE)
    counts = np.zeros(LANES, np.int32)
    bottom, top = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    shift, total, squares, centre = np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty(LANES)
    sums, clipped = np.empty((4, LANES)), np.empty(LANES, np.bool_)
    for start in range(0, stack.shape[1], LANES):
        width = _load(stack, start, tile, counts)
        _sort(tile, network)
        _sum(tile, counts, shift, total, squares)
        _first_round(tile, counts, shift, total, squares, n_sigma, centre, clipped)
        for lane in range(width):
            low, high, median, mean = 0, counts[lane], centre[lane], total[lane] / counts[lane] + shift[lane]
            if clipped[lane]:
                low, high, median, mean, _ = clip_window(
                    tile[:, lane], counts[lane], shift[lane], total[lane], squares[lane], n_sigma, max_iterations
                )
            centre[lane] = mean if centre_is_mean else median
            data[start + lane] = centre[lane]
            n_used[start + lane] = high - low
            bottom[lane], top[lane] = INFINITE, -INFINITE
            if high > low:
                bottom[lane], top[lane] = tile[low, lane], tile[high - 1, lane]
        _weigh(stack, start, width, inverse_noise, bottom, top, centre, sums)
        for lane in range(width):
            weight, weight2, variance, chi2 = sums[0, lane], sums[1, lane], sums[2, lane], sums[3, lane]
            n_kept = n_used[start + lane]
            is_mean = centre_is_mean or n_kept <= 2  # the median of two is their mean
            plain = variance / n_kept**2 if is_mean else n_kept / weight**2
            expected = n_kept - 2 + plain * weight2  # of chi2; n - 1 for equal noise
            known = n_kept > 0 and n_kept + prior > 1
            err[start + lane] = np.sqrt(plain * (prior + chi2) / (prior + expected)) if known else np.nan


def combine_clipped(stack, noise, *, n_sigma=3.0, max_iterations=5, centre="median", prior=10.0):
    """Combine the frames of ``stack`` into one image by sigma clipping around the median.

    Parameters
    ----------
    stack
        float32, shape (n, ...) with n > 0; values that are not finite are ignored.
    noise
        1 sigma of one pixel of each frame, shape (n,).
    n_sigma, max_iterations
        As in `~nircam_flats.kernels.clipping.clip_sorted`.
    centre
        'median' or 'mean': what is returned of the values kept.
    prior
        Weight of the frames' own noise against the scatter that a pixel shows in the stack, in frames.

    Returns
    -------
    data, err, n_used
        float32, float32, int32, of the shape of one frame; NaN, NaN, 0 where nothing was left. ``err`` is the error
        of the mean; for the median, it is ``sqrt(n) / sum(1/noise)``, and the factor of the median, which depends on n
        alone, is for the caller. Both are scaled by ``sqrt((prior + chi2) / (prior + expected chi2))`` of the pixel.
    """
    n, shape = stack.shape[0], stack.shape[1:]
    flat = np.ascontiguousarray(stack, dtype=np.float32).reshape(n, -1)
    data, err = np.empty(flat.shape[1], np.float32), np.empty(flat.shape[1], np.float32)
    n_used = np.empty(flat.shape[1], np.int32)
    network = sorting_network(n)
    inverse_noise = 1.0 / np.asarray(noise, dtype=np.float64)
    _combine(
        flat,
        inverse_noise,
        network,
        float(n_sigma),
        int(max_iterations),
        centre == "mean",
        float(prior),
        data,
        err,
        n_used,
    )
    return data.reshape(shape), err.reshape(shape), n_used.reshape(shape)
