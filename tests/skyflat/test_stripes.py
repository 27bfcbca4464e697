"""Stripes are expected as far as their noise allows, with the variance that is left of them."""

import numpy as np
import pytest

from nircam_flats.skyflat.stripes import StripeNoise

N, SHAPE, SIGMA = 40, (32, 32), 0.01
EVERYWHERE, WITHIN = 0.004, 0.003


@pytest.fixture(scope="module")
def world():
    """Frames of noise and stripes, boxes that are seen, and the stripes."""
    rng = np.random.default_rng(1)
    stripes = EVERYWHERE * rng.standard_normal((N, SHAPE[0], 1))
    stripes = stripes + np.repeat(WITHIN * rng.standard_normal((N, SHAPE[0], 4)), SHAPE[1] // 4, axis=2)
    seen = rng.random((N, *SHAPE)) > 0.3
    seen[:, 10:20, :10] = False
    return stripes + SIGMA * rng.standard_normal(stripes.shape), seen, stripes


@pytest.fixture(scope="module")
def noise():
    return StripeNoise(everywhere=np.full((N, 1, 1), EVERYWHERE**2), within=np.full((N, 1, 1), WITHIN**2))


def test_variances_are_found(world):
    residuals, seen, _ = world
    found = StripeNoise.of(residuals, seen)
    assert found.everywhere.mean() == pytest.approx(EVERYWHERE**2, rel=0.1)
    assert found.within.mean() == pytest.approx(WITHIN**2, rel=0.2)


def test_noise_alone_has_none():
    rng = np.random.default_rng(2)
    found = StripeNoise.of(SIGMA * rng.standard_normal((N, *SHAPE)), np.ones((N, *SHAPE), bool))
    assert np.sqrt(np.mean(found.everywhere + found.within)) < 0.15 * SIGMA


def test_stripes_are_within_their_variance(world, noise):
    residuals, seen, stripes = world
    weights = seen / SIGMA**2
    departures, variance = noise.expected(residuals, weights) - stripes, noise.variance(weights)
    hidden = np.zeros(SHAPE, bool)
    hidden[10:20, :8] = True  # an amplifier of which nothing is seen: only what all of them share is known
    for where in (hidden, ~hidden):
        assert np.mean(departures[:, where] ** 2 / variance[:, where]) == pytest.approx(1, abs=0.1)
    assert np.mean(variance[:, hidden]) > WITHIN**2
    assert np.mean(departures**2) < np.mean(stripes**2) / 2


def test_whitened_is_the_inverse_of_the_covariance(world, noise):
    residuals, seen, _ = world
    weights = seen / SIGMA**2
    row, kept = 12, seen[0, 12]
    amplifiers = np.arange(SHAPE[1]) // (SHAPE[1] // 4)
    covariance = EVERYWHERE**2 + WITHIN**2 * np.equal.outer(amplifiers, amplifiers) + SIGMA**2 * np.eye(SHAPE[1])
    expected = np.zeros(SHAPE[1])
    expected[kept] = np.linalg.solve(covariance[np.ix_(kept, kept)], residuals[0, row][kept])
    np.testing.assert_allclose(noise.whitened(residuals, weights)[0, row], expected, rtol=1e-9, atol=1e-9)


def test_where_no_box_is_seen_none_are_expected(noise):
    nothing = np.zeros((N, *SHAPE))
    assert not noise.expected(nothing, nothing).any()
    np.testing.assert_allclose(noise.variance(nothing), EVERYWHERE**2 + WITHIN**2)


def test_frames_can_be_left_out(world, noise):
    residuals, seen, _ = world
    kept = np.arange(N) != 3
    whole = noise.expected(residuals, seen / SIGMA**2)
    np.testing.assert_array_equal(noise.where(kept).expected(residuals[kept], seen[kept] / SIGMA**2), whole[kept])


@pytest.mark.parametrize("n_columns", [1, 2, 5, 7])
def test_meshes_of_few_columns(n_columns):
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((N, SHAPE[0], 1))
    residuals = rows + 0.1 * rng.standard_normal((N, SHAPE[0], n_columns))
    noise, weights = StripeNoise.of(residuals, np.ones(residuals.shape, bool)), np.full(residuals.shape, 100.0)
    left = residuals - noise.expected(residuals, weights)
    assert left.std() < (0.2 if n_columns > 1 else 2)
