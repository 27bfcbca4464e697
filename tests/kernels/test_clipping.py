"""Clipped statistics agree with astropy, also where sums over the values would cancel."""

import warnings

import numpy as np
import pytest
from astropy.stats import sigma_clip

from nircam_flats.kernels import clipped_statistics
from nircam_flats.kernels.clipping import clip_sorted, clip_values


def astropy_statistics(values, n_sigma=3.0, max_iterations=5):
    """Median, mean, population standard deviation and number of the values that astropy keeps."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Input data contains invalid values")
        kept = values.astype(float)
        if max_iterations:
            kept = sigma_clip(kept, n_sigma, maxiters=max_iterations, masked=False)
    kept = kept[np.isfinite(kept)]
    return np.median(kept), kept.mean(), kept.std(), kept.size


def sky(n, seed=0, outliers=0.1):
    """Normal values around 1, a part of them far off on the bright side."""
    rng = np.random.default_rng(seed)
    values = rng.normal(1, 0.03, n)
    values += np.where(rng.random(n) < outliers, rng.exponential(0.5, n), 0)
    return values.astype(np.float32)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 11, 12, 50, 1001, 20000])
@pytest.mark.parametrize(("n_sigma", "max_iterations"), [(3.0, 5), (2.0, 20), (1.5, 1), (3.0, 0)])
def test_equal_to_astropy(n, n_sigma, max_iterations):
    values = sky(n, seed=n)
    found = clipped_statistics(values, n_sigma=n_sigma, max_iterations=max_iterations)
    expected = astropy_statistics(values, n_sigma, max_iterations)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)
    assert found[3] == expected[3]


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", ">f8", "i4", ">i2"])
def test_types(dtype):
    values = np.array([[3, 1, 2, 4], [2, 2, 3, 900]]).astype(dtype)
    given = values.copy()
    assert clipped_statistics(values, n_sigma=2)[0] == 2
    np.testing.assert_array_equal(values, given)


def test_values_that_are_not_finite_are_ignored():
    values = sky(300)
    values[:100] = np.tile([np.nan, np.inf, -np.inf, np.nan], 25)
    np.testing.assert_allclose(clipped_statistics(values), astropy_statistics(values[100:]), rtol=1e-6)
    for nothing in ([], [np.nan, np.inf]):
        assert clipped_statistics(np.array(nothing, np.float32))[3] == 0
        assert np.isnan(clipped_statistics(np.array(nothing, np.float32))[:3]).all()


def test_constant_values():
    assert clipped_statistics(np.full(50, 0.3, np.float32)) == (np.float32(0.3), np.float32(0.3), 0, 50)


@pytest.mark.parametrize("outlier", [1e4, 1e8, -1e12, 1e30])
def test_a_huge_outlier_takes_no_digits_from_the_rest(outlier):
    values = np.append(sky(40, outliers=0), np.float32(outlier))
    np.testing.assert_allclose(clipped_statistics(values), astropy_statistics(values[:-1]), rtol=1e-6)


def test_a_large_common_level_takes_no_digits():
    values = 1e6 + np.random.default_rng(1).normal(0, 1, 500)
    np.testing.assert_allclose(clipped_statistics(values), astropy_statistics(values), rtol=1e-9)


@pytest.mark.parametrize("values", [[0.0, 1.0], [0.0, 1.0, 2.0, 3.0], [0.0, 0.0, 1.0, 1.0]])
def test_a_narrow_cut_may_leave_nothing(values):
    *statistics, n = clipped_statistics(values, n_sigma=0.5)
    assert n == 0
    assert np.isnan(statistics).all()


@pytest.mark.parametrize("n", [*range(5), 63, 64, 65, 66, 129, 1024, 4096])
def test_values_in_any_order(n):
    values = sky(n, seed=n)
    low, high, *found = clip_values(values.copy(), np.empty_like(values), np.empty(n, np.int16), 3.0, 5)
    if n == 0:
        assert np.isnan(found).all()
    else:
        np.testing.assert_allclose((*found, high - low), astropy_statistics(values), rtol=1e-6)


@pytest.mark.parametrize("kind", ["normal", "tails", "float64", "two values", "constant", "huge", "cauchy", "infinite"])
def test_many_values_give_what_sorting_gives(kind):
    """Values are put into bins, and only some bins are sorted."""
    rng = np.random.default_rng(9)
    n = 300_001
    values = {
        "normal": lambda: rng.normal(1, 0.05, n).astype(np.float32),
        "tails": lambda: np.r_[rng.normal(1, 0.05, n), rng.exponential(3, n // 5)].astype(np.float32),
        "float64": lambda: 5 + rng.normal(0, 1e-9, n),
        "two values": lambda: rng.choice([1.0, 2.0], n).astype(np.float32),
        "constant": lambda: np.ones(n, np.float32),
        "huge": lambda: np.r_[rng.normal(0, 1, n), 1e30, -1e30].astype(np.float32),
        "cauchy": lambda: rng.standard_cauchy(n).astype(np.float32),
        "infinite": lambda: np.r_[rng.normal(0, 1, n), np.inf, -np.inf, np.nan].astype(">f4"),
    }[kind]()
    ordered = np.sort(values[np.isfinite(values)]).astype(values.dtype.newbyteorder("="))
    low, high, median, mean, std = clip_sorted(ordered, ordered.size, 3.0, 5)
    found = clipped_statistics(values)
    assert (found[0], found[3]) == (median, high - low)
    np.testing.assert_allclose(found[1:3], (mean, std), rtol=1e-6)
