"""Polynomials: astropy's answer from a hundredth of its work."""

import astropy.modeling.polynomial as models
import numpy as np
import pytest
from astropy.modeling.fitting import LinearLSQFitter

from nircam_flats import FitError, InvalidInputError, Polynomial2D, testing

SHAPE = (90, 130)


def coordinates(shape):
    """Pixel centres on the square from -1 to 1."""
    y, x = ((np.indices(shape).reshape(2, -1).T + 0.5) / shape * 2 - 1).T.reshape(2, *shape)
    return x, y


def astropy_fit(model, data, good, err=None):
    x, y = coordinates(data.shape)
    weights = None if err is None else 1 / err[good].astype(float)
    fitted = LinearLSQFitter()(model, x[good], y[good], data[good].astype(float), weights=weights)
    return fitted(x, y)


@pytest.fixture
def noisy():
    """A surface no cubic can follow, noise that differs from pixel to pixel, and bad pixels, many in one corner."""
    rng = np.random.default_rng(1)
    x, y = coordinates(SHAPE)
    err = rng.uniform(0.005, 0.03, SHAPE).astype(np.float32)
    data = 1 + 0.05 * np.sin(2 * x + y) * np.exp(-(x**2)) + err * rng.standard_normal(SHAPE)
    good = rng.random(SHAPE) > 0.2
    good[:30, :40] = rng.random((30, 40)) > 0.9
    return data.astype(np.float32), err, good


@pytest.mark.parametrize("degree", [0, 1, 2, 3, 5, 8])
@pytest.mark.parametrize("weighted", [False, True])
def test_equal_to_astropy(noisy, degree, weighted):
    data, err, good = noisy
    err = err if weighted else None
    expected = astropy_fit(models.Polynomial2D(degree), data, good, err)
    found = Polynomial2D(degree=degree)(np.where(good, data, np.nan), err, good)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_basis_is_that_of_legendre(noisy):
    """Of total degree 3, not 3 in each direction: astropy's Legendre2D without the terms beyond."""
    data, err, good = noisy
    fixed = {f"c{i}_{j}": True for i in range(4) for j in range(4) if i + j > 3}
    expected = astropy_fit(models.Legendre2D(3, 3, fixed=fixed), data, good, err)
    np.testing.assert_allclose(Polynomial2D(degree=3)(data, err, good), expected, atol=1e-6)


def test_weights_matter(noisy):
    data, err, good = noisy
    assert np.abs(Polynomial2D()(data, err, good) - Polynomial2D()(data, None, good)).max() > 1e-4


@pytest.mark.parametrize("value", [0.0, 0.6, 3.0, 1e6])
@pytest.mark.parametrize("weighted", [False, True])
def test_dead_and_hot_pixels_do_not_pull(value, weighted):
    """One pixel in fifty, clustered, far from 1: the surface is that of the others."""
    rng = np.random.default_rng(2)
    x, y = coordinates(SHAPE)
    truth = (1 + 0.03 * x - 0.04 * y**3).astype(np.float32)
    data = truth + rng.normal(0, 0.01, SHAPE).astype(np.float32)
    err = np.full(SHAPE, 0.01, np.float32) if weighted else None
    bad = np.zeros(SHAPE, bool)
    bad[10:22, 5:24] = True
    expected = Polynomial2D()(np.where(bad, np.nan, data), err)
    found = Polynomial2D()(np.where(bad, np.float32(value), data), err)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(found - truth).max() < 0.002


def test_tolerance_is_where_pixels_leave():
    """0.1 off: within the default tolerance of 0.2, beyond one of 0.05."""
    data = np.random.default_rng(3).normal(1, 0.001, SHAPE)
    data[10:20, 10:20] = 1.1
    assert Polynomial2D(tolerance=0.05)(data).max() < 1.001
    assert Polynomial2D()(data).max() > 1.003
    err = np.full(SHAPE, 0.03)  # 5 err more are allowed
    assert Polynomial2D(tolerance=0.05)(data, err).max() > 1.003


def test_gradients_beyond_the_tolerance_are_followed():
    """A flat with a step of tolerance from the middle to an edge is a flat all the same."""
    x, y = coordinates(SHAPE)
    truth = 1 + 0.35 * x + 0.1 * x * y
    np.testing.assert_allclose(Polynomial2D()(truth), truth, atol=1e-5)


def test_pixels_are_judged_by_the_surface_not_by_the_middle():
    """Pixels 0.1 below the middle where the flat is 0.14 above it: found out only after a first fit."""
    x, _ = coordinates(SHAPE)
    truth = 1 + 0.15 * x
    data = truth + np.random.default_rng(4).normal(0, 0.003, SHAPE)
    bad = (x > 0.93) & (np.indices(SHAPE)[0] < 6)
    expected = Polynomial2D()(np.where(bad, np.nan, data))
    found = Polynomial2D()(np.where(bad, 0.9, data))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(found - truth).max() < 0.002


@pytest.mark.parametrize("level", [1e-3, 1.0, 3e4])
def test_any_scale_keeps_its_digits(level):
    x, y = coordinates((64, 64))
    truth = level * (1 + 1e-3 * (x - y**2))
    np.testing.assert_allclose(Polynomial2D(tolerance=0.2 * level)(truth), truth, rtol=2e-7)


@pytest.mark.parametrize("shape", [(7, 200), (200, 7), (33, 34)])
def test_any_shape(shape):
    x, y = coordinates(shape)
    truth = 1 + 0.02 * x * y**2 - 0.01 * x**3
    np.testing.assert_allclose(Polynomial2D()(truth), truth, atol=1e-6)


@pytest.mark.parametrize(
    ("good", "n_good", "rank"),
    [
        ((slice(5, 6), slice(None)), 130, 4),
        ((slice(None), slice(7, 9)), 180, 7),
        ((slice(0, 3), slice(0, 3)), 9, "[78]"),
    ],
    ids=["one row", "two columns", "nine pixels"],
)
def test_what_the_pixels_cannot_determine(good, n_good, rank):
    data = np.full(SHAPE, np.nan)
    data[good] = 1
    text = f"degree 3 has 10 terms, and the {n_good} good pixels determine only {rank} of them; use a lower degree"
    with pytest.raises(FitError, match=text):
        Polynomial2D()(data)


def test_errors_that_are_no_errors_leave_their_pixels_out(noisy):
    data, err, good = noisy
    err = err.copy()
    for place, value in (((40, 50), np.nan), ((41, 50), 0), ((42, 50), -1), ((43, 50), np.inf)):
        err[place], data[place] = value, 1.15
        good[place] = True
    found = Polynomial2D()(data, err, good)
    good[40:44, 50] = False
    np.testing.assert_array_equal(found, Polynomial2D()(data, np.where(good, err, 1), good))


@pytest.mark.parametrize("settings", [{"degree": -1}, {"degree": 2.5}, {"tolerance": 0}])
def test_bad_settings(settings):
    with pytest.raises(InvalidInputError, match="Polynomial2D needs a whole degree >= 0 and tolerance > 0; got"):
        Polynomial2D(**settings)


@pytest.mark.parametrize("degree", [0, 1, 4, 6])
def test_degrees_conform(degree):
    testing.check_fit_strategy(Polynomial2D(degree=degree))
