"""Box medians against astropy, box by box; interpolation against scipy and photutils."""

import numpy as np
import pytest
from astropy.stats import SigmaClip, sigma_clipped_stats
from photutils.background import Background2D, MedianBackground
from scipy.ndimage import zoom

from nircam_flats.kernels import box_medians, expand_mesh, fill_mesh, mesh_range, peak_to_peak


@pytest.fixture
def picture():
    """An image of no multiple of 16 pixels, with bad pixels, sources and a dead patch."""
    rng = np.random.default_rng(4)
    data = rng.normal(1, 0.03, (70, 41)).astype(np.float32)
    data[rng.random(data.shape) < 0.1] += 2
    data[rng.random(data.shape) < 0.1] = np.nan
    data[0, 0] = np.inf
    data[16:32, 16:32] = np.nan
    data[20, 20:24] = 1
    return data


def boxes(shape, size):
    for by in range(-(-shape[0] // size)):
        for bx in range(-(-shape[1] // size)):
            yield (by, bx), (slice(by * size, (by + 1) * size), slice(bx * size, (bx + 1) * size))


@pytest.mark.parametrize("size", [1, 5, 16, 41, 70, 100])
@pytest.mark.parametrize("max_iterations", [0, 5])
def test_medians_of_each_box_are_those_of_astropy(picture, size, max_iterations):
    given = picture.copy()
    medians, stds, kept = box_medians(picture, size, max_iterations=max_iterations, min_fraction=0)
    np.testing.assert_array_equal(picture, given)
    assert medians.shape == stds.shape == kept.shape == (-(-70 // size), -(-41 // size))
    for place, box in boxes(picture.shape, size):
        values = picture[box][np.isfinite(picture[box])].astype(float)
        if values.size == 0:
            assert np.isnan(medians[place])
            assert np.isnan(stds[place])
            assert kept[place] == 0
            continue
        clip = SigmaClip(3.0, maxiters=max_iterations)(values, masked=False) if max_iterations else values
        clip = clip[np.isfinite(clip)]
        found = (medians[place], stds[place], kept[place])
        np.testing.assert_allclose(found, (np.median(clip), clip.std(), clip.size), rtol=1e-5, atol=1e-8)


def test_boxes_with_few_pixels_have_no_answer(picture):
    answered = np.isfinite(box_medians(picture, 16, min_fraction=5 / 256)[0])
    assert not answered[1, 1]  # 4 pixels are left in it
    assert answered.sum() == answered.size - 1  # the narrow boxes at the edges count what lies inside
    assert np.isfinite(box_medians(picture, 16, min_fraction=4 / 256)[0]).all()


def test_a_sliver_at_the_edge_has_its_median():
    data = np.ones((33, 64), np.float32)
    data[32] = 7
    np.testing.assert_array_equal(box_medians(data, 32)[0], [[1, 1], [7, 7]])


@pytest.mark.parametrize(("shape", "size"), [((6, 6), 1), ((64, 32), 32), ((32, 64), 32), ((8, 8), 8)])
@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4"])
def test_the_image_is_left_alone(shape, size, dtype):
    data = np.random.default_rng(5).normal(1, 0.1, shape).astype(dtype)
    data[2, 3] = np.nan
    given = data.copy()
    data.flags.writeable = False
    medians = box_medians(data, size)[0]
    np.testing.assert_array_equal(data, given)
    for place, box in boxes(shape, size):
        expected = np.nan if np.isnan(data[box]).all() else sigma_clipped_stats(data[box][np.isfinite(data[box])])[1]
        np.testing.assert_allclose(medians[place], expected, rtol=1e-6)


def test_fill_takes_the_nearest_value():
    mesh = np.arange(12.0).reshape(3, 4)
    mesh[0, 0] = mesh[2, 3] = np.nan
    filled = fill_mesh(mesh)
    assert filled[0, 0] in (1, 4)
    assert filled[2, 3] in (7, 10)
    np.testing.assert_array_equal(filled[np.isfinite(mesh)], mesh[np.isfinite(mesh)])
    assert np.isnan(fill_mesh(np.full((2, 2), np.nan))).all()
    assert fill_mesh(filled) is filled


@pytest.mark.parametrize("mesh_shape", [(5, 7), (4, 9), (6, 4)])
@pytest.mark.parametrize("crop", [0, 3])
def test_interpolation_is_that_of_scipy(mesh_shape, crop):
    mesh = np.random.default_rng(6).normal(1, 0.1, mesh_shape)
    expected = zoom(mesh, 8, order=3, mode="reflect", grid_mode=True)
    shape = tuple(8 * n - crop for n in mesh_shape)
    found = expand_mesh(mesh, 8, shape)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected[: shape[0], : shape[1]], atol=3e-5)  # scipy's own error with 4 values
    np.testing.assert_allclose(expand_mesh(mesh, 8, shape, rows=slice(9, 30)), found[9:30], atol=1e-6)


def test_interpolation_of_tiny_meshes():
    np.testing.assert_array_equal(expand_mesh(np.array([[3.0]]), 8, (5, 8)), np.full((5, 8), 3))
    found = expand_mesh(np.array([[1.0, 2.0]]), 4, (4, 8))
    np.testing.assert_allclose(found, zoom([[1.0, 2.0]], (4, 4), order=1, mode="reflect", grid_mode=True), atol=1e-6)


def test_medians_and_interpolation_are_those_of_photutils():
    """As a whole: photutils clips to the range of the mesh, so the image is one without extremes at its edges."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:80, :96]
    data = 1 + 0.05 * np.sin(x / 30) * np.cos(y / 25) + rng.normal(0, 0.002, (80, 96))
    background = Background2D(
        data.astype(np.float32),
        16,
        filter_size=1,
        sigma_clip=SigmaClip(3.0, maxiters=5),
        bkg_estimator=MedianBackground(),
    )
    medians = box_medians(data, 16)[0]
    np.testing.assert_allclose(medians, background.background_mesh, rtol=1e-6)
    found = np.clip(expand_mesh(medians, 16, data.shape), medians.min(), medians.max())
    np.testing.assert_allclose(found, background.background, atol=2e-6)


class TestPeakToPeak:
    def test_is_the_range_of_box_medians(self):
        image = np.ones((128, 192), np.float32)
        image[:64, 64:128] = 1.03
        image[64:, :64] = 0.98
        image[::7, ::5] = 0.1  # single pixels do not count
        assert peak_to_peak(image, np.ones(image.shape, bool)) == pytest.approx(0.05, abs=1e-6)

    def test_only_good_pixels_count(self):
        image = np.ones((128, 128), np.float32)
        image[:64, :64] = 2
        good = np.ones(image.shape, bool)
        good[:64, :64] = False
        assert peak_to_peak(image, good) == 0
        assert peak_to_peak(image, ~good | good) == 1

    def test_range_of_a_mesh_ignores_what_has_no_value(self):
        assert mesh_range(np.array([[1.0, np.nan], [1.25, 0.5]])) == 0.75
        assert np.isnan(mesh_range(np.full((2, 2), np.nan)))

    def test_smaller_boxes_see_more(self):
        image = np.ones((128, 128), np.float32)
        image[:16, :16] = 1.1
        good = np.ones(image.shape, bool)
        assert peak_to_peak(image, good) == 0
        assert peak_to_peak(image, good, box_size=16) == pytest.approx(0.1, abs=1e-6)
