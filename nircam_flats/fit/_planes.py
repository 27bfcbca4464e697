"""An image split by spatial scale: planes of structure 1, 2, 4 ... px wide, and how much of each is no noise.

The isotropic undecimated wavelet transform with a cubic B spline ("starlet"; Starck, Murtagh & Fadili 2010, *Sparse
Image and Signal Processing*, section 3.5).
"""

from functools import cache

import numpy as np
from scipy.ndimage import uniform_filter
from scipy.signal import fftconvolve

from nircam_flats.kernels import spline_smoothed

__all__ = ["filled", "noise_factors", "power_gain", "starlet"]


def power_gain(plane, noise, width, window, n_sigma):
    """Part of the local power of a plane that noise does not explain, not clipped: ``1 - N / P``.

    Parameters
    ----------
    plane, noise
        Coefficients, and the variance of their noise.
    width
        Area over which the noise is correlated, pixels.
    window
        Side of the area over which the powers are taken, pixels.
    n_sigma
        Standard deviations of the power of noise that are no structure.
    """
    size = min(int(window) | 1, 2 * min(plane.shape) - 1)
    area = min(size, plane.shape[0]) * min(size, plane.shape[1])
    margin = np.float32(1 + n_sigma * np.sqrt(2 * width / area))
    power = uniform_filter(plane**2, size, mode="reflect")
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 - margin * uniform_filter(noise, size, mode="reflect") / power


def filled(image, good):
    """``image`` with pixels that are not good replaced by the mean of the good ones around, from near to far.

    Those with none within 16 pixels get the median of all.
    """
    result = np.where(good, image, 0).astype(np.float32)
    missing = ~good
    for size in (3, 9, 33):
        if not missing.any():
            break
        weight = uniform_filter(good.astype(np.float32), size, mode="reflect")
        total = uniform_filter(np.where(good, image, 0).astype(np.float32), size, mode="reflect")
        found = missing & (weight > 0.5 / size**2)
        result[found] = total[found] / weight[found]
        missing &= ~found
    if missing.any():
        result[missing] = np.median(image[good])
    return result


def starlet(image, n_scales):
    """Planes of the image, from fine to coarse; what is left when they are taken from it is smooth."""
    planes = []
    for number in range(n_scales):
        smoother = spline_smoothed(image, 2**number)
        planes.append(image - smoother)
        image = smoother
    return planes


@cache
def noise_factors(n_scales):
    """Power of white noise of variance 1 in each plane, and the area over which it is correlated, pixels."""
    size = 2 ** (n_scales + 3) + 1
    impulse = np.zeros((size, size), np.float32)
    impulse[size // 2, size // 2] = 1
    factors = []
    for plane in starlet(impulse, n_scales):
        plane = plane.astype(np.float64)
        power = np.sum(plane**2)
        correlation = fftconvolve(plane, plane[::-1, ::-1], mode="same") / power
        factors.append((np.float32(power), float(np.sum(correlation**2))))
    return tuple(factors)
