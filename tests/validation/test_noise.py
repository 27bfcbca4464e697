"""Noise from differences of half stacks, on layers whose noise is known."""

import numpy as np
import pytest

from nircam_flats.validation._noise import deviations, noise_of_stack, stacked

SHAPE = (60, 50)


@pytest.fixture
def layers(rng):
    """Six layers of a strong pattern with gaps, the noise of each by its weight."""
    weights = rng.choice([400, 1000, 4000], size=(6, *SHAPE))
    noise = rng.standard_normal(weights.shape) / np.sqrt(weights)
    noise[rng.random(weights.shape) < 0.2] = np.nan
    return noise, weights, np.sin(np.arange(SHAPE[1]))


def test_stack_ignores_gaps(layers):
    noise, weights, pattern = layers
    mean, total = stacked(noise + pattern, weights)
    used = np.where(np.isfinite(noise), weights, 0)
    assert np.isfinite(mean).all()
    np.testing.assert_array_equal(total, used.sum(axis=0))
    np.testing.assert_allclose(mean, np.nansum((noise + pattern) * used, axis=0) / total)
    assert np.isnan(stacked(np.full((2, 3), np.nan), np.ones((2, 3)))[0]).all()


def test_noise_maps_have_the_noise_of_the_stack_and_no_pattern(layers):
    noise, weights, pattern = layers
    truth = stacked(noise, weights)[0]
    maps = noise_of_stack(noise + pattern, weights)
    assert len(maps) == 10  # ways to halve six
    assert np.sqrt(np.nanmean(maps**2)) == pytest.approx(np.std(truth), rel=0.05)
    np.testing.assert_allclose(maps, noise_of_stack(noise, weights), atol=1e-12)


@pytest.mark.parametrize("n", [2, 3, 5, 40])
def test_any_number_of_layers(rng, n):
    noise = rng.standard_normal((n, *SHAPE))
    maps = noise_of_stack(noise, np.ones(noise.shape))
    assert 1 <= len(maps) <= 16
    assert np.std(maps) == pytest.approx(n**-0.5, rel=0.1)


def test_deviation_has_the_noise_of_its_layer(layers):
    noise, weights, pattern = layers
    found = deviations(noise + pattern, weights)
    assert found.shape == noise.shape
    assert np.nanstd(found * np.sqrt(weights)) == pytest.approx(1, rel=0.05)
