"""Smoothing with a B spline against scipy's convolution."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.ndimage import convolve1d

from nircam_flats.kernels import spline_smoothed


@pytest.mark.parametrize("step", [1, 2, 5])
@pytest.mark.parametrize("shape", [(32, 48), (20, 21)])
def test_is_a_convolution_with_taps_apart(step, shape):
    image = np.random.default_rng(step).normal(1, 0.1, shape).astype(np.float32)
    taps = np.zeros(4 * step + 1)
    taps[::step] = np.array([1, 4, 6, 4, 1]) / 16
    expected = image.astype(float)
    for axis in (0, 1):
        expected = convolve1d(expected, taps, axis=axis, mode="reflect")
    assert_allclose(spline_smoothed(image, step), expected, rtol=1e-6)


def test_small_images_are_reflected_more_than_once():
    image = np.random.default_rng(3).normal(1, 0.1, (5, 3)).astype(np.float32)
    assert_allclose(spline_smoothed(image, 8), _by_hand(image, 8), rtol=1e-6)


def _by_hand(image, step):
    padded = np.pad(image.astype(float), 2 * step, mode="symmetric")
    for axis in (0, 1):
        parts = [np.roll(padded, k * step, axis) for k in range(-2, 3)]
        padded = sum(tap * part for tap, part in zip((1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16), parts, strict=True))
    return padded[2 * step : -2 * step, 2 * step : -2 * step]
