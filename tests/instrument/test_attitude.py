"""Attitudes: sky to telescope and back, as pysiaf does it, whatever the angle is given for."""

import numpy as np
import pytest
from astropy import units as u

from nircam_flats import Attitude, Detector, InvalidInputError
from nircam_flats.testing import check_value

MAS = u.mas.to(u.deg)
PLACES = [(10.0, 20.0), (0.0, -89.2), (359.9999, 89.0), (210.3, 54.2), (124.1, 0.0)]
ROLLS = (0.0, 33.0, 123.4, 270.0, 359.9)


def separation(ra, dec, other_ra, other_dec):
    """Distance on the sphere, deg."""
    vectors = []
    for a, b in ((ra, dec), (other_ra, other_dec)):
        a, b = (np.radians(u.Quantity(part, u.deg).to_value(u.deg)) for part in (a, b))
        vectors.append(np.stack([np.cos(a) * np.cos(b), np.sin(a) * np.cos(b), np.sin(b)]))
    return np.degrees(2 * np.arcsin(np.linalg.norm(vectors[0] - vectors[1], axis=0) / 2))


def turned(angle, other):
    """Difference of two position angles, deg."""
    return abs((u.Quantity(angle, u.deg).to_value(u.deg) - other + 180) % 360 - 180)


def test_keeps_the_promises_of_a_value():
    check_value(Attitude.from_v1([1, 2] * u.deg, 3 * u.deg, 4 * u.deg))


@pytest.mark.parametrize(("ra", "dec"), PLACES)
@pytest.mark.parametrize("roll", ROLLS)
def test_a_point_and_the_roll_there_are_where_they_were_put(ra, dec, roll):
    v2, v3 = -148.7 * u.arcsec, -432.1 * u.arcsec
    attitude = Attitude.from_aperture(ra * u.deg, dec * u.deg, v2, v3, roll=roll * u.deg)
    assert separation(*attitude.to_sky(v2, v3), ra, dec) < 1e-10
    assert turned(attitude.roll_at(v2, v3), roll) < 1e-9
    # a small step along V3 leads `roll` east of north
    there, step = attitude.to_sky(v2, v3), attitude.to_sky(v2, v3 + 0.01 * u.arcsec)
    north = (step[1] - there[1]).to_value(u.arcsec)
    east = ((step[0] - there[0] + 180 * u.deg) % (360 * u.deg) - 180 * u.deg).to_value(u.arcsec)
    expected = np.degrees(np.arctan2(east * np.cos(np.radians(dec)), north)) % 360
    assert turned(expected, roll) < 0.01


@pytest.mark.parametrize(("ra", "dec"), PLACES)
@pytest.mark.parametrize("pa_v3", ROLLS)
def test_the_angle_at_v1_and_that_at_the_aperture_give_one_attitude(ra, dec, pa_v3):
    detector = Detector.get("B1")
    place = detector.v2_ref, detector.v3_ref
    ours = Attitude.from_aperture(ra * u.deg, dec * u.deg, *place, pa_v3=pa_v3 * u.deg)
    assert separation(*ours.to_sky(*place), ra, dec) < 1e-10
    ra_v1, dec_v1, found = ours.v1
    assert turned(found, pa_v3) < 1e-8
    np.testing.assert_allclose(Attitude.from_v1(ra_v1, dec_v1, found).matrix, ours.matrix, atol=1e-11)
    by_roll = Attitude.from_aperture(ra * u.deg, dec * u.deg, *place, roll=ours.roll_at(*place))
    np.testing.assert_allclose(by_roll.matrix, ours.matrix, atol=1e-11)


def test_angles_at_v1_and_at_the_aperture_differ():
    attitude = Attitude.from_v1(40 * u.deg, 60 * u.deg, 10 * u.deg)
    assert abs(attitude.roll_at(-0.03 * u.deg, -0.15 * u.deg) - 10 * u.deg) > 0.05 * u.deg


def test_every_attitude_meets_every_point():
    attitude = Attitude.from_v1([10, 20, 30] * u.deg, 5 * u.deg, [[0], [90]] * u.deg)
    assert attitude.shape == (2, 3)
    v2, v3 = np.linspace(-3, 3, 4) * u.deg, 10 * u.deg
    ra, dec = attitude.to_sky(v2, v3)
    assert ra.shape == dec.shape == attitude.roll_at(v2, v3).shape == (2, 3, 4)
    one = Attitude.from_v1(20 * u.deg, 5 * u.deg, 90 * u.deg).to_sky(v2[3], v3)
    assert separation(ra[1, 1, 3], dec[1, 1, 3], *one) < 1e-12
    back = attitude.to_telescope(ra[1, 1], dec[1, 1])
    np.testing.assert_allclose(back[0][1, 1].to_value(u.deg), v2.to_value(u.deg), atol=1e-12)
    np.testing.assert_allclose(back[1][1, 1].to_value(u.deg), 10, atol=1e-12)


def test_the_pole_is_one_place_and_right_ascension_wraps():
    attitude = Attitude.from_v1(30 * u.deg, 80 * u.deg, 0 * u.deg)
    v2, v3 = attitude.to_telescope([0, 77, 359] * u.deg, 90 * u.deg)
    np.testing.assert_allclose(v3.to_value(u.deg), 10, atol=1e-12)
    np.testing.assert_allclose(v2.to_value(u.deg), 0, atol=1e-12)
    at_zero = Attitude.from_v1(0 * u.deg, 0 * u.deg, 0 * u.deg)
    v2, _ = at_zero.to_telescope([-1, 0, 1, 359, 360, 361] * u.deg, 0 * u.deg)
    np.testing.assert_allclose(v2.to_value(u.deg), [-1, 0, 1, -1, 0, 1], atol=1e-12)
    ra, _ = at_zero.to_sky([-1e-15, 0, 1] * u.deg, 0 * u.deg)
    assert np.all((ra >= 0 * u.deg) & (ra < 360 * u.deg))


@pytest.mark.jwst
@pytest.mark.parametrize(("ra", "dec"), PLACES)
@pytest.mark.parametrize("roll", ROLLS)
def test_agrees_with_pysiaf(ra, dec, roll):
    from pysiaf.utils import rotations

    detector = Detector.get("A1")
    place = detector.v2_ref, detector.v3_ref
    theirs = rotations.attitude(*(part.to_value(u.arcsec) for part in place), ra, dec, roll)
    ours = Attitude.from_aperture(ra * u.deg, dec * u.deg, *place, roll=roll * u.deg)
    rng = np.random.default_rng(1)
    v2, v3 = rng.uniform(-12, 12, (2, 100))
    expected = rotations.tel_to_sky(theirs, v2 * 3600, v3 * 3600)
    found = ours.to_sky(v2 * u.deg, v3 * u.deg)
    assert separation(*found, *(part.to_value(u.deg) for part in expected)).max() < MAS
    back = rotations.sky_to_tel(theirs, *(part.to_value(u.deg) for part in found))
    own = ours.to_telescope(*found)
    assert separation(*own, *(part.to_value(u.deg) for part in back)).max() < MAS
    angle = rotations.posangle(theirs, *(part.to_value(u.arcsec) for part in place))
    assert turned(angle, ours.roll_at(*place).to_value(u.deg)) < 1e-6


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"ra": 10.0}, r"ra must be a Quantity convertible to 'deg'; got 10.0"),
        ({"dec": 91 * u.deg}, r"dec must be within -90 to 90 deg; got 91"),
        ({"v2": 1 * u.m}, r"v2 must be convertible to 'deg'; got <Quantity 1. m>"),
        ({"roll": np.nan * u.deg}, r"roll must be finite; got nan"),
        ({"pa_v3": 1 * u.deg}, r"needed one of roll .* and pa_v3 .*; got both"),
        ({"roll": None}, r"needed one of roll .*; got neither"),
        ({"roll": None, "pa_v3": 90 * u.deg, "dec": 89.999 * u.deg}, r"close to a pole.*roll="),
    ],
)
def test_what_makes_no_attitude_is_refused(change, text):
    good = {"ra": 1 * u.deg, "dec": 2 * u.deg, "v2": 0 * u.deg, "v3": -0.13 * u.deg, "roll": 4 * u.deg}
    with pytest.raises(InvalidInputError, match=text):
        Attitude.from_aperture(**(good | change))


def test_a_matrix_must_turn():
    with pytest.raises(InvalidInputError, match="must hold rotations"):
        Attitude(matrix=2 * np.eye(3))
