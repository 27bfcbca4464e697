"""Rows of a frame as they are combined: divided, and NaN where masked, in one pass."""

import numpy as np

from nircam_flats.kernels._njit import njit

__all__ = ["divide_rows"]

NOTHING = np.empty((0, 0), np.uint8)


@njit(nogil=True, cache=True, error_model="numpy")
def _divide_rows(pixels, scale, divisor, masked, out):
    ny, nx = out.shape
    for y in range(ny):
        row, to = pixels[y], out[y]
        if divisor.size:
            below = divisor[y]
            for x in range(nx):
                to[x] = row[x] / (scale * below[x])
        else:
            for x in range(nx):
                to[x] = row[x] / scale
        if masked.size:
            for i in range(masked.shape[1]):
                byte = masked[y, i]
                if byte:
                    for x in range(8 * i, min(8 * i + 8, nx)):
                        if byte >> (7 - x % 8) & 1:
                            to[x] = np.nan


def divide_rows(pixels, scale, *, divisor=None, masked=None, out=None):
    """Return ``pixels / (scale * divisor)``, float32, with NaN where ``masked``.

    Parameters
    ----------
    pixels
        float32 rows ``[y, x]``.
    scale
        A number.
    divisor
        float32 rows; None for 1.
    masked
        Packed eight pixels to a byte along the rows (`numpy.packbits`); None for none.
    out
        Where to write, float32; a new array by default.
    """
    out = np.empty(pixels.shape, np.float32) if out is None else out
    divisor = NOTHING.astype(np.float32) if divisor is None else divisor
    _divide_rows(pixels, np.float32(scale), divisor, NOTHING if masked is None else masked, out)
    return out
