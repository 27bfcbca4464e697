"""Smoothing with a cubic B spline whose taps lie some pixels apart, for wavelet transforms without decimation."""

import numpy as np

from nircam_flats.kernels._njit import njit

__all__ = ["spline_smoothed"]

MIDDLE, NEAR, FAR = np.float32(6 / 16), np.float32(4 / 16), np.float32(1 / 16)


def spline_smoothed(image, step):
    """Return the convolution of a float32 image with the B spline (1, 4, 6, 4, 1) / 16 along both axes.

    Neighbouring taps are ``step`` pixels apart. The image is reflected at its edges.
    """
    image = np.ascontiguousarray(image, np.float32)
    of_rows, of_columns = (_places(size, step) for size in image.shape)
    return _smooth_rows(_smooth_columns(image, of_rows), of_columns)


def _places(size, step):
    """Indices of the four outer taps for each pixel along an axis, reflected (the edge pixel is repeated)."""
    places = np.arange(size)[:, None] + step * np.array([-2, -1, 1, 2])
    places %= 2 * size
    return np.minimum(places, 2 * size - 1 - places)


@njit(nogil=True, cache=True)
def _smooth_columns(image, places):
    out = np.empty_like(image)
    for y in range(image.shape[0]):
        a, b, c, d = image[places[y, 0]], image[places[y, 1]], image[places[y, 2]], image[places[y, 3]]
        row, to = image[y], out[y]
        for x in range(image.shape[1]):
            to[x] = MIDDLE * row[x] + NEAR * (b[x] + c[x]) + FAR * (a[x] + d[x])
    return out


@njit(nogil=True, cache=True)
def _smooth_rows(image, places):
    out = np.empty_like(image)
    for y in range(image.shape[0]):
        row, to = image[y], out[y]
        for x in range(image.shape[1]):
            near, far = row[places[x, 1]] + row[places[x, 2]], row[places[x, 0]] + row[places[x, 3]]
            to[x] = MIDDLE * row[x] + NEAR * near + FAR * far
    return out
