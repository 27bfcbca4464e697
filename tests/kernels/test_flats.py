"""The product of a flat and a surface against plain NumPy."""

import numpy as np
import pytest

from nircam_flats.kernels import correct_flat, ratio_moments, usable_pixels

NO_FLAT, NO_ANSWER = 4, 5


def plain(data, err, dq, surface, surface_err):
    data, err, surface, surface_err = (np.asarray(plane, np.float64) for plane in (data, err, surface, surface_err))
    with np.errstate(all="ignore"):
        new, new_err = (data * surface).astype("f4"), np.hypot(err * surface, data * surface_err).astype("f4")
        answered = np.isfinite(data) & (data > 0) & np.isfinite(err) & (err >= 0) & ((dq & NO_FLAT) == 0)
        new_err = np.where(answered, new_err, err).astype("f4")
        answered &= np.isfinite(new) & (new > 0) & np.isfinite(new_err)
        usable_err = np.isfinite(new_err) & (new_err >= 0)
    return np.where(answered, new, 1), np.where(usable_err, new_err, 1), np.where(answered, dq, dq | NO_ANSWER)


@pytest.mark.parametrize("surface", [1.0, "image"])
def test_against_numpy(surface):
    rng = np.random.default_rng(3)
    shape = (40, 33)
    special = [np.nan, np.inf, -np.inf, 0, -1, 1e38, 1e-38]

    def spoilt(typical):
        plane = rng.normal(typical, 0.05 * typical, shape).astype("f4")
        plane.flat[rng.choice(plane.size, 70, replace=False)] = np.repeat(special, 10)
        return plane

    data, err = spoilt(1), spoilt(0.01)
    dq = rng.integers(0, 16, shape).astype(np.uint32)
    surface, surface_err = (1.0, 0.0) if surface == 1.0 else (spoilt(1), spoilt(0.002))
    *found, n_given_up = correct_flat(data, err, dq, surface, surface_err, no_flat=NO_FLAT, no_answer=NO_ANSWER)
    expected = plain(data, err, dq, surface, surface_err)
    for one, other, dtype in zip(found, expected, ("f4", "f4", "u4"), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-7)
        assert one.dtype == dtype
    before = (data == 1) & ((dq & NO_ANSWER) == NO_ANSWER)
    known = np.isfinite(found[0]) & ((found[2] & NO_ANSWER) == NO_ANSWER) & (found[0] == 1)
    assert n_given_up == np.count_nonzero(known & ~before)


def test_known_values_stay_as_they_are():
    rng = np.random.default_rng(4)
    data, err = rng.uniform(0.5, 2, (2, 20, 20)).astype("f4")
    dq = np.zeros((20, 20), np.uint32)
    *planes, n_given_up = correct_flat(data, err, dq, 1.0, 0.0, no_flat=NO_FLAT, no_answer=NO_ANSWER)
    for found, given in zip(planes, (data, err, dq), strict=True):
        np.testing.assert_array_equal(found, given)
    assert n_given_up == 0


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (300, 7)])
def test_moments_of_a_ratio(shape):
    rng = np.random.default_rng(5)
    first, second = rng.normal(1, 0.05, (2, *shape)).astype("f4")
    good = rng.random(shape) < 0.7
    good[0, 0] = True
    second[~good] = 0
    ratio = first[good].astype(float) / second[good]
    n, mean, std = ratio_moments(first, second, good)
    assert n == good.sum()
    np.testing.assert_allclose([mean, std], [ratio.mean(), ratio.std()], rtol=1e-12, atol=1e-12)


def test_moments_of_nothing():
    plane = np.ones((3, 3), "f4")
    n, mean, std = ratio_moments(plane, plane, np.zeros((3, 3), bool))
    assert n == 0
    assert np.isnan([mean, std]).all()


def test_usable_pixels():
    data = np.array([[1, np.nan, np.inf, -np.inf, 0, -1, 1e-30, 1, 1]], "f4")
    dq = np.array([[0, 0, 0, 0, 0, 0, 0, 4, 2]], np.uint32)
    expected = [[True, False, False, False, False, False, True, False, True]]
    assert usable_pixels(data, dq, np.uint32(5)).tolist() == expected
