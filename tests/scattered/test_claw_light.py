"""Claw light as measured: injected light is found again, and set against what was predicted."""

import attrs
import numpy as np
import pytest
from astropy import units as u

from nircam_flats import (
    ClawForecast,
    ClawSusceptibilityZone,
    DeltaSkyflat,
    ExposureSet,
    InvalidInputError,
    PlannedPointing,
    StarCatalog,
)
from nircam_flats.scattered._claw_light import measure_claw_light
from nircam_flats.simulation import Effects, SimulatedProgram

SHAPE = (512, 512)
CLAW = 0.4  # MJy/sr


def streak(shape):
    """Boolean image of a slanted streak 60 px wide, a tenth of the image."""
    y, x = np.indices(shape)
    return np.abs(y - 0.5 * x - 150) < 33


@pytest.fixture(scope="module")
def members():
    effects = attrs.evolve(Effects(), large_galaxy=False, saturated_star=False, persistence=False, wisps=False)
    program = SimulatedProgram(
        detectors=["B1"], filters=["F200W"], shape=SHAPE, n_pointings=1, n_dithers=4, seed=2, effects=effects
    )
    return tuple(program.exposures())


@pytest.fixture(scope="module")
def stars(members):
    """One star, which stands in the zone of module B in each of the exposures."""
    ra, dec = PlannedPointing.of(members[0]).attitude().to_sky(1.5 * u.deg, 9.95 * u.deg)
    return StarCatalog(ra=ra.reshape(1), dec=dec.reshape(1), ks=[0.0] * u.mag, names=["the star"])


@pytest.fixture(scope="module")
def forecast(members, stars):
    """As bright as the light injected, by a zone made so."""
    zone = ClawSusceptibilityZone.default("B")
    exposures = ExposureSet.from_exposures(members)
    trial = ClawForecast.from_pointings(exposures, zones=zone, stars=stars)
    brightness = float(np.mean(trial.own_flux.to_value(u.DN / u.s))) * members[0].photmjsr
    exact = attrs.evolve(zone, intensity_map=zone.intensity_map * CLAW / brightness)
    return ClawForecast.from_pointings(exposures, zones=exact, stars=stars)


def with_claw(member, brightness=CLAW):
    data = member.data + np.float32(brightness) * streak(SHAPE)
    return attrs.evolve(member, data=data)


def test_the_light_injected_is_found_as_predicted(members, forecast):
    (row,) = forecast.compare_with(with_claw(members[0]))
    sky = CLAW / row["predicted"]
    assert 0.1 < sky < 0.5  # a sky level in MJy/sr
    assert row["measured"] == pytest.approx(row["predicted"], rel=0.1)
    assert row["covered"] == pytest.approx(streak(SHAPE).mean(), rel=0.3)
    assert row["err"] < 0.05 * row["measured"]


def test_no_light_is_found_where_there_is_none(members, forecast):
    table = forecast.compare_with(ExposureSet.from_exposures(members))
    assert list(table["name"]) == [member.name for member in members]
    np.testing.assert_array_equal(table["measured"], 0)
    np.testing.assert_array_equal(table["covered"], 0)
    assert np.all(table["predicted"] > 1)
    assert np.all(3 * table["err"] < 0.2)  # so a claw of a fifth of the sky would have been seen


def test_a_skyflat_shows_the_claws_of_its_exposures(members, forecast):
    exposures = ExposureSet.from_exposures(map(with_claw, members))
    delta = DeltaSkyflat.from_exposures(exposures, masks=lambda exposure: np.zeros(SHAPE, bool))
    (row,) = forecast.compare_with(delta)
    assert row["name"] == "delta skyflat"
    assert row["measured"] == pytest.approx(row["predicted"], rel=0.2)
    (clean,) = forecast.compare_with(DeltaSkyflat.from_exposures(ExposureSet.from_exposures(members)))
    assert clean["measured"] == 0


def test_what_is_not_affected_is_predicted_to_show_nothing(members, forecast):
    a2 = attrs.evolve(members[0], detector="A2", name="a2")
    both = ClawForecast.from_pointings([a2], "F200W", stars=forecast.stars)
    assert both.compare_with(a2)["predicted"][0] == 0


def test_the_scatter_of_noise_alone_makes_no_claws():
    rng = np.random.default_rng(8)
    found = [measure_claw_light(1 + rng.normal(0, 0.01, (256, 256)).astype(np.float32)) for _ in range(50)]
    assert sum(light > 0 for light, _, _ in found) <= 1
    step = np.ones((256, 256), np.float32) + rng.normal(0, 0.01, (256, 256)).astype(np.float32)
    step[:, :25] += 0.1
    light, err, covered = measure_claw_light(step)
    assert light == pytest.approx(0.1, abs=0.012)
    assert covered == pytest.approx(0.1, abs=0.03)
    assert err < 0.002


def test_dark_light_is_none():
    dark = np.ones((256, 256), np.float32) + np.random.default_rng(1).normal(0, 0.01, (256, 256)).astype(np.float32)
    dark[:, :20] -= 0.1
    assert measure_claw_light(dark)[0] == 0


def test_what_cannot_be_compared_is_refused(members, forecast):
    with pytest.raises(
        InvalidInputError, match="exposure 'other' must be one of the pointings; make the forecast from"
    ):
        forecast.compare_with(attrs.evolve(members[0], name="other"))
    with pytest.raises(InvalidInputError, match="needed an Exposure, ExposureSet or DeltaSkyflat; got ndarray"):
        forecast.compare_with(np.ones((4, 4)))
    with pytest.raises(InvalidInputError, match=r"at least 32 boxes .*; got 0"):
        measure_claw_light(np.full((64, 64), np.nan))
    open_roll = attrs.evolve(PlannedPointing.of(members[0]), roll=None)
    with pytest.raises(InvalidInputError, match="must have a roll; it is open"):
        ClawForecast.from_pointings(open_roll, stars=forecast.stars).compare_with(members[0])
