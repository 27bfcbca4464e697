"""The compact model: against the real files, and what must be so."""

from itertools import pairwise

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord, get_sun
from astropy.time import Time
from scipy.integrate import quad

import nircam_flats as nf
from nircam_flats import testing
from nircam_flats.background import _dust
from nircam_flats.background._dust import LineOfSight, black_body, ecliptic_vector, sun

ANYWHERE = nf.ZodiacalBackground(any_angle=True)
FIELDS = {
    "NEP": (SkyCoord(261.0 * u.deg, 66.07 * u.deg), ["2022-01-01", "2022-07-01"]),
    "COSMOS": (SkyCoord(150.82 * u.deg, 2.388 * u.deg), ["2022-04-20", "2022-12-10"]),
    "SSA22": (SkyCoord(334.34 * u.deg, 0.597 * u.deg), ["2022-06-10", "2022-11-20"]),
    "GOODS-S": (SkyCoord(53.44 * u.deg, -27.616 * u.deg), ["2022-09-20", "2022-12-20"]),
}


@pytest.mark.parametrize("name", FIELDS)
def test_real_files_within_the_accuracy_stated(real_data, name):
    tool = nf.JBTBackground(real_data / "jbt")
    field, dates = FIELDS[name]
    wavelength = tool.grid[(tool.grid >= 0.7) & (tool.grid <= 4.8)] * u.um
    for date in dates:
        theirs, ours = (model(field, date, wavelength) for model in (tool, nf.ZodiacalBackground()))
        off = (sum(ours.values()) / sum(theirs.values())).value - 1
        assert np.abs(off).max() < 0.25
        assert np.median(np.abs(off)) < 0.12
        np.testing.assert_allclose(ours["zodiacal"].value, theirs["zodiacal"].value, rtol=0.15)
        hot = wavelength > 3 * u.um
        np.testing.assert_allclose(ours["thermal"][hot].value, theirs["thermal"][hot].value, rtol=0.02)


def test_the_error_it_states_is_that_of_the_benchmark():
    assert ANYWHERE.relative_err == pytest.approx(0.07, abs=0.02)
    assert "JWST Backgrounds Tool" in repr(ANYWHERE)


@pytest.mark.parametrize("date", ["2022-01-03", "2022-04-15", "2022-07-05", "2025-10-01"])
def test_the_sun_is_where_it_is(date):
    longitude, distance = sun(Time(date))
    apart = (np.degrees(longitude) - ecliptic_longitude_of_the_sun(date) + 180) % 360 - 180
    assert abs(apart) < 0.02
    assert distance == pytest.approx(get_sun(Time(date)).distance.to_value(u.au), abs=1e-4)


def ecliptic_longitude_of_the_sun(date):
    """Longitude of the Sun on the ecliptic of J2000, from astropy's ephemeris, by its direction alone."""
    position = get_sun(Time(date))
    return np.degrees(np.arctan2(*ecliptic_vector(SkyCoord(position.ra, position.dec))[[1, 0]])) % 360


def test_ecliptic_vectors():
    field = SkyCoord(12 * u.deg, 80 * u.deg)
    ecliptic = SkyCoord(field.ra, field.dec).transform_to("barycentricmeanecliptic")
    x, y, z = ecliptic_vector(field)
    assert np.degrees(np.arcsin(z)) == pytest.approx(ecliptic.lat.deg, abs=1e-3)
    assert np.degrees(np.arctan2(y, x)) == pytest.approx(ecliptic.lon.deg, abs=1e-3)


@pytest.mark.parametrize("numbers", _dust.PHASE_FUNCTIONS.values())
def test_phase_functions_are_normalised(numbers):
    total, _ = quad(lambda angle: 2 * np.pi * np.sin(angle) * _dust._phase(angle, *numbers), 0, np.pi)
    assert total == pytest.approx(1, rel=1e-9)


def test_the_line_of_sight_is_integrated_well(monkeypatch):
    pole, date = np.array([0, 0, 1.0]), Time("2022-05-01")
    coarse = LineOfSight.towards(pole, date)
    nodes, weights = np.polynomial.legendre.leggauss(600)
    monkeypatch.setattr(_dust, "NODES", nodes)
    monkeypatch.setattr(_dust, "WEIGHTS", weights)
    fine = LineOfSight.towards(pole, date)
    assert coarse.scattered(1.25) == pytest.approx(fine.scattered(1.25), rel=1e-3)
    assert coarse.emitted(4.5) == pytest.approx(fine.emitted(4.5), rel=1e-3)
    testing.check_value(coarse)


def test_a_black_body():
    expected = (9.924 * u.W / u.m**2 / u.um / u.sr).to(u.MJy / u.sr, u.spectral_density(10 * u.um)).value
    assert black_body(10.0, 300.0) == pytest.approx(expected, rel=1e-3)


def test_the_sky_is_brighter_near_the_ecliptic_and_the_sun():
    date = "2022-05-01"
    sun_at = ecliptic_longitude_of_the_sun(date)

    def at(longitude, latitude):
        field = SkyCoord(sun_at + longitude, latitude, unit="deg", frame="barycentricmeanecliptic")
        return ANYWHERE.predict(field, date, "F200W").value

    latitudes = [at(90, latitude) for latitude in (0, 20, 45, 89)]
    assert all(brighter > fainter for brighter, fainter in pairwise(latitudes))
    assert at(88, 5) > at(110, 5) > at(130, 5)
    assert at(90, 0) / at(90, 89) == pytest.approx(2.8, abs=0.7)  # Leinert et al. 1998, Table 17: 202 / 77 S10


def test_directions_that_jwst_cannot_look_at():
    cosmos = FIELDS["COSMOS"][0]
    with pytest.raises(nf.InvalidInputError, match=r"is 1\d\d deg away on 2022-02-20, so it is not visible"):
        nf.ZodiacalBackground().predict(cosmos, "2022-02-20", "F200W")
    assert ANYWHERE.predict(cosmos, "2022-02-20", "F200W") > 0.1 * u.MJy / u.sr


def test_beyond_its_wavelengths():
    with pytest.raises(nf.InvalidInputError, match=r"has predictions from 0.5 to 5.1 um; asked were 2 to 7 um"):
        ANYWHERE(FIELDS["NEP"][0], "2022-01-01", [2, 7] * u.um)


def test_every_filter_has_an_answer():
    for item in nf.Filter.all():
        level = ANYWHERE.predict(FIELDS["NEP"][0], "2022-01-01", item, band_average=True).value
        assert 0.05 < level < 0.6
