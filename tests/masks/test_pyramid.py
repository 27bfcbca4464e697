"""Faint light that single pixels do not show is found in means over boxes."""

import numpy as np
import pytest

from nircam_flats import InvalidInputError, PyramidSegmentation, Segmentation, SkyLevel

NOISE = 0.1


@pytest.fixture
def halo():
    """A sky of 1 with noise, and a halo of 3 % whose light no pixel shows: data, its light."""
    rng = np.random.default_rng(1)
    y, x = np.indices((320, 300))
    light = 0.03 * np.exp(-0.5 * ((y - 150) ** 2 + (x - 130) ** 2) / 40**2)
    return (1 + light + rng.normal(0, NOISE, light.shape)).astype(np.float32), light


def test_a_halo_below_the_noise_is_masked(halo):
    data, light = halo
    good = np.ones(data.shape, bool)
    middle = light > 0.02
    assert Segmentation(grow=0)(data, good)[middle].mean() < 0.1
    found = PyramidSegmentation()(data, good)
    assert found[middle].mean() > 0.95
    assert found[light < 1e-4].mean() < 0.2
    masks = Segmentation(grow=0), PyramidSegmentation()
    levels = [SkyLevel.measure(data, mask(data, good)) for mask in masks]
    assert levels[0].value > 1.002
    assert levels[1].value == pytest.approx(1, abs=0.0015)


def test_a_level_without_sources_is_not_pulled():
    levels = []
    for seed in range(8):
        data = np.random.default_rng(seed).normal(1, NOISE, (320, 300)).astype(np.float32)
        masked = PyramidSegmentation()(data, np.ones(data.shape, bool))
        assert masked.mean() < 0.3
        levels.append(SkyLevel.measure(data, masked).value)
    assert np.mean(levels) == pytest.approx(1, abs=0.0006)  # 0.4 % of the noise of a pixel


def test_errors_of_the_flat_are_no_light_over_a_local_background():
    x = np.indices((1024, 768))[0]
    data = 1 + 0.03 * np.sin(2 * np.pi * x / 2048) + np.random.default_rng(1).normal(0, 0.03, x.shape)
    good = np.ones(x.shape, bool)
    assert PyramidSegmentation()(data, good).mean() > 0.3
    assert PyramidSegmentation.without_correction()(data, good).mean() < 0.1


def test_bad_pixels_do_not_count(halo):
    data, light = halo
    good = np.random.default_rng(2).random(data.shape) > 0.3
    data[~good] = 1e6
    found = PyramidSegmentation()(data, good)
    assert found[good & (light > 0.02)].mean() > 0.7
    assert not found[~good].any()
    mostly_bad = np.random.default_rng(2).random(data.shape) > 0.9  # no box has half of its pixels
    assert not PyramidSegmentation(scales=(8, 16))(data, mostly_bad).any()


def test_one_scale_of_one_pixel_is_segmentation(halo):
    data, _ = halo
    good = np.ones(data.shape, bool)
    one = PyramidSegmentation(scales=(1,), n_sigma=0.8, n_pixels=3, grow=5, box_size=64)
    plain = Segmentation(n_sigma=0.8, n_pixels=3, grow=5, box_size=64)
    np.testing.assert_array_equal(one(data, good), plain(data, good))


@pytest.mark.parametrize("scales", [(), (0, 2), (4, 2), (2, 2), (2.5,)])
def test_wrong_scales(scales):
    with pytest.raises(InvalidInputError, match="scales must be whole numbers from 1 on, rising"):
        PyramidSegmentation(scales=scales)


def test_wrong_settings():
    with pytest.raises(InvalidInputError, match="Segmentation needs n_sigma > 0"):
        PyramidSegmentation(n_sigma=0)
