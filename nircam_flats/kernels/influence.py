"""How much each frame of a stack pulls the combined image, box by box."""

import numpy as np
from numba import njit

__all__ = ["box_influences"]


@njit(nogil=True, cache=True)
def _box_influences(stack, combined, share, limit, box_size, out):
    n, ny, nx = stack.shape
    for by in range(out.shape[1]):
        for bx in range(out.shape[2]):
            totals = np.zeros(n)
            n_pixels = 0
            for y in range(by * box_size, min((by + 1) * box_size, ny)):
                for x in range(bx * box_size, min((bx + 1) * box_size, nx)):
                    centre = combined[y, x]
                    if not np.isfinite(centre):
                        continue
                    weight = 0.0
                    for j in range(n):
                        if np.isfinite(stack[j, y, x]):
                            weight += share[j]
                    if weight == 0:
                        continue
                    n_pixels += 1
                    for j in range(n):
                        value = stack[j, y, x]
                        if np.isfinite(value):
                            deviation = min(max(value - centre, -limit[j]), limit[j])
                            totals[j] += deviation * share[j] / weight
            for j in range(n):
                out[j, by, bx] = totals[j] / n_pixels if n_pixels else 0.0


def box_influences(stack, combined, noise, box_size, *, n_sigma=3.0):
    """Return the mean pull of each frame on the combined image in each box.

    The pull of frame j on a pixel is its deviation from ``combined``, cut at ``n_sigma`` times its noise, times its
    share ``(1/noise_j) / sum(1/noise_i)`` over the frames that saw the pixel: to first order what the combined
    value would lose without the frame. (The share is that of a median of values with unequal noise; for equal
    noise it is 1/n, for the mean as well.)

    Parameters
    ----------
    stack, combined
        float32, shapes (n, ny, nx) and (ny, nx); NaN where masked or unmeasured.
    noise
        1 sigma of one pixel of each frame, shape (n,).
    box_size
        Side of the boxes, pixels; the last ones may be cut by the edge.

    Returns
    -------
    influences
        float32, shape (n, ceil(ny / box_size), ceil(nx / box_size)); 0 where a box saw nothing.
    """
    n, ny, nx = stack.shape
    noise = np.asarray(noise, float)
    out = np.empty((n, -(-ny // box_size), -(-nx // box_size)), np.float32)
    _box_influences(stack, combined, 1 / noise, n_sigma * noise, box_size, out)
    return out
