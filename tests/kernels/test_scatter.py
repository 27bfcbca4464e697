"""The scatter of a stack about the combined image, against NumPy."""

import numpy as np
import pytest

from nircam_flats.kernels import local_medians, stack_scatter


def test_it_is_that_of_numpy():
    rng = np.random.default_rng(1)
    stack = rng.normal(1, 0.1, (7, 11, 13)).astype(np.float32)
    stack[rng.random(stack.shape) < 0.3] = np.nan
    combined = np.nanmedian(stack, axis=0)
    noise = np.linspace(0.05, 0.2, 7)
    pulls = (stack - combined) / noise[:, None, None]
    n = np.isfinite(stack).sum(axis=0)
    expected = np.sqrt(np.nansum(pulls**2, axis=0) / np.where(n > 1, n - 1, np.nan))
    np.testing.assert_allclose(stack_scatter(stack, combined, noise), expected, rtol=2e-6)


def test_one_frame_does_not_scatter():
    stack = np.full((3, 2, 4), np.nan, np.float32)
    stack[1, :, :2] = 1
    stack[0, :, 0] = 1.2
    combined = np.float32([[1.1, 1, np.nan, np.nan]] * 2)
    scatter = stack_scatter(stack, combined, [0.1, 0.1, 0.1])
    assert scatter[0, 0] == pytest.approx(np.sqrt(2), rel=1e-5)
    assert np.isnan(scatter[:, 1:]).all()


def test_surroundings_of_pixels():
    data = np.arange(48, dtype=np.float32).reshape(6, 8)
    data[2, 3] = np.nan
    excluded = np.zeros(data.shape, bool)
    excluded[2, 2] = True
    y, x = np.array([2, 0, 5]), np.array([2, 0, 7])
    found = local_medians(data, excluded, y, x, reach=1)
    around = np.delete(data[1:4, 1:4].ravel(), [4, 5])
    np.testing.assert_array_equal(found, np.float32([np.median(around), 4.5, 42.5]))
    np.testing.assert_array_equal(np.isnan(local_medians(data, excluded, y, x, reach=1, least=5)), [False, True, True])
