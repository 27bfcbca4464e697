"""How much the frames of a stack scatter about the combined image, pixel by pixel."""

import numpy as np

from nircam_flats.kernels._njit import njit

__all__ = ["stack_scatter"]

INFINITE = np.float32(np.inf)


@njit(nogil=True, cache=True, error_model="numpy")
def _stack_scatter(stack, combined, inverse_noise, out):
    n, ny, nx = stack.shape
    counts = np.empty(nx, np.float32)
    for y in range(ny):
        centre, total = combined[y], out[y]
        total[:] = 0
        counts[:] = 0
        for j in range(n):
            row, weight = stack[j, y], inverse_noise[j]
            for x in range(nx):
                deviation = (row[x] - centre[x]) * weight
                seen = abs(deviation) < INFINITE
                total[x] += deviation * deviation if seen else np.float32(0)
                counts[x] += seen
        for x in range(nx):
            total[x] = np.sqrt(total[x] / (counts[x] - 1)) if counts[x] > 1 else np.nan


def stack_scatter(stack, combined, noise):
    """Return the scatter of the frames about ``combined`` in units of their noise, 1 on average.

    Parameters
    ----------
    stack, combined
        float32, shapes (n, ny, nx) and (ny, nx); NaN where masked or unmeasured.
    noise
        1 sigma of one pixel of each frame, shape (n,).

    Returns
    -------
    scatter
        float32, shape (ny, nx): ``sqrt(sum(((value - combined) / noise)^2) / (m - 1))`` over the m values that are not
        NaN, those that were clipped included; NaN where m < 2.
    """
    out = np.empty(combined.shape, np.float32)
    _stack_scatter(stack, combined, np.float32(1) / np.asarray(noise, np.float32), out)
    return out
