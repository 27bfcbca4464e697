"""The arithmetic on meshes: where light is, and how well its strengths are known."""

import numpy as np
import pytest
from scipy.ndimage import uniform_filter1d

from nircam_flats.instrument.detector import N_AMPLIFIERS
from nircam_flats.scattered import _factors, _separation
from nircam_flats.skyflat.stripes import StripeNoise


def test_light_stands_out_from_a_part_of_the_frame_without_it():
    rng = np.random.default_rng(1)
    excess = rng.normal(0, 0.001, (32, 32))
    excess[8:16, 8:16] += 0.02
    outline = _separation.outline_of(excess, 0.001)
    assert outline[8:16, 8:16].all()
    assert outline.mean() < 0.2
    excess[:, :26] += 0.02
    assert not _separation.outline_of(excess, 0.001).any()


@pytest.mark.parametrize("width", [1, 3, 6])
def test_errors_of_strengths_count_what_neighbouring_rows_share(width):
    rng = np.random.default_rng(4)
    n, shape = 200, (48, 32)
    y, x = np.indices(shape)
    light = np.exp(-0.5 * (((y - 20) / 6) ** 2 + ((x - 15) / 20) ** 2))
    rows = rng.standard_normal((n, shape[0], N_AMPLIFIERS))
    rows = uniform_filter1d(rows, width, axis=1, mode="wrap") * np.sqrt(width)
    values = light + 0.03 * np.repeat(rows, shape[1] // N_AMPLIFIERS, axis=2) + 0.03 * rng.standard_normal((n, *shape))
    weights = np.full(values.shape, 0.03**-2.0)
    noise = StripeNoise.of(values - light, weights > 0)
    pulls, norms = _factors.factors_of(values, weights, light, np.ones(shape), stripes=noise)
    err = _factors.errors_of_factors(
        values, weights, light, [np.ones(shape)], noise, np.zeros(values.shape), np.ones(n, bool)
    )
    assert np.sqrt(np.mean(((pulls - 1) / err) ** 2)) == pytest.approx(1, abs=0.15)
    alone = np.sqrt(np.mean((pulls - 1) ** 2 * norms))
    assert alone > 1.4 if width > 1 else alone == pytest.approx(1, abs=0.1)
