"""Denser star fields and larger dithers, and that nothing else changes with them."""

import attrs
import numpy as np
import pytest
from astropy import units as u

from nircam_flats import InvalidInputError
from nircam_flats.simulation import Effects, SimulatedProgram


def program(**settings):
    effects = attrs.evolve(Effects.none(), sources=True, noise=True)
    return SimulatedProgram(detectors="B1", filters="F200W", shape=(128, 128), effects=effects, **settings)


def test_defaults_are_the_sky_of_always():
    one, same = program(), program(star_density=20, dither_range=(0.06, 0.13))
    np.testing.assert_array_equal(one.exposure("B1", "F200W", 1).data, same.exposure("B1", "F200W", 1).data)


def test_more_stars_and_the_same_response():
    one, dense = program(), program(star_density=20000)
    bright = [(item.exposure("B1", "F200W", 0).data > 1).sum() for item in (one, dense)]
    assert bright[1] > 20 + 5 * bright[0]
    for name in ("ground_flat", "sky_level"):
        arguments = ("B1", "F200W") if name == "ground_flat" else ("B1", "F200W", 0)
        here, there = (getattr(item, name)(*arguments) for item in (one, dense))
        np.testing.assert_array_equal(getattr(here, "data", here), getattr(there, "data", there))


def test_dithers_are_as_large_as_asked():
    wide = program(dither_range=(0.3, 0.3))
    places = [wide.exposure("B1", "F200W", index).pointing for index in range(3)]
    centre = np.mean([[item.ra_ref.value, item.dec_ref.value] for item in places], axis=0)
    shift = [
        np.hypot((item.ra_ref.value - centre[0]) * np.cos(np.radians(centre[1])), item.dec_ref.value - centre[1])
        for item in places
    ]
    assert np.mean(shift) * u.deg.to(u.arcsec) == pytest.approx(0.3 * 63.5 * 128 / 2048, rel=0.2)


@pytest.mark.parametrize("settings", [{"star_density": -1.0}, {"star_density": np.nan}])
def test_density_is_checked(settings):
    with pytest.raises(InvalidInputError, match="star_density must be a number from 0 on"):
        program(**settings)


@pytest.mark.parametrize("dithers", [(0.3, 0.2), (-0.1, 0.2), (0.1,)])
def test_dither_range_is_checked(dithers):
    with pytest.raises(InvalidInputError, match="dither_range must be"):
        program(dither_range=dithers)
