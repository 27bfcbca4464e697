"""Median-filtered meshes: photutils' where photutils has an answer, unshifted where it has none."""

import numpy as np
import pytest
from astropy.stats import SigmaClip
from photutils.background import Background2D, MedianBackground

from nircam_flats import FitError, InvalidInputError, MedianFilter, testing


def photutils_surface(data, box_size, filter_size):
    background = Background2D(
        data,
        box_size,
        mask=~np.isfinite(data),
        filter_size=filter_size,
        sigma_clip=SigmaClip(3.0, maxiters=5),
        bkg_estimator=MedianBackground(),
        exclude_percentile=90,
    )
    return background.background


@pytest.fixture
def bumpy():
    """Waves of several boxes."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:96, :128]
    wave = np.sin(x / 128 * np.pi) * np.sin(y / 96 * np.pi) + 0.3 * np.sin(x / 9) * np.sin(y / 7)
    data = (1 + 0.05 * wave + rng.normal(0, 0.003, x.shape)).astype(np.float32)
    data[rng.random(x.shape) < 0.1] = np.nan
    return data


@pytest.mark.parametrize("filter_size", [1, 3, 5])
@pytest.mark.parametrize("box_size", [8, 16])
def test_odd_windows_are_those_of_photutils(bumpy, box_size, filter_size):
    found = MedianFilter(box_size=box_size, filter_size=filter_size, trend=None)(bumpy)
    expected = photutils_surface(bumpy, box_size, filter_size)
    found = np.clip(found, expected.min(), expected.max())  # to the range of the mesh, as photutils does
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("filter_size", [1, 2, 3, 4, 7, 8])
def test_a_tilted_plane_is_not_shifted(filter_size):
    """Away from the edges, where windows are cut, a plane comes back as it is: by less than a twentieth of a box."""
    y, x = np.mgrid[:192, :256]
    plane = 1 + 1e-3 * x - 2e-3 * y
    found = MedianFilter(box_size=8, filter_size=filter_size, trend=None)(plane)
    margin = 8 * (filter_size // 2 + 2)
    inside = (slice(margin, -margin), slice(margin, -margin))
    assert np.abs(found - plane)[inside].max() < 8 * 1e-3 / 20
    assert np.abs((found - plane)[inside].mean()) < 1e-5


def test_about_a_trend_the_edges_are_as_right_as_the_middle():
    """A cubic on which the windows cut by the edge are lopsided: with the trend it comes back, without it does not."""
    y, x = np.mgrid[:256, :256] / 256
    cubic = 1 + 0.05 * x - 0.04 * y**2 + 0.06 * x * y**2
    cubic[100:108, 30:38] = 0.1  # dead pixels, a whole box
    away = np.ones(cubic.shape, bool)
    away[96:112, 24:44] = False
    slope_over_half_a_box = 4 * 0.12 / 256  # which the interpolation, reflected at the edge, cannot know
    assert np.abs(MedianFilter(box_size=8)(cubic) / cubic - 1)[away].max() < slope_over_half_a_box
    assert np.abs(MedianFilter(box_size=8, trend=None)(cubic) / cubic - 1)[away].max() > 5e-3


def test_choice_of_the_report():
    assert repr(MedianFilter.of_report()) == "MedianFilter(box_size=32, filter_size=8, trend=None)"


@pytest.mark.parametrize("filter_size", [2, 4, 8])
def test_even_windows_have_no_side(filter_size):
    """What the strategy does to an image turned around is what it does to the image, turned around."""
    data = np.random.default_rng(2).normal(1, 0.05, (96, 128)).astype(np.float32)
    data[40:60, 70:90] = np.nan
    strategy = MedianFilter(box_size=8, filter_size=filter_size)
    surface = strategy(data)
    for turn in (np.flipud, np.fliplr, np.transpose):
        np.testing.assert_allclose(strategy(np.ascontiguousarray(turn(data))), turn(surface), atol=1e-6)


def test_a_wide_window_removes_small_bumps():
    data = np.ones((128, 128), np.float32)
    data[56:72, 56:72] = 1.5  # four boxes of 64 in a window of 8
    assert MedianFilter(box_size=8, filter_size=8)(data).max() < 1.001
    assert MedianFilter(box_size=8, filter_size=1)(data).max() > 1.4


def test_gaps_are_filled_from_what_is_near():
    y, x = np.mgrid[:128, :128]
    data = 1 + 1e-3 * (x + y)
    data[32:64, 32:72] = np.nan  # boxes without a pixel
    data[:8] = np.nan
    found = MedianFilter(box_size=8, filter_size=3)(data)
    assert np.isfinite(found).all()
    assert np.abs(found - 1 - 1e-3 * (x + y)).max() < 0.03


@pytest.mark.parametrize("shape", [(96, 96), (97, 100), (70, 130), (65, 63)])
def test_sizes_of_no_multiple_of_the_box(shape):
    data = np.random.default_rng(3).normal(1, 0.01, shape).astype(np.float32)
    found = MedianFilter(box_size=32, filter_size=2)(data)
    assert found.shape == shape
    assert np.abs(found - 1).max() < 0.004


@pytest.mark.parametrize("shape", [(20, 25), (5, 4), (31, 100)])
@pytest.mark.parametrize("filter_size", [1, 8])
def test_frames_smaller_than_a_box(shape, filter_size):
    data = np.random.default_rng(4).normal(1, 0.01, shape).astype(np.float32)
    found = MedianFilter(box_size=32, filter_size=filter_size)(data)
    assert found.shape == shape
    assert np.abs(found - np.median(data)).max() < 0.005
    if max(shape) <= 32:
        assert np.ptp(found) == 0


def test_boxes_of_one_pixel_leave_the_data_alone():
    data = np.random.default_rng(5).normal(1, 0.01, (12, 15)).astype(np.float32)
    given = data.copy()
    np.testing.assert_allclose(MedianFilter(box_size=1, filter_size=1)(data), data, atol=1e-6)
    np.testing.assert_array_equal(data, given)


def test_across_a_hole_it_is_no_noisier_than_elsewhere():
    """A third of the frame is missing: windows at its edge see few boxes, and each of those has all of its noise."""
    rng = np.random.default_rng(5)
    y, x = np.indices((256, 256)) / 256
    truth = 1 + 0.05 * x - 0.04 * y**2 + 0.06 * x * y**2
    data = truth + rng.normal(0, 0.05, truth.shape)
    data[60:200, 60:220] = np.nan
    departure = np.abs(MedianFilter(box_size=8)(data) / truth - 1)
    assert departure[60:200, 60:220].max() < departure.max()


@pytest.mark.parametrize(("shape", "box_size"), [((1024, 600), 32), ((256, 512), 16), ((160, 160), 10), ((12, 40), 1)])
def test_small_frames_have_smaller_boxes(shape, box_size):
    """Sixteen of them along a side, if they have the pixels: so that a subarray has a trend that is no plane."""
    rng = np.random.default_rng(4)
    data = rng.normal(1, 0.01, shape).astype(np.float32)
    np.testing.assert_array_equal(MedianFilter()(data), MedianFilter(box_size=box_size)(data))


def test_no_box_with_enough_pixels():
    data = np.full((64, 64), np.nan)
    data[::8, ::8] = 1
    with pytest.raises(FitError, match="a box of 32 px with at least 10 % good pixels; there is none"):
        MedianFilter(box_size=32)(data)


@pytest.mark.parametrize("settings", [{"box_size": 0}, {"filter_size": 0}, {"trend": -1}])
def test_bad_settings(settings):
    needs = "box_size None or >= 1, filter_size >= 1 and trend None or >= 0"
    with pytest.raises(InvalidInputError, match=f"MedianFilter needs {needs}; got"):
        MedianFilter(**settings)


@pytest.mark.parametrize(
    "settings", [{"box_size": 16}, {"box_size": 8, "filter_size": 5}, {"box_size": 100}, {"trend": None}]
)
def test_settings_conform(settings):
    testing.check_fit_strategy(MedianFilter(**settings))
