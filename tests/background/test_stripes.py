"""Stripes of known height are found where sources leave enough of a row."""

import numpy as np
import pytest

from nircam_flats.background._stripes import stripes_of


@pytest.fixture
def striped():
    rng = np.random.default_rng(1)
    stripes = rng.normal(0, 0.5, (100, 4))
    stripes -= stripes.mean(axis=0)
    stripes = np.repeat(stripes, 50, axis=1)
    return stripes, (stripes + rng.normal(2, 0.02, stripes.shape)).astype(np.float32)


def test_stripes_are_found(striped):
    stripes, data = striped
    used = np.random.default_rng(2).random(data.shape) < 0.8
    data[~used] = 1e5
    np.testing.assert_allclose(stripes_of(data, used), stripes, atol=0.02)


def test_rows_without_sky_in_one_amplifier_take_what_the_others_show(striped):
    _, data = striped
    used = np.ones(data.shape, bool)
    used[40:43, :50] = False
    found = stripes_of(data, used)
    others = found[40:43, 50::50].mean(axis=1)
    np.testing.assert_allclose(found[40:43, 0] - others, (found[40, 0] - others[0]).repeat(3), atol=1e-5)
    np.testing.assert_allclose(found[40:43, 0], others, atol=0.1)
    assert found.mean() == pytest.approx(0, abs=1e-6)


def test_rows_without_any_sky_are_filled_between_their_neighbours(striped):
    _, data = striped
    used = np.ones(data.shape, bool)
    used[40:43] = False
    found = stripes_of(data, used)
    np.testing.assert_allclose(np.diff(found[39:44, ::50], 2, axis=0), 0, atol=1e-5)


def test_an_amplifier_without_sky_is_left_alone(striped):
    _, data = striped
    used = np.ones(data.shape, bool)
    used[10:, :50] = False
    found = stripes_of(data, used)
    assert not found[:, :50].any()
    assert found[:, 50:].any()


def test_subarrays_have_one_amplifier(striped):
    _, data = striped
    found = stripes_of(data, np.ones(data.shape, bool), n_amplifiers=1)
    assert (found == found[:, :1]).all()
