"""Segmentation against a plain recipe of astropy and photutils, setting by setting."""

import warnings

import numpy as np
import pytest
from astropy.convolution import Gaussian2DKernel, convolve
from astropy.stats import gaussian_fwhm_to_sigma, sigma_clipped_stats
from photutils.segmentation import detect_sources
from scipy.ndimage import distance_transform_edt

from nircam_flats import InvalidInputError, Segmentation
from nircam_flats._strategy import key_of
from nircam_flats.kernels import smooth

NOISE = 0.03


def plain_mask(data, good, *, n_sigma=1.0, n_pixels=4, fwhm=3.0):
    """The mask of the report, as its authors would write it: one level, one scatter, photutils' segmentation."""
    given = np.where(good, data, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NaN, and of images without any source
        _, level, scatter = sigma_clipped_stats(given.astype(float), maxiters=5)
        kernel = Gaussian2DKernel(fwhm * gaussian_fwhm_to_sigma, x_size=3, y_size=3)
        kernel.normalize()
        smoothed = convolve(given, kernel, boundary="fill", fill_value=np.nan)
        found = detect_sources(smoothed, level + n_sigma * scatter, n_pixels=n_pixels, connectivity=8, mask=~good)
    return np.zeros(data.shape, bool) if found is None else found.data > 0


def sky_with_sources(seed, shape=(150, 170), n_sources=25):
    """A noisy sky with stars of all brightnesses, and pixels that are not good."""
    rng = np.random.default_rng(seed)
    data = rng.normal(1, NOISE, shape)
    y, x = np.indices(shape)
    for _ in range(n_sources):
        y0, x0 = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        data += 10 ** rng.uniform(-2, 1) * np.exp(-0.5 * ((y - y0) ** 2 + (x - x0) ** 2) / rng.uniform(0.8, 3) ** 2)
    good = rng.random(shape) > 0.03
    data[~good & (rng.random(shape) < 0.5)] = 1e4  # what is not good may be anything
    return data.astype(np.float32), good


def empty_sky(seed, shape=(256, 256)):
    data = np.random.default_rng(seed).normal(1, NOISE, shape).astype(np.float32)
    return data, np.ones(shape, bool)


@pytest.mark.parametrize("seed", range(6))
def test_of_report_is_the_plain_recipe(seed):
    data, good = sky_with_sources(seed)
    masked = Segmentation.of_report()(data, good)
    assert 0.03 < masked.mean() < 0.5
    np.testing.assert_array_equal(masked, plain_mask(data, good))


@pytest.mark.parametrize(
    "settings", [{"n_sigma": 0.4}, {"n_sigma": 2.5}, {"n_pixels": 1}, {"n_pixels": 30}, {"fwhm": 1.5}]
)
def test_settings_are_those_of_the_plain_recipe(settings):
    data, good = sky_with_sources(7)
    masked = Segmentation(**({"n_sigma": 1.0, "grow": 0} | settings))(data, good)
    np.testing.assert_array_equal(masked, plain_mask(data, good, **settings))
    assert not np.array_equal(masked, Segmentation.of_report()(data, good))


def test_noise_of_the_smoothed_image():
    """What the docstring says of ``n_sigma``: 1 cuts at 2.9 times the noise of the smoothed image."""
    data, good = empty_sky(8)
    profile = np.exp(-0.5 * (np.arange(-1, 2) / (3 * gaussian_fwhm_to_sigma)) ** 2)
    noise = smooth(data, good, profile / profile.sum()).std() / NOISE
    assert noise == pytest.approx(0.34, abs=0.005)
    assert 1 / noise == pytest.approx(2.9, abs=0.05)


@pytest.mark.parametrize(
    ("strategy", "most"),
    [(Segmentation.of_report(), 0.01), (Segmentation(), 0.03), (Segmentation.for_first_pass(), 0.03)],
    ids=repr,
)
def test_an_empty_sky_is_left_alone(strategy, most):
    for seed in range(3):
        assert strategy(*empty_sky(seed)).mean() < most


@pytest.mark.parametrize(
    "strategy", [Segmentation(), Segmentation.of_report(), Segmentation.for_first_pass()], ids=repr
)
def test_injected_sources_are_found(strategy):
    data, good = empty_sky(9)
    y, x = np.indices(data.shape)
    places = [(y0, x0) for y0 in range(20, 256, 40) for x0 in range(15, 256, 45)]
    for y0, x0 in places:  # 10 sigma in the central pixel
        data = data + np.float32(10 * NOISE) * np.exp(-0.5 * ((y - y0) ** 2 + (x - x0) ** 2) / 1.3**2, dtype=np.float32)
    masked = strategy(data, good)
    assert all(masked[place] for place in places)
    assert masked.mean() < 0.02 + len(places) * np.pi * (strategy.grow + 3) ** 2 / data.size


def test_pixels_that_touch_by_corners_are_one_source():
    data, good = empty_sky(10)
    for step in range(6):
        data[100 + step, 100 + step] = 3
    assert Segmentation(n_pixels=10, grow=0)(data, good)[100, 100]


def test_n_pixels_counts_the_connected_ones():
    data, good = empty_sky(11)
    data[100, 100] = 1.6  # one pixel spreads to a plus of 9
    size = Segmentation(n_pixels=1, n_sigma=2.0, grow=0)(data, good)[90:110, 90:110].sum()
    assert 1 < size <= 9
    assert Segmentation(n_pixels=int(size), n_sigma=2.0, grow=0)(data, good)[100, 100]
    assert not Segmentation(n_pixels=int(size) + 1, n_sigma=2.0, grow=0)(data, good)[100, 100]


@pytest.mark.parametrize("radius", [1, 4, 6.5])
def test_sources_are_grown(radius):
    data, good = sky_with_sources(12)
    found = Segmentation(grow=0)(data, good)
    expected = (distance_transform_edt(~found) <= radius) & good
    np.testing.assert_array_equal(Segmentation(grow=radius)(data, good), expected)


def test_a_local_background_follows_a_wrong_flat():
    """A flat that is 8 % wrong from edge to edge: one level masks the bright side, local ones do not."""
    data, good = empty_sky(13)
    y, x = np.indices(data.shape) / 256 - 0.5
    data *= (1 + 0.08 * x + 0.04 * y).astype(np.float32)
    one_level = Segmentation(n_sigma=1.0, grow=0)(data, good)
    assert one_level[:, 192:].mean() > 20 * one_level[:, :64].mean()
    local = Segmentation(n_sigma=1.0, grow=0, box_size=16)(data, good)
    assert local.mean() < 0.01
    assert local[:, 192:].mean() < 3 * local[:, :64].mean() + 0.002


def test_a_local_background_ignores_sources_and_gaps():
    data, good = empty_sky(14)
    data[60:76, 60:76] += 2  # a sixteenth of a box
    good[128:200, 128:200] = False  # a box without a good pixel
    masked = Segmentation(n_sigma=1.5, grow=4, box_size=64)(data, good)
    assert masked[60:76, 60:76].all()
    masked[50:86, 50:86] = False
    assert masked.mean() < 0.002


def test_a_local_background_needs_pixels():
    data, good = empty_sky(15)
    good &= np.random.default_rng(15).random(data.shape) < 0.05
    with pytest.raises(InvalidInputError, match="box of 64 px with 10 % good pixels"):
        Segmentation(box_size=64)(data, good)


def test_the_first_pass_differs_by_its_background_alone():
    first, second = vars(Segmentation.for_first_pass()), vars(Segmentation())
    assert {name for name in second if first[name] != second[name]} == {"box_size"}


@pytest.mark.parametrize(
    "bad", [{"n_sigma": 0}, {"n_pixels": 0}, {"fwhm": -1}, {"grow": -1}, {"grow": 300}, {"box_size": 2}]
)
def test_bad_settings(bad):
    ((name, value),) = bad.items()
    with pytest.raises(InvalidInputError, match=rf"Segmentation needs .*{name}.*; got .*{name}={value}"):
        Segmentation(**bad)


def test_key_tells_settings_apart():
    assert key_of(Segmentation()) == key_of(Segmentation())
    keys = {key_of(item) for item in (Segmentation(), Segmentation(n_sigma=2), Segmentation(box_size=64))}
    assert len(keys) == 3
