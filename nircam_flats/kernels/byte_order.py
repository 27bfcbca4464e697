"""Numbers from the byte order of FITS files to that of the processor, in place."""

import numpy as np

from nircam_flats.kernels._njit import njit

__all__ = ["swap_bytes"]


@njit(nogil=True, cache=True)
def _swap(words):
    for i in range(words.size):
        word = words[i]
        words[i] = (
            (word >> np.uint32(24))
            | ((word >> np.uint32(8)) & np.uint32(0xFF00))
            | ((word << np.uint32(8)) & np.uint32(0xFF0000))
            | (word << np.uint32(24))
        )


def swap_bytes(array):
    """Reverse the bytes of each item of ``array``, a C-contiguous array, in place.

    As `numpy.ndarray.byteswap`, but other threads go on meanwhile where items have four bytes, as in all large images.
    """
    if array.itemsize == 4:
        _swap(array.reshape(-1).view(np.uint32))
    else:
        array.byteswap(inplace=True)
