"""Claw forecasts: as the published tool predicts them, and right where it is not."""

import json

import attrs
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table

from nircam_flats import (
    AngleRanges,
    Attitude,
    ClawForecast,
    ClawSusceptibilityZone,
    DeltaSkyflat,
    Exposure,
    ExposureSet,
    InvalidInputError,
    PlannedPointing,
    StarCatalog,
)
from nircam_flats.simulation.geometry import FrameGeometry
from nircam_flats.testing import assert_same, check_value

FLUX = u.DN / u.s
FILTERS = ("F150W", "F200W")


@pytest.fixture(scope="module")
def zone():
    """A zone of module B that lets in 100 within half a degree of V2 = 1, V3 = 10, and nothing elsewhere."""
    default = ClawSusceptibilityZone.default("B")
    v2, v3 = default.pixel_middles
    values = np.where(np.hypot(v2 - 1, v3[:, np.newaxis] - 10) < 0.5, 100.0, 0.0)
    return attrs.evolve(default, intensity_map=values)


@pytest.fixture(scope="module")
def pointing():
    """Towards a place at low declination, held at V1."""
    return PlannedPointing(name="one", ra=50 * u.deg, dec=3 * u.deg, v2=0 * u.arcsec, v3=0 * u.arcsec)


def star_at(pointing, *angles, v2=1.0, v3=10.0, **magnitudes):
    """Catalogue of a star for each angle, that stands at (v2, v3) when V3 has that angle."""
    ra, dec = pointing.attitude(u.Quantity(angles, u.deg)).to_sky(v2 * u.deg, v3 * u.deg)
    bands = {band: np.full(len(angles), value) * u.mag for band, value in magnitudes.items()}
    return StarCatalog(ra=ra, dec=dec, **bands)


# --- against the published tool


@pytest.fixture(scope="module")
def published(published_zones, obs5):
    return ClawForecast.from_pointings(obs5, FILTERS, zones=published_zones)


def test_flux_is_that_of_the_published_tool(published, real_data):
    peer = Table.read(real_data / "claws" / "peer_rpt_1.1.0_obs5_v3pa_flux.csv")
    np.testing.assert_array_equal(published.angles.to_value(u.deg), peer["v3pa_deg"])
    for f, name in enumerate(FILTERS):
        theirs = np.asarray(peer[f"dn_pix_ks_CLEAR+{name}_B"])
        ours = published.mean_flux[1, f].to_value(u.DN / u.ks)
        assert theirs.min() > 0
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_its_clean_ranges_follow_from_module_b(published, real_data):
    expected = json.loads((real_data / "claws" / "published_clawfree_ranges_obs5.json").read_text())["ranges_0p1_min"]
    limits = [9.5, 12.5] * u.DN / u.ks
    clear = np.flatnonzero((published.mean_flux[1] < limits[:, np.newaxis]).all(axis=0))
    runs = np.split(clear, np.flatnonzero(np.diff(clear) > 1) + 1)
    assert [[int(run[0]), int(run[-1])] for run in runs] == expected


def test_ours_are_stricter(published):
    limit = {"F150W": 9.5 * u.DN / u.ks, "F200W": 12.5 * u.DN / u.ks}
    clear = published.claw_free_angles(limit)
    one_module = attrs.evolve(
        published, zones=published.zones[1:], flux=published.flux[1:], unknown=published.unknown[1:]
    ).claw_free_angles(limit)
    assert 0 * u.deg < clear.width < one_module.width
    assert (clear & one_module).width.to_value(u.deg) == pytest.approx(clear.width.to_value(u.deg))


def test_the_packaged_zones_predict_nearly_the_same(published_zones):
    rng = np.random.default_rng(5)
    worst = 0
    for ra, dec in zip(rng.uniform(0, 360, 12), np.degrees(np.arcsin(rng.uniform(-1, 1, 12))), strict=True):
        target = PlannedPointing.from_sky(SkyCoord(ra, dec, unit="deg"), "B5")
        exact = ClawForecast.from_pointings(target, ["F200W"], zones=published_zones).flux[:, 0, 0]
        fitted = ClawForecast.from_pointings(target, ["F200W"]).flux[:, 0, 0]
        bright = exact > 0.1 * exact.max(axis=1, keepdims=True)
        worst = max(worst, np.abs(fitted[bright] / exact[bright] - 1).max())
    assert 0.01 < worst < 0.15


# --- one star


def test_the_flux_is_the_formula(zone, pointing):
    stars = star_at(pointing, 120, h=2.0)
    forecast = ClawForecast.from_pointings(pointing, "F150W", zones=zone, stars=stars)
    expected = 100 * 10 ** (-0.4 * (2.0 + 17 - 11.8580))
    assert forecast.flux[0, 0, 0, 120] == pytest.approx(expected, rel=1e-12)
    assert forecast.modules == ("B",)
    # half a degree at a distance of ten is 2.9 degrees of roll
    angles = forecast.angles[forecast.flux[0, 0, 0] > 0].to_value(u.deg)
    assert (angles.min(), angles.max()) == (118, 122)


def test_edges_are_found_to_a_twentieth_of_a_degree(zone, pointing):
    stars = star_at(pointing, 120, h=2.0)
    forecast = ClawForecast.from_pointings(pointing, "F150W", zones=zone, stars=stars)
    ((start, end),) = forecast.claw_free_angles(0)
    fine = np.arange(110, 130, 0.005) * u.deg
    place = pointing.attitude(fine).to_telescope(stars.ra, stars.dec)
    hit = fine[np.flatnonzero(zone.intensity(*place))]
    assert 0 <= (hit.min() - end).to_value(u.deg) <= 0.051
    assert 0 <= (start - hit.max()).to_value(u.deg) <= 0.051


def test_a_star_that_stands_in_at_north_makes_a_range_around_zero(zone, pointing):
    forecast = ClawForecast.from_pointings(pointing, "F150W", zones=zone, stars=star_at(pointing, 0, h=2.0))
    clear = forecast.claw_free_angles(0)
    assert len(clear) == 1
    assert not clear.contains([0, 359, 1]).any()
    dark = ClawForecast.from_pointings(pointing, "F150W", zones=zone, stars=star_at(pointing, 180, h=2.0))
    ((start, end),) = dark.claw_free_angles(0)
    assert end < start
    assert dark.claw_free_angles(0).contains([0, 359, 1]).all()


def test_a_narrow_claw_between_the_angles_is_not_missed(pointing):
    default = ClawSusceptibilityZone.default("B")
    v2, v3 = default.pixel_middles
    values = np.where(np.hypot(v2 - 1, v3[:, np.newaxis] - 10) < 0.06, 100.0, 0.0)
    narrow = attrs.evolve(default, intensity_map=values)
    forecast = ClawForecast.from_pointings(pointing, "F150W", zones=narrow, stars=star_at(pointing, 120.5, h=2.0))
    assert forecast.flux.max() == 0
    assert not forecast.claw_free_angles(0).contains(120.5)


@pytest.mark.parametrize("ra", [0.0, 360.0, 123.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_star_on_the_pole_is_one_like_others(zone, ra, sign):
    """Its right ascension says nothing; at a distance of ten degrees it comes into the zone at one angle."""
    near = PlannedPointing(ra=10 * u.deg, dec=sign * 79.95 * u.deg, v2=0 * u.arcsec, v3=0 * u.arcsec)
    stars = StarCatalog(ra=[ra] * u.deg, dec=[sign * 90.0] * u.deg, h=[1.0] * u.mag)
    forecast = ClawForecast.from_pointings(near, "F150W", zones=zone, stars=stars)
    hit = forecast.angles[forecast.flux[0, 0, 0] > 0].to_value(u.deg)
    middle = 360 - np.degrees(np.arctan2(np.sin(np.radians(1)), np.tan(np.radians(10))))  # where V2 = 1 points north
    assert np.abs(hit - (middle if sign > 0 else (middle + 180) % 360)).max() < 3.5
    assert 4 <= len(hit) <= 7


def test_the_angle_is_meant_at_the_aperture_or_at_v1():
    (planned,) = PlannedPointing.from_sky(SkyCoord(40, 75, unit="deg"), "B1")
    at = {name: ClawForecast.from_pointings(planned, "F200W", angle_at=name) for name in ("aperture", "v1")}
    roll = planned.attitude(100 * u.deg, angle_at="v1").roll_at(planned.v2, planned.v3)
    assert abs(roll - 100 * u.deg) > 0.1 * u.deg
    there = ClawForecast.from_pointings(planned, "F200W", angles=[roll.to_value(u.deg)] * u.deg)
    np.testing.assert_allclose(at["v1"].flux[..., 100], there.flux[..., 0], rtol=1e-9)
    assert np.abs(at["aperture"].flux[..., 100] / there.flux[..., 0] - 1).max() > 1e-3


# --- many


def test_one_exposure_spoils_an_angle_for_all(zone, pointing):
    """The published tool averages over the exposures first."""
    apart = attrs.evolve(pointing, name="two", ra=pointing.ra + 30 * u.deg)
    stars = star_at(pointing, 120, h=2.0)
    forecast = ClawForecast.from_pointings([pointing, apart], "F150W", zones=zone, stars=stars)
    peak = forecast.flux.max()
    assert forecast.flux[0, 0, 1].max() == 0
    assert forecast.mean_flux[0, 0, 120].to_value(FLUX) == pytest.approx(peak / 2)
    assert not forecast.claw_free_angles(0.75 * peak).contains(120)
    assert forecast.claw_free_angles(1.01 * peak).ranges == ((0, 360),)


def test_modules_and_filters_count_only_where_they_are_used(pointing):
    one = attrs.evolve(pointing, filters=["F150W", "F444W"], modules="A")
    other = attrs.evolve(pointing, filters=["F200W"], modules="AB")
    forecast = ClawForecast.from_pointings([one, other])
    assert [item.name for item in forecast.filters] == ["F150W", "F200W"]
    used = np.isfinite(forecast.flux).all(axis=3)
    np.testing.assert_array_equal(used[0], [[True, False], [False, True]])  # module A: filter, pointing
    np.testing.assert_array_equal(used[1], [[False, False], [False, True]])
    assert np.isnan(forecast.mean_flux[1, 0]).all()
    assert np.isfinite(forecast.mean_flux[0]).all()
    limit = 0.01
    for pair, alone in (((0, 0), one), ((1, 1), other)):
        single = ClawForecast.from_pointings(alone, filters=forecast.filters[pair[0]])
        assert (single.claw_free_angles(limit) & forecast.claw_free_angles(limit)).width == (
            forecast.claw_free_angles(limit).width
        )


def test_light_is_the_sum_over_stars_and_their_shares_are_told(zone, pointing):
    stars = star_at(pointing, 120, 121, 300, h=2.0)
    stars = attrs.evolve(stars, h=[2.0, 3.0, 1.0] * u.mag, names=("bright", "faint", "elsewhere"))
    forecast = ClawForecast.from_pointings(pointing, "F150W", zones=zone, stars=stars)
    shares = forecast.contributions(120 * u.deg, "F150W", "B")
    assert list(shares["name"]) == ["bright", "faint"]
    assert shares["flux"].sum().to_value(FLUX) == pytest.approx(forecast.flux[0, 0, 0, 120])
    assert (shares["flux"][0] / shares["flux"][1]).to_value(u.one) == pytest.approx(10**0.4)
    assert shares["fraction"].sum() == pytest.approx(1)
    np.testing.assert_allclose(shares["v3"][0].to_value(u.deg), 10)
    worst = forecast.worst_offender("F150W", "B")
    assert worst["name"][0] == "elsewhere"
    assert abs(worst["angle"][0] - 300 * u.deg) <= 3 * u.deg
    assert len(forecast.contributions(10 * u.deg, "F150W", "B")) == 0


def test_stars_that_no_roll_brings_in_are_left_out_and_change_nothing(pointing):
    forecast = ClawForecast.from_pointings(pointing, ["F200W"])
    assert 50 < len(forecast.stars) < 2000
    rotations = pointing.attitude(forecast.angles)
    everything = StarCatalog.packaged()
    v2, v3 = Attitude(matrix=rotations.matrix[::45]).to_telescope(everything.ra, everything.dec)
    weights = 10 ** (-0.4 * (everything.ks.to_value(u.mag) + 17 - np.array([[10.8321], [12.0125]])))
    for m, zone in enumerate(forecast.zones):
        sums = (zone.intensity(v2, v3) * weights[m]).sum(axis=1)
        np.testing.assert_allclose(forecast.flux[m, 0, 0, ::45], sums, rtol=1e-9)


def test_a_missing_magnitude_makes_an_angle_unknown_and_not_clear(zone, pointing):
    stars = star_at(pointing, 120, 200, h=2.0)
    stars = attrs.evolve(stars, h=[np.nan, 2.0] * u.mag, ks=[1, 1] * u.mag, names=("unknown", "known"))
    forecast = ClawForecast.from_pointings(pointing, ["F150W", "F200W"], zones=zone, stars=stars)
    assert list(forecast.missing["name"]) == ["unknown"]
    assert list(forecast.missing["band"]) == ["H"]
    assert forecast.unknown[0, 0, 0, 120]
    assert not forecast.unknown[0, 1].any()
    assert forecast.flux[0, 0, 0, 120] == 0
    clear = forecast.claw_free_angles(1e3)
    assert not clear.contains(120)
    assert clear.contains(200)
    (share,) = forecast.contributions(120 * u.deg, "F150W", "B")
    assert share["name"] == "unknown"
    assert np.isnan(share["flux"])
    assert len(ClawForecast.from_pointings(pointing, "F200W", zones=zone, stars=stars).missing) == 0


# --- limits


def test_limits_may_be_numbers_or_quantities_of_flux_or_brightness(zone, pointing):
    forecast = ClawForecast.from_pointings(pointing, FILTERS, zones=zone, stars=StarCatalog.packaged())
    same = [
        0.02,
        20 * u.DN / u.ks,
        0.02 * u.DN / u.s / u.pix,
        {"F150W": 0.02 * 2.299 * u.MJy / u.sr, "f200w": 0.02 * 1.946e6 * u.Jy / u.sr},
    ]
    for limit in same:
        assert [value.to_value(FLUX) for value in forecast.limits(limit).values()] == pytest.approx([0.02, 0.02])
    assert len({forecast.claw_free_angles(limit).ranges for limit in same[:3]}) == 1
    brightness = forecast.limits(0.01 * u.MJy / u.sr)
    assert [value.to_value(FLUX) for value in brightness.values()] == pytest.approx([0.01 / 2.299, 0.01 / 1.946])


def test_allowed_angles_are_kept_to(zone, pointing):
    forecast = ClawForecast.from_pointings(pointing, "F150W", zones=zone, stars=star_at(pointing, 120, h=2.0))
    clear = forecast.claw_free_angles(0)
    for allowed in ([(100, 140)], AngleRanges([(100, 140)])):
        assert forecast.claw_free_angles(0, allowed=allowed) == clear & AngleRanges([(100, 140)])
    assert len(forecast.claw_free_angles(0, allowed=[(119, 121)])) == 0


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (-1, r"limit must be finite and not negative; got -1"),
        (np.nan, r"limit must be finite and not negative"),
        (1 * u.Jy, r"limit must be in DN/s or MJy/sr; got 1.0 Jy"),
        ({"F150W": 1}, r"must be given for each filter; there is none for F200W"),
        ([1, 2], r"limit must be one number or Quantity, or a mapping"),
        ("low", r"limit must be one number"),
    ],
)
def test_what_is_no_limit_is_refused(pointing, limit, text):
    with pytest.raises(InvalidInputError, match=text):
        ClawForecast.from_pointings(pointing, FILTERS).claw_free_angles(limit)


# --- exposures


@pytest.fixture(scope="module")
def exposures():
    """Four exposures of one pointing: B4, BLONG, A2 (no claws) and B4 turned by half a circle."""
    members = []
    for detector, filter, roll in (
        ("B4", "F150W", 120),
        ("BLONG", "F444W", 120),
        ("A2", "F150W", 120),
        ("B4", "F150W", 300),
    ):
        pointing = FrameGeometry(detector=detector, shape=(64, 64)).pointing(50, 3, roll)
        name = f"{detector}_{roll}"
        members.append(Exposure(data=np.ones((64, 64)), detector=detector, filter=filter, name=name, pointing=pointing))
    return ExposureSet.from_exposures(members)


def test_exposures_with_claws_can_be_left_out(exposures, zone):
    taken = PlannedPointing.of(exposures[0])
    ra, dec = taken.attitude().to_sky(1 * u.deg, 10 * u.deg)
    stars = StarCatalog(ra=ra.reshape(1), dec=dec.reshape(1), h=[2.0] * u.mag)
    both = (zone, attrs.evolve(zone, module="A"))
    forecast = ClawForecast.from_pointings(exposures, zones=both, stars=stars)
    flags = forecast.flags(0.01)
    np.testing.assert_array_equal(flags, [True, False, False, False])
    kept = exposures.exclude(flags, "claws predicted")
    assert [member.name for member in kept] == ["BLONG_120", "A2_120", "B4_300"]
    assert [(item.name, item.reason) for item in kept.excluded] == [("B4_120", "claws predicted")]
    table = forecast.predicted
    assert list(table["name"]) == ["B4_120", "B4_300"]  # the others are not affected
    assert table["flux"][0].to_value(FLUX) == pytest.approx(100 * 10 ** (-0.4 * (19 - 11.858)))
    assert table["brightness"][0].to_value(u.MJy / u.sr) == pytest.approx(2.299 * table["flux"][0].value)
    assert table["fraction"][0] == 1
    assert table["star"][1] == ""


def test_claws_harm_a_flat_unless_they_are_left_out(zone):
    """Half of the exposures have the roll at which a bright star shines in; their light is that of the forecast."""
    shape, sky = (128, 128), 0.3
    members = []
    for number in range(6):
        pointing = FrameGeometry(detector="B4", shape=shape).pointing(50, 3, (120, 300)[number % 2])
        data = np.random.default_rng(number).normal(sky, 0.01 * sky, shape)
        facts = {"detector": "B4", "filter": "F150W", "flat_name": "flat.fits", "name": f"jw{number}"}
        members.append(Exposure(data=data, pointing=pointing, **facts))
    ra, dec = PlannedPointing.of(members[0]).attitude().to_sky(1 * u.deg, 10 * u.deg)
    stars = StarCatalog(ra=ra.reshape(1), dec=dec.reshape(1), h=[2.0] * u.mag)
    zones = (zone, attrs.evolve(zone, module="A"))
    forecast = ClawForecast.from_pointings(ExposureSet.from_exposures(members), zones=zones, stars=stars)
    light = dict(zip(forecast.predicted["name"], forecast.predicted["brightness"].to_value(u.MJy / u.sr), strict=True))
    claw = np.zeros(shape)
    claw[40:80, 30:90] = 1
    exposures = ExposureSet.from_exposures(
        attrs.evolve(member, data=member.data + np.nan_to_num(light[member.name]) * claw) for member in members
    )
    kept = exposures.exclude(forecast.flags(0.1 * sky * u.MJy / u.sr), "claws predicted")
    harmed, right = (DeltaSkyflat.from_exposures(found, masks=lambda one: ~one.good) for found in (exposures, kept))
    inside = claw > 0
    assert np.median(harmed.data[inside]) / np.median(harmed.data[~inside]) > 1.1
    assert np.median(right.data[inside]) / np.median(right.data[~inside]) == pytest.approx(1, abs=0.001)
    left_out = right.exposures[~right.exposures["used"]]
    assert {row["name"]: row["reason"] for row in left_out} == dict.fromkeys(("jw0", "jw2", "jw4"), "claws predicted")


def test_only_some_detectors_have_claws(pointing):
    forecast = ClawForecast.from_pointings(pointing, "F200W")
    assert {m: [d.label for d in found] for m, found in forecast.detectors.items()} == {
        "A": ["A1", "A3"],
        "B": ["B1", "B2", "B4"],
    }


def test_flags_need_rolls(pointing):
    with pytest.raises(InvalidInputError, match=r"it is open in 1, the first 'one': claw_free_angles tells"):
        ClawForecast.from_pointings(pointing, "F150W").flags(0.01)
    assert len(ClawForecast.from_pointings(pointing, "F150W").predicted) == 0


# --- what is asked for wrongly


def test_long_wavelength_filters_are_told_apart(pointing, exposures):
    with pytest.raises(
        InvalidInputError, match=r"short-wavelength detectors only, and F444W is not affected: leave it"
    ):
        ClawForecast.from_pointings(pointing, ["F150W", "F444W"])
    with pytest.raises(InvalidInputError, match=r"at least one short-wavelength filter; the pointings name none"):
        ClawForecast.from_pointings(exposures.where(detector="BLONG"))


@pytest.mark.parametrize("angles", [[-1, 10] * u.deg, [10, 361] * u.deg, [np.nan] * u.deg])
def test_angles_outside_the_circle_are_refused(pointing, angles):
    with pytest.raises(InvalidInputError, match=r"angles must be within 0 to 360 deg.*take it modulo 360"):
        ClawForecast.from_pointings(pointing, "F150W", angles=angles)


def test_a_catalogue_needs_the_band_of_each_filter(pointing):
    stars = StarCatalog(ra=[1] * u.deg, dec=[2] * u.deg, h=[3] * u.mag)
    ClawForecast.from_pointings(pointing, "F150W", stars=stars)
    with pytest.raises(InvalidInputError, match="magnitudes in Ks are needed; this catalogue has H"):
        ClawForecast.from_pointings(pointing, "F200W", stars=stars)


def test_other_bad_input_is_refused(pointing):
    with pytest.raises(InvalidInputError, match="needed at least one pointing; got none"):
        ClawForecast.from_pointings([], "F150W")
    with pytest.raises(InvalidInputError, match="zones must be ClawSusceptibilityZone, one of each module"):
        ClawForecast.from_pointings(pointing, "F150W", zones=[ClawSusceptibilityZone.default("A")] * 2)
    forecast = ClawForecast.from_pointings(pointing, "F150W")
    with pytest.raises(
        InvalidInputError, match="module must be one of A, B and filter one of F150W; got 'C' and F150W"
    ):
        forecast.contributions(0 * u.deg, "F150W", "C")
    with pytest.raises(InvalidInputError, match=r"pointing must be one of \[0\]; got 3"):
        forecast.contributions(0 * u.deg, "F150W", "A", pointing=3)
    with pytest.raises(InvalidInputError, match=r"must have shape \(2, 1, 1, 360\)"):
        attrs.evolve(forecast, flux=forecast.flux[:1])


# --- as a value


def test_keeps_the_promises_of_a_value(exposures):
    check_value(ClawForecast.from_pointings(exposures))


def test_the_table_has_mean_and_largest_flux(published):
    table = published.table
    assert table.colnames[:3] == ["angle", "F150W_A", "F150W_A_max"]
    assert np.all(table["F200W_B_max"] >= table["F200W_B"])
    assert table["F200W_B"].unit == FLUX


def test_a_file_gives_back_the_forecast(exposures, tmp_path, pointing):
    both = [*(PlannedPointing.of(member) for member in exposures), pointing]
    forecast = ClawForecast.from_pointings(both, "F150W", angle_at="v1", angles=np.arange(0, 360, 45) * u.deg)
    path = tmp_path / "claws.fits"
    forecast.write(path)
    again = ClawForecast.read(path)
    assert_same(attrs.evolve(again, stars=forecast.stars), forecast)
    for name in ("ra", "dec", "j", "h", "ks", "names"):
        assert_same(getattr(again.stars, name), getattr(forecast.stars, name), name=name)
    assert again.claw_free_angles(0.01) == forecast.claw_free_angles(0.01)
    with pytest.raises(InvalidInputError, match="exists already"):
        forecast.write(path)
