"""Sigma-clipped combination of a stack of frames, pixel by pixel.

One pixel lies in each SIMD lane: a tile of `LANES` pixels is sorted along the stack by a network of minima and
maxima (Batcher's odd-even merge sort, Knuth TAOCP 3, algorithm 5.2.2M), which has no branches, and clipped on the
sorted values.  Stacks higher than `NETWORK_LIMIT` frames are sorted pixel by pixel.
"""

from functools import cache

import numpy as np
from numba import njit

from nircam_flats.kernels.clipping import clip_sorted

__all__ = ["combine_clipped", "sorting_network"]

LANES = 128
NETWORK_LIMIT = 256


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


@njit(nogil=True, cache=True, fastmath={"nsz", "contract", "reassoc"})
def _sort_tile(tile, network):
    for c in range(network.shape[0]):
        a = tile[network[c, 0]]
        b = tile[network[c, 1]]
        for lane in range(LANES):
            x, y = a[lane], b[lane]
            a[lane] = x if x < y else y
            b[lane] = y if x < y else x


@njit(nogil=True, cache=True)
def _combine(stack, inverse_noise, network, n_sigma, max_iterations, centre_is_mean, prior, data, err, n_used):
    n, n_pixels = stack.shape
    use_network = network.shape[0] > 0 or n < 2
    tile = np.empty((n, LANES), np.float32)
    column = np.empty(n, np.float32)
    for start in range(0, n_pixels, LANES):
        width = min(LANES, n_pixels - start)
        counts = np.zeros(LANES, np.int32)
        for i in range(n):
            for lane in range(width):
                value = stack[i, start + lane]
                finite = np.isfinite(value)
                tile[i, lane] = value if finite else np.inf
                counts[lane] += finite
            for lane in range(width, LANES):
                tile[i, lane] = np.inf
        if use_network:
            _sort_tile(tile, network)
        for lane in range(width):
            for i in range(n):
                column[i] = tile[i, lane]
            if not use_network:
                column.sort()
            low, high, median, mean, _ = clip_sorted(column, counts[lane], n_sigma, max_iterations)
            centre = mean if centre_is_mean else median
            pixel = start + lane
            data[pixel] = centre
            n_used[pixel] = high - low
            if high > low:
                bottom, top = column[low], column[high - 1]
            else:
                bottom, top = np.inf, -np.inf
            weight, weight2, variance, chi2 = 0.0, 0.0, 0.0, 0.0
            for i in range(n):
                value = stack[i, pixel]
                if value >= bottom and value <= top:
                    weight += inverse_noise[i]
                    weight2 += inverse_noise[i] ** 2
                    variance += 1 / inverse_noise[i] ** 2
                    deviation = (value - centre) * inverse_noise[i]
                    chi2 += deviation * deviation
            n_kept = high - low
            if n_kept + prior > 1 and weight > 0:
                is_mean = centre_is_mean or n_kept <= 2  # the median of two is their mean
                plain = variance / n_kept**2 if is_mean else n_kept / weight**2
                expected = n_kept - 2 + plain * weight2  # of chi2; n - 1 for equal noise
                err[pixel] = np.sqrt(plain * (prior + chi2) / (prior + expected))
            else:
                err[pixel] = np.nan


def combine_clipped(stack, noise, *, n_sigma=3.0, max_iterations=5, centre="median", prior=10.0):
    """Combine the frames of ``stack`` into one image by sigma clipping around the median.

    Parameters
    ----------
    stack
        float32, shape (n, ...), values that are not finite are ignored.
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
    network = sorting_network(n) if n <= NETWORK_LIMIT else sorting_network(0)
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
