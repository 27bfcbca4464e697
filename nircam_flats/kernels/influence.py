"""How much each frame of a stack pulls the combined image, box by box."""

import numpy as np

from nircam_flats.kernels._njit import njit

__all__ = ["box_influences"]


LENGTH = 256
MOST = np.float32(2.5)
INFINITE = np.float32(np.inf)


@njit(nogil=True, cache=True, error_model="numpy")
def _box_influences(stack, combined, err, noise, limits, is_median, box_size, out):
    n, ny, nx = stack.shape
    length = max(LENGTH // box_size, 1) * box_size  # rows long enough to be read at speed, short enough for the cache
    deviations, pulls = np.empty((n, length), np.float32), np.empty((n, length), np.float32)
    weights, scales = np.empty(length, np.float32), np.empty(length, np.float32)
    counts, measured = np.empty(length, np.int32), np.empty(length, np.int32)
    for by in range(out.shape[1]):
        for left in range(0, nx, length):
            width = min(length, nx - left)
            pulls[:] = 0
            measured[:] = 0
            for y in range(by * box_size, min((by + 1) * box_size, ny)):
                centre = combined[y, left : left + width]
                weights[:] = 0
                counts[:] = 0
                for j in range(n):
                    row, to, weight = stack[j, y, left : left + width], deviations[j], 1 / noise[j]
                    for x in range(width):
                        deviation = row[x] - centre[x]
                        seen = abs(deviation) < INFINITE
                        to[x] = deviation if seen else np.float32(0)
                        weights[x] += weight if seen else np.float32(0)
                        counts[x] += seen
                for x in range(width):
                    measured[x] += counts[x] > 0
                    scales[x] = 1 / weights[x] if counts[x] else np.float32(0)
                    if is_median and counts[x]:
                        pull, most = err[y, left + x] / np.sqrt(np.float32(counts[x])), MOST * scales[x]
                        scales[x] = pull if pull < most else most
                for j in range(n):
                    row, to, limit, weight = deviations[j], pulls[j], limits[j], 1 / noise[j]
                    if is_median:
                        for x in range(width):
                            to[x] += scales[x] if row[x] > 0 else np.float32(0)
                            to[x] -= scales[x] if row[x] < 0 else np.float32(0)
                    else:
                        for x in range(width):
                            to[x] += min(max(row[x], -limit), limit) * scales[x] * weight
            for x in range(0, width, box_size):
                n_pixels = max(measured[x : min(x + box_size, width)].sum(), 1)
                for j in range(n):
                    out[j, by, (left + x) // box_size] = pulls[j, x : min(x + box_size, width)].sum() / n_pixels


def box_influences(stack, combined, noise, box_size, *, n_sigma=3.0, median_err=None):
    """Return the mean pull of each frame on the combined image in each box.

    The pull of frame j on a pixel is to first order what the combined value would lose without the frame, but for the
    factor ``n / (n - 1)`` of the frames that are left. With ``share_j = (1/noise_j) / sum(1/noise_i)`` over the n
    frames that saw the pixel, it is

    - for a mean, the deviation from ``combined``, cut at ``n_sigma`` times the noise of the frame, times its share;
    - for a median, which only knows on which side of it a value is, ``sign(deviation) err / sqrt(n)``. The squares of
      the pulls add up to the variance of the median, and for normal values the mean of the signs in a box is then the
      answer to a small shift of the whole box. ``err`` is that of the stack's own scatter, which shifts add to; it
      counts up to about twice what the noise of the frames explains, so that single outliers cannot make a pull.

    The share is that of a median of values with unequal noise; for equal noise it is 1/n, for the mean as well.

    Parameters
    ----------
    stack, combined
        float32, shapes (n, ny, nx) and (ny, nx); NaN where masked or unmeasured.
    noise
        1 sigma of one pixel of each frame, shape (n,).
    box_size
        Side of the boxes, pixels; the last ones may be cut by the edge.
    n_sigma
        Where the deviations from a mean are cut.
    median_err
        1 sigma error of ``combined`` in each pixel, float32, if it is a median; by default it is a mean.

    Returns
    -------
    influences
        float32, shape (n, ceil(ny / box_size), ceil(nx / box_size)); 0 where a box saw nothing.
    """
    n, ny, nx = stack.shape
    noise = np.asarray(noise, np.float32)
    is_median = median_err is not None
    err = median_err if is_median else combined
    out = np.empty((n, -(-ny // box_size), -(-nx // box_size)), np.float32)
    _box_influences(stack, combined, err, noise, np.float32(n_sigma) * noise, is_median, box_size, out)
    return out
