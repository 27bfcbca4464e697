"""Sources, sky levels, and scattered light end up where and as bright as they should."""

import attrs
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord, get_sun

from nircam_flats import DQ, Detector, Filter, InvalidInputError
from nircam_flats.simulation import Effects, SimulatedProgram
from nircam_flats.simulation.geometry import FrameGeometry
from nircam_flats.simulation.noise import row_stripes
from nircam_flats.simulation.sky import Sources, sky_level, telescope_pointing

NONE = Effects.none()


def program(detector="B4", **settings):
    effects = attrs.evolve(NONE, **settings.pop("effects", {}))
    return SimulatedProgram(**{"detectors": detector, "shape": (128, 128), "effects": effects} | settings)


def added(one, detector, filter, index, **effects):
    """What some effects add to a noiseless image, undone the response: MJy/sr."""
    more = attrs.evolve(one, effects=attrs.evolve(one.effects, **effects))
    difference = more.exposure(detector, filter, index).data - one.exposure(detector, filter, index).data
    return difference / one.truth(detector).delta(filter)


def single(magnitude, *, kind=0, radius=0.0, ra, dec):
    columns = {"kind": kind, "ra": ra, "dec": dec, "magnitude": magnitude, "color": 0.2, "radius": radius}
    columns |= {"axis_ratio": 0.7 if kind else 1.0, "angle": 0.4}
    return Sources(**{name: np.array([value]) for name, value in columns.items()})


# --- painting


@pytest.mark.parametrize(("kind", "radius"), [(0, 0.0), (1, 0.15), (2, 0.1)])
@pytest.mark.parametrize(("detector", "filter"), [("B4", "F200W"), ("ALONG", "F444W")])
def test_source_has_its_flux_at_its_place(detector, filter, kind, radius):
    frame, filter = FrameGeometry(detector=detector, shape=(128, 128)), Filter.get(filter)
    pointing = frame.pointing(80, -20, 200)
    x, y = 61.3, 70.8
    ra, dec = frame.to_sky(pointing, x, y)
    source = single(24.0, kind=kind, radius=radius, ra=ra, dec=dec)
    light = source.light(frame, pointing, filter).astype(float)
    flux = 3631 * 10 ** (-0.4 * (24.0 + 0.2 * np.log2(filter.pivot.to_value(u.um) / 2)))
    assert light.sum() * 1e6 * frame.pixel_area.to_value(u.sr) == pytest.approx(flux, rel=1e-5)
    rows, columns = np.indices(light.shape)
    core = light * (np.hypot(rows - y, columns - x) < 8)
    assert (core * columns).sum() / core.sum() == pytest.approx(x, abs=0.05)
    assert (core * rows).sum() / core.sum() == pytest.approx(y, abs=0.05)


def test_source_beyond_the_edge_still_sends_its_light_in():
    frame = FrameGeometry(detector="B4", shape=(64, 64))
    pointing = frame.pointing(80, -20, 200)
    ra, dec = frame.to_sky(pointing, -6.0, 30.0)
    light = single(20.0, ra=ra, dec=dec).light(frame, pointing, Filter.get("F200W"))
    assert np.unravel_index(light.argmax(), light.shape) == (30, 0)
    ra, dec = frame.to_sky(pointing, -20.0, 30.0)
    assert not single(28.0, ra=ra, dec=dec).light(frame, pointing, Filter.get("F200W")).any()


def test_light_is_divided_by_the_pixel_area():
    one = program(effects={"area": True})
    exposure = one.exposure("B4", "F200W", 0)
    image = added(one, "B4", "F200W", 0, sources=True)
    frame = FrameGeometry(detector="B4", shape=one.shape)
    sources = Sources.draw(frame, one.seed, 0, attrs.evolve(NONE, sources=True))
    light = sources.light(frame, exposure.pointing, Filter.get("F200W"))
    good = np.isfinite(image)
    assert np.ptp(exposure.area) > 0.03
    np.testing.assert_allclose((image * exposure.area)[good], light[good], rtol=1e-3, atol=1e-5)


# --- the sources of a program


@pytest.mark.parametrize("detector", ["B4", "ALONG"])
def test_stars_are_where_the_wcs_says_and_move_with_the_dithers(detector):
    one = program(detector, effects={"saturated_star": True}, n_dithers=4, shape=(256, 256))
    filter = one.filters_of(detector)[0]
    frame = FrameGeometry(detector=detector, shape=one.shape)
    stars = Sources.saturated(frame, one.seed, 0)
    places = []
    for index in range(4):
        exposure = one.exposure(detector, filter, index)
        x, y = exposure.wcs.all_world2pix(stars.ra, stars.dec, 0)
        rows, columns = np.nonzero(DQ.SATURATED.is_set(exposure.dq))
        nearest = np.argmin(np.hypot(columns[:, None] - x, rows[:, None] - y), axis=1)
        for star in range(x.size):
            assert columns[nearest == star].mean() == pytest.approx(x[star], abs=0.7)
            assert rows[nearest == star].mean() == pytest.approx(y[star], abs=0.7)
        places.append((x[0], y[0]))
    steps = np.hypot(*np.diff(places, axis=0).T) / 256
    scale = {"SW": 1, "LW": 0.5}[Detector.get(detector).channel]
    assert (steps > 0.06 * scale).all()
    assert (steps < 0.3 * scale).all()


def test_dithers_lie_where_they_should():
    pointings = np.array([telescope_pointing(1, (2048, 2048), 0, dither) for dither in range(6)])
    centre = np.array(telescope_pointing(1, (2048, 2048), 0, None))
    step = (pointings - centre)[:, :2] * [np.cos(np.radians(centre[1])), 1] * 3600
    assert (np.hypot(*step.T) > 0.06 * 63.5 - 0.01).all()
    assert (np.hypot(*step.T) < 0.13 * 63.5 + 0.01).all()
    other = np.array(telescope_pointing(1, (2048, 2048), 1, None))
    assert np.abs(other - centre)[:2].max() > 1


def test_jwst_can_look_there_on_that_day():
    exposures = [SimulatedProgram(shape=(64, 64), seed=seed).exposure("B4", "F115W", 3) for seed in range(20)]
    for one in exposures:
        away = SkyCoord(one.pointing.ra_v1, one.pointing.dec_v1).separation(sun_at(one.start))
        assert 90 < away.deg < 130
    assert len({one.pointing.ra_v1.value for one in exposures}) == 20


def sun_at(date):
    sun = get_sun(date)
    return SkyCoord(sun.ra, sun.dec)


def test_filters_and_detectors_share_the_pointing():
    one = SimulatedProgram(shape=(64, 64), effects=NONE)
    b4, along = one.exposure("B4", "F115W", 1), one.exposure("ALONG", "F444W", 1)
    assert b4.pointing.ra_v1 == along.pointing.ra_v1
    assert b4.pointing.roll_ref != along.pointing.roll_ref
    assert one.exposure("B4", "F200W", 1).pointing == b4.pointing


def test_counts_are_those_of_deep_fields():
    frame = FrameGeometry(detector="ALONG", shape=(2048, 2048))
    sources = Sources.draw(frame, 1, 0, attrs.evolve(NONE, sources=True))
    side = (2048 * 1.3 + 120) ** 2 * frame.pixel_area.to_value(u.arcmin**2)
    galaxies = sources.magnitude[sources.kind > 0]
    assert np.sum(galaxies < 28) / side == pytest.approx(250, rel=0.1)
    assert np.sum(galaxies < 30) / np.sum(galaxies < 28) == pytest.approx(10**0.6, rel=0.1)
    assert galaxies.max() > 30.9
    assert 0.7 < np.mean(sources.kind[sources.kind > 0] == 1) < 0.9
    assert sources.magnitude[sources.kind == 0].min() > 19.4


def test_large_galaxy_is_in_the_second_pointing_alone():
    one = program(n_dithers=2)
    assert np.nanmax(np.abs(added(one, "B4", "F200W", 1, large_galaxy=True))) == 0
    image = added(one, "B4", "F200W", 2, large_galaxy=True)
    sky = one.sky_level("B4", "F200W", 2).value
    assert 0.03 < np.nanmean(image > 0.1 * sky) < 0.4
    y, x = np.nonzero(image > 0.5 * np.nanmax(image))
    assert 32 < x.mean() < 96
    assert 32 < y.mean() < 96


# --- levels


def test_sky_differs_by_pointing_and_little_by_dither():
    filter = Filter.get("F200W")
    levels = np.array([[sky_level(4, filter, pointing, dither) for dither in range(6)] for pointing in range(8)])
    assert ((levels > 0.1) & (levels < 0.4)).all()
    assert np.std(levels.mean(axis=1)) / levels.mean() > 0.05
    within = np.ptp(levels, axis=1) / levels.mean(axis=1)
    assert (within < 0.12).all()
    assert np.median(within) > 0.005


@pytest.mark.parametrize("name", ["F070W", "F115W", "F200W", "F277W", "F356W", "F444W"])
def test_noise_is_a_few_per_cent_of_the_sky(name):
    detector = "B4" if Filter.get(name).channel == "SW" else "ALONG"
    one = program(detector, filters=[name], shape=(64, 64))
    exposure = one.exposure(detector, name, 0)
    relative = np.nanmedian(exposure.err / exposure.data)
    assert 0.02 < relative < 0.11


# --- persistence and wisps


def test_persistence_glows_where_the_star_was():
    one = program(effects={"saturated_star": True}, n_dithers=4, shape=(256, 256))
    stars = Sources.saturated(FrameGeometry(detector="B4", shape=one.shape), one.seed, 0)
    assert np.nanmax(np.abs(added(one, "B4", "F200W", 0, persistence=True))) == 0
    image = added(one, "B4", "F200W", 3, persistence=True)
    sky = one.sky_level("B4", "F200W", 3).value
    assert np.nanmin(image) > -1e-3 * sky
    glow = []
    for before in (2, 1, 0):
        wcs = one.exposure("B4", "F200W", before).wcs
        x, y = (int(np.round(part[0])) for part in wcs.all_world2pix(stars.ra, stars.dec, 0))
        glow.append(np.nanmax(image[y - 1 : y + 2, x - 1 : x + 2]) / sky)
    np.testing.assert_allclose(glow, [1 / 2, 1 / 6, 1 / 18], rtol=0.2)
    assert np.nanmean(image > 0.01 * sky) < 0.05


@pytest.mark.parametrize("detector", ["A3", "A4", "B3", "B4"])
def test_wisp_has_one_shape_and_many_strengths(detector):
    one = program(detector)
    truth = attrs.evolve(one, effects=attrs.evolve(NONE, wisps=True)).truth(detector)
    strengths = []
    for filter in one.filters_of(detector):
        for index in range(one.n_exposures):
            level = truth.wisp_level(filter, index)
            image = added(one, detector, filter, index, wisps=True)
            shape = truth.wisp(filter) / truth.wisp(filter).max()
            good = np.isfinite(image)
            np.testing.assert_allclose(image[good], (shape * level.value)[good], atol=2e-6)
            strengths.append((level / truth.sky(filter, index)).value)
        mean = np.mean([truth.wisp_level(filter, index).value for index in range(one.n_exposures)])
        assert truth.wisp(filter).max() == pytest.approx(mean, rel=1e-5)
    assert min(strengths) >= 0.05
    assert max(strengths) <= 0.2
    assert np.ptp(strengths) > 0.02


def test_wisps_as_bright_as_asked_for():
    one = SimulatedProgram(detectors="B4", filters=["F115W", "F200W"], shape=(64, 64), wisp_range=(0.15, 0.2))
    levels = [one.wisp_level("B4", filter, index) for filter in one.filters for index in range(one.n_exposures)]
    assert 0.15 <= min(levels) < max(levels) <= 0.2
    assert len(set(levels)) == len(levels)


@pytest.mark.parametrize("between", [(0.2, 0.1), (-0.1, 0.1), (0.1,)])
def test_bad_brightness_of_wisps(between):
    with pytest.raises(InvalidInputError, match=r"wisp_range must be None or \(lowest, highest\)"):
        SimulatedProgram(wisp_range=between)


def test_other_detectors_have_no_wisps():
    one = program("A1")
    assert np.nanmax(np.abs(added(one, "A1", "F200W", 0, wisps=True))) == 0
    with_wisps = attrs.evolve(one, effects=attrs.evolve(NONE, wisps=True))
    assert with_wisps.truth("A1").wisp_level("F200W", 0) == 0 * u.MJy / u.sr
    assert not with_wisps.truth("A1").wisp("F200W").any()


# --- stripes


def test_stripes_are_pink_and_partly_common():
    stripes = np.stack([row_stripes(np.random.default_rng(seed), 512) for seed in range(40)])
    assert np.sqrt(np.mean(stripes**2)) == pytest.approx(0.0005, rel=0.05)
    np.testing.assert_allclose(np.corrcoef(stripes.transpose(2, 0, 1).reshape(4, -1))[0, 1:], 0.7, atol=0.1)
    power = np.mean(np.abs(np.fft.rfft(stripes, axis=1)) ** 2, axis=(0, 2))
    assert power[20:28].mean() / power[160:224].mean() == pytest.approx(8, rel=0.3)
    assert power[1:4].mean() / power[5:8].mean() == pytest.approx(1, rel=0.3)


def test_stripes_run_along_rows_and_are_added_undivided():
    one = program("ALONG")
    data = added(one, "ALONG", "F444W", 0, one_over_f=True)
    raw = data * one.truth("ALONG").delta("F444W") * one.ground_flat("ALONG", "F444W").data
    quarters = raw[4:-4].reshape(120, 4, 32)[:, 1:3]
    assert np.ptp(quarters, axis=2).max() < 1e-6
    photmjsr = one.exposure("ALONG", "F444W", 0).photmjsr
    assert np.std(quarters[:, :, 0]) == pytest.approx(0.0005 * photmjsr, rel=0.3)
