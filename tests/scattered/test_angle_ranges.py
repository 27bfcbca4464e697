"""Ranges of angles: on the circle, where 0 and 360 are one direction."""

import numpy as np
import pytest
from astropy import units as u

from nircam_flats import AngleRanges, InvalidInputError
from nircam_flats.testing import check_value

SAMPLES = np.arange(0, 360, 0.25)


def test_keeps_the_promises_of_a_value():
    check_value(AngleRanges([(340, 20), (90, 120)]))


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], ()),
        ([(0, 360)], ((0, 360),)),
        ([(10, 20), (15, 30), (50, 60)], ((10, 30), (50, 60))),
        ([(350, 10)], ((350, 10),)),
        ([(350, 360), (0, 10), (100, 110)], ((100, 110), (350, 10))),
        ([(0, 200), (100, 360)], ((0, 360),)),
        ([(350, 10), (5, 355)], ((0, 360),)),
        ([(300, 0)], ((300, 360),)),
        ([(360, 20)], ((0, 20),)),
        ([(10 * u.deg, (np.pi / 2) * u.rad)], ((10, 90),)),
    ],
)
def test_ranges_are_ordered_and_merged(pairs, expected):
    np.testing.assert_allclose(AngleRanges(pairs).ranges, np.reshape(expected, (-1, 2)) if expected else ())


def random_ranges(rng):
    edges = rng.uniform(0, 360, (rng.integers(0, 5), 2))
    return AngleRanges(edges)


@pytest.mark.parametrize("seed", range(20))
def test_operations_are_those_of_sets(seed):
    rng = np.random.default_rng(seed)
    one, other = random_ranges(rng), random_ranges(rng)
    inside, there = one.contains(SAMPLES), other.contains(SAMPLES)
    np.testing.assert_array_equal((one & other).contains(SAMPLES), inside & there)
    np.testing.assert_array_equal((one | other).contains(SAMPLES), inside | there)
    np.testing.assert_array_equal((~one).contains(SAMPLES), ~inside)
    assert (one.width + (~one).width).to_value(u.deg) == pytest.approx(360)
    assert one.width.to_value(u.deg) == pytest.approx(360 * inside.mean(), abs=2)
    assert one.table["width"].sum() == one.width if len(one) else one.width == 0


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([0, 0, 0, 0, 0, 0, 0, 0], ()),
        ([1, 1, 1, 1, 1, 1, 1, 1], ((0, 360),)),
        ([0, 1, 1, 0, 0, 1, 1, 1], ((45, 90), (225, 315))),
        ([1, 1, 0, 0, 1, 1, 0, 1], ((180, 225), (315, 45))),
        ([1, 0, 1, 1, 0, 1, 0, 0], ((90, 135),)),  # samples alone make no range
    ],
)
def test_samples_make_ranges(flags, expected):
    assert AngleRanges.from_samples(np.arange(8) * 45 * u.deg, np.array(flags, bool)).ranges == expected


def test_one_runs_through_zero():
    ranges = AngleRanges([(340, 20)])
    np.testing.assert_array_equal(ranges.contains([339, 340, 359.9, 0, 360, 20, 21] * u.deg), [0, 1, 1, 1, 1, 1, 0])
    assert list(ranges) == [(340 * u.deg, 20 * u.deg)]
    assert ranges.width == 40 * u.deg
    assert str(ranges) == "340.00-20.00 deg"
    assert str(AngleRanges()) == "none"


def test_an_edge_at_zero_is_one_at_360():
    assert AngleRanges([(0, 10)]).contains(360)
    assert AngleRanges([(300, 360)]).contains(0)
    assert not AngleRanges([(300, 359)]).contains(0)


@pytest.mark.parametrize(
    ("pairs", "text"),
    [
        ([(350, 370)], r"within 0 to 360 deg; got 370: take it modulo 360"),
        ([(-10, 10)], r"within 0 to 360 deg; got -10"),
        ([(np.nan, 10)], r"within 0 to 360 deg; got nan"),
        ([(10, 10)], r"start and end must differ; got 10 twice: the whole circle is \(0, 360\)"),
        ([10, 20], r"must be a pair"),
        ([(1 * u.m, 2 * u.m)], r"must be angles"),
    ],
)
def test_what_is_no_range_is_refused(pairs, text):
    with pytest.raises(InvalidInputError, match=text):
        AngleRanges(pairs)


def test_samples_go_once_around():
    with pytest.raises(InvalidInputError, match="evenly from 0 to below 360"):
        AngleRanges.from_samples(np.arange(10), np.ones(10, bool))
    with pytest.raises(InvalidInputError, match="needed 4 booleans; got int64 of shape"):
        AngleRanges.from_samples(np.arange(4) * 90, np.ones(4, int))
