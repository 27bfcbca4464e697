"""Smoothing against astropy's convolution, growing against scipy's distances."""

import warnings

import numpy as np
import pytest
from astropy.convolution import Gaussian2DKernel, convolve
from scipy.ndimage import distance_transform_edt

from nircam_flats import InvalidInputError
from nircam_flats.kernels import grow, smooth


def gaussian(size, sigma=1.2):
    profile = np.exp(-0.5 * ((np.arange(size) - size // 2) / sigma) ** 2)
    return profile / profile.sum()


@pytest.mark.parametrize("size", [1, 3, 5, 9])
@pytest.mark.parametrize("shape", [(40, 57), (3, 8), (1, 20), (20, 1)])
def test_smooth_is_the_convolution_of_astropy(size, shape):
    rng = np.random.default_rng(8)
    data = rng.normal(1, 0.3, shape).astype(np.float32)
    good = rng.random(shape) > 0.2
    given = np.where(good, data, np.nan)
    profile = gaussian(size)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "nan_treatment='interpolate', however, NaN values detected post convolution")
        expected = convolve(given, np.outer(profile, profile), boundary="fill", fill_value=np.nan)
    found = smooth(given, good, profile)
    alone = np.isnan(expected)  # astropy gives NaN where nothing lies under the kernel
    np.testing.assert_array_equal(np.isnan(found), alone)
    np.testing.assert_allclose(found[~alone], expected[~alone], rtol=1e-5)


def test_smooth_profile_of_the_report():
    kernel = Gaussian2DKernel(3 / np.sqrt(8 * np.log(2)), x_size=3, y_size=3)
    kernel.normalize()
    profile = kernel.array.sum(axis=0)
    data = np.random.default_rng(9).normal(0, 1, (200, 200))
    found = smooth(data, np.ones(data.shape, bool), profile)
    np.testing.assert_allclose(found[1:-1, 1:-1], convolve(data, kernel)[1:-1, 1:-1], atol=1e-5)


def test_smooth_ignores_what_is_not_good_whatever_it_is():
    data = np.ones((20, 20), np.float32)
    good = np.ones((20, 20), bool)
    for place, value in (((4, 4), np.nan), ((5, 9), np.inf), ((12, 12), 1e30)):
        data[place], good[place] = value, False
    np.testing.assert_allclose(smooth(data, good, gaussian(3)), 1, rtol=1e-6)


def test_smooth_convolves():
    data = np.zeros((9, 9), np.float32)
    data[4, 4] = 1
    profile = np.array([0.5, 0.3, 0.2])
    np.testing.assert_allclose(
        smooth(data, np.ones((9, 9), bool), profile)[3:6, 3:6], np.outer(profile, profile), atol=1e-7
    )


@pytest.mark.parametrize("radius", [0, 1, 1.5, 2, 2.9, 4, 5, 13])
def test_grow_is_all_within_the_distance(radius):
    mask = np.random.default_rng(10).random((60, 75)) < 0.003
    mask[0, 0] = mask[-1, 30] = True
    np.testing.assert_array_equal(grow(mask, radius), distance_transform_edt(~mask) <= radius)


def test_grow_by_the_largest_radius():
    mask = np.zeros((300, 600), bool)
    mask[10, 100] = True
    np.testing.assert_array_equal(grow(mask, 254), distance_transform_edt(~mask) <= 254)


def test_grow_nothing_and_everything():
    nothing = np.zeros((10, 10), bool)
    assert not grow(nothing, 3).any()
    assert grow(~nothing, 3).all()


@pytest.mark.parametrize("radius", [-1, 255, 1000, np.nan])
def test_grow_refuses_other_radii(radius):
    with pytest.raises(InvalidInputError, match="from 0 to 254"):
        grow(np.eye(5, dtype=bool), radius)
