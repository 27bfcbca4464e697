"""The sky level against known truth."""

import numpy as np
import pytest
from astropy import units as u
from astropy.stats import sigma_clipped_stats

from nircam_flats import InvalidInputError, Segmentation, SkyLevel, testing


def test_it_is_the_clipped_median_of_astropy():
    rng = np.random.default_rng(1)
    data = rng.normal(0.3, 0.02, (90, 70)).astype(np.float32)
    data[rng.random(data.shape) < 0.05] += 0.4
    masked = rng.random(data.shape) < 0.2
    good = rng.random(data.shape) < 0.9
    level = SkyLevel.measure(data, masked, good=good)
    used = good & ~masked
    _, median, scatter = sigma_clipped_stats(data[used].astype(float), maxiters=5)
    assert level.value == pytest.approx(median, rel=1e-6)
    assert level.scatter == pytest.approx(scatter, rel=1e-6)
    assert level.masked_fraction == pytest.approx((masked & good).sum() / good.sum())
    assert used.sum() * 0.9 < level.n_pixels < used.sum()
    assert level.unit == u.MJy / u.sr


def test_value_and_error_are_honest():
    """(found - truth) / err over many skies: no bias, width 1."""
    rng = np.random.default_rng(2)
    pulls = []
    for _ in range(400):
        data = rng.normal(0.25, 0.03, (40, 50)).astype(np.float32)
        level = SkyLevel.measure(data, rng.random(data.shape) < 0.3)
        pulls.append((level.value - 0.25) / level.err)
    assert np.mean(pulls) == pytest.approx(0, abs=4 / 20)
    assert np.std(pulls) == pytest.approx(1, abs=0.1)


def test_sources_hardly_move_it():
    """Stars with wide wings, masked by the default strategy: within the half per cent that is asked for."""
    rng = np.random.default_rng(3)
    shape = (256, 256)
    data = rng.normal(0.3, 0.01, shape)
    y, x = np.indices(shape)
    for flux in 10 ** rng.uniform(-1.5, 1.5, 200):
        y0, x0 = rng.uniform(0, 256, 2)
        data += flux / (1 + ((y - y0) ** 2 + (x - x0) ** 2) / 4) ** 2.5
    masked = Segmentation()(data, np.ones(shape, bool))
    assert SkyLevel.measure(data, masked).value == pytest.approx(0.3, rel=0.005)
    assert SkyLevel.measure(data, np.zeros(shape, bool)).value > 0.3 * 1.005


@pytest.mark.parametrize("dtype", ["f8", ">f4", ">f8"])
def test_any_type_of_image(dtype):
    data = np.random.default_rng(4).normal(1, 0.1, (30, 20)).astype(np.float32)
    masked = np.zeros(data.shape, bool)
    assert SkyLevel.measure(data.astype(dtype), masked).value == pytest.approx(SkyLevel.measure(data, masked).value)


def test_unit():
    level = SkyLevel.measure(np.eye(4), np.zeros((4, 4), bool), unit="DN/s")
    assert level.unit == u.Unit("DN/s")


def test_pixels_that_are_not_finite_do_not_count():
    data = np.ones((4, 4))
    data[0] = np.nan, np.inf, -np.inf, 2
    masked = np.zeros((4, 4), bool)
    masked[0], masked[1] = True, True
    level = SkyLevel.measure(data, masked, good=np.ones((4, 4), bool))
    assert (level.n_pixels, level.masked_fraction) == (8, pytest.approx(5 / 13))


@pytest.mark.parametrize(
    ("masked", "good"),
    [(np.ones((4, 4), bool), None), (np.zeros((4, 4), bool), np.zeros((4, 4), bool))],
    ids=["all masked", "none good"],
)
def test_no_pixel_left(masked, good):
    with pytest.raises(InvalidInputError, match="at least one pixel that is good and not masked; all 16 are out"):
        SkyLevel.measure(np.ones((4, 4)), masked, good=good)


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 3), bool)], ids=["flags", "shape"])
def test_masks_must_be_boolean_images(bad):
    with pytest.raises(InvalidInputError, match="masked pixels given to SkyLevel must be a"):
        SkyLevel.measure(np.ones((4, 4)), bad)
    with pytest.raises(InvalidInputError, match="good pixels given to SkyLevel must be a"):
        SkyLevel.measure(np.ones((4, 4)), np.zeros((4, 4), bool), good=bad)


def test_contract():
    testing.check_value(SkyLevel.measure(np.eye(4), np.zeros((4, 4), bool)))


@pytest.mark.parametrize("data", [np.ones((8, 8)) * u.kJy / u.sr, np.ma.masked_less(np.ones((8, 8)), 0)])
def test_data_that_would_lose_their_unit_or_mask_are_refused(data):
    with pytest.raises(InvalidInputError, match="data given to SkyLevel: a plain array is needed"):
        SkyLevel.measure(data, np.zeros(data.shape, bool))
