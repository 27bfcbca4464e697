"""Starlight through a map: looked up as it should be, and summed as the same looked up star by star."""

import numpy as np
import pytest

from nircam_flats.kernels import look_up, sum_starlight

GRID = (-2.0, 5.0, 10.0, 20.0)


@pytest.fixture
def values():
    return np.random.default_rng(1).random((60, 40))


def test_the_nearest_is_the_pixel_that_holds_the_place(values):
    found = look_up(values, GRID, [-2.0, -1.9001, -1.8999, 1.9999], [5.0, 5.0, 5.0501, 7.9999], bilinear=False)
    np.testing.assert_array_equal(found, [values[0, 0], values[0, 0], values[1, 1], values[59, 39]])


def test_bilinear_values_meet_in_the_middles_of_pixels():
    y, x = np.indices((60, 40), dtype=float)
    v2, v3 = np.random.default_rng(2).uniform([[-1.9], [5.1]], [[1.9], [7.9]], (2, 50))
    found = look_up(2 * x - y, GRID, v2, v3, bilinear=True)
    expected = 2 * ((v2 - GRID[0]) * GRID[2] - 0.5) - ((v3 - GRID[1]) * GRID[3] - 0.5)
    np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize("bilinear", [False, True])
def test_there_is_nothing_off_the_map(values, bilinear):
    v2, v3 = [-2.001, 2.0, 0, 0, 180], [6, 6, 4.999, 8.0, 6]
    np.testing.assert_array_equal(look_up(values, GRID, v2, v3, bilinear=bilinear), 0)


@pytest.mark.parametrize("bilinear", [False, True])
def test_sums_are_those_over_single_stars(values, bilinear):
    rng = np.random.default_rng(3)
    values = np.where(rng.random(values.shape) < 0.3, 0, values)
    values[:10], values[50:] = 0, 0
    v2, v3 = np.radians(rng.uniform([[-3], [4]], [[3], [9]], (2, 400)))
    stars = np.stack([np.cos(v2) * np.cos(v3), np.sin(v2) * np.cos(v3), np.sin(v3)], axis=1)
    weights = rng.random((3, 400))
    angles = np.radians([0, 0.5, 90])
    turns = np.array([[[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]] for a in angles])
    found = sum_starlight(turns, stars, weights, values, GRID, bilinear=bilinear)
    for turn, sums in zip(turns, found, strict=True):
        x, y, z = turn @ stars.T
        place = np.degrees(np.arctan2(y, x)), np.degrees(np.arcsin(z))
        np.testing.assert_allclose(sums, weights @ look_up(values, GRID, *place, bilinear=bilinear), rtol=1e-10)
    assert found[0].min() > 1


def test_an_empty_map_lets_nothing_in(values):
    stars = np.array([[1.0, 0, 0]])
    found = sum_starlight(np.eye(3)[np.newaxis], stars, np.ones((1, 1)), 0 * values, GRID, bilinear=False)
    np.testing.assert_array_equal(found, [[0]])
