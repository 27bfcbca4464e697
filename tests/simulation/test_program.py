"""A program makes what its truth says, always the same, and each effect does its part alone."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import attrs
import numpy as np
import pytest
from astropy import units as u
from scipy import stats

from nircam_flats import DQ, ExposureSet, InvalidInputError, testing
from nircam_flats.simulation import Effects, SimulatedProgram
from nircam_flats.simulation._compiled import photons

NONE = Effects.none()
EFFECTS = [field.name for field in attrs.fields(Effects)]
PLANES = ("data", "err", "dq", "var_poisson", "var_rnoise", "var_flat", "area")


def small(**settings):
    return SimulatedProgram(**{"shape": (64, 64), "n_dithers": 2} | settings)


def assert_same_pixels(one, other):
    for plane in PLANES:
        np.testing.assert_array_equal(getattr(one, plane), getattr(other, plane), err_msg=plane)


# --- truth and noise


@pytest.mark.parametrize(("detector", "filter"), [("B4", "F115W"), ("ALONG", "F444W")])
def test_noiseless_frame_is_delta_times_sky(detector, filter):
    effects = attrs.evolve(NONE, crosshatch=True, corner_features=True, filter_dependence=True, dead_pixels=True)
    one = small(effects=effects, shape=(64, 96))
    exposure, truth = one.exposure(detector, filter, 3), one.truth(detector)
    expected = truth.delta(filter) * truth.sky(filter, 3).to_value(u.MJy / u.sr)
    np.testing.assert_allclose(exposure.data, expected, rtol=1e-6)
    flat = one.ground_flat(detector, filter)
    flight = np.where(flat.good, truth.flight_flat(filter), np.nan)
    np.testing.assert_allclose(truth.delta(filter) * flat.data, flight, rtol=1e-6)


@pytest.mark.parametrize(
    ("detector", "filter"), [("B4", "F200W"), ("B4", "F212N"), ("ALONG", "F277W"), ("ALONG", "F444W")]
)
def test_noise_is_what_the_errors_say(detector, filter):
    one = SimulatedProgram(
        detectors=detector, filters=[filter], shape=(256, 256), effects=attrs.evolve(NONE, noise=True)
    )
    exposure = one.exposure(detector, filter, 1)
    sky = one.sky_level(detector, filter, 1).to_value(u.MJy / u.sr)
    expected = one.truth(detector).delta(filter) * sky
    deviation = (exposure.data - expected)[exposure.good]
    # the errors follow the noisy data, as in the pipeline: their square is right on average
    assert np.mean(deviation**2) / np.mean(exposure.err[exposure.good] ** 2) == pytest.approx(1, abs=0.02)
    assert np.mean(deviation) == pytest.approx(0, abs=4 * np.std(deviation) / np.sqrt(deviation.size))
    assert abs(np.corrcoef(deviation[:-1], deviation[1:])[0, 1]) < 0.02


def test_photon_noise_is_that_of_the_electrons_counted():
    one = small(shape=(256, 256), detectors="B4", effects=attrs.evolve(NONE, noise=True))
    exposure = one.exposure("B4", "F200W", 0)
    sky = one.sky_level("B4", "F200W", 0).to_value(u.MJy / u.sr)
    electrons = sky / exposure.photmjsr * exposure.exposure_time.to_value(u.s) * 2.05
    read_noise = 0.0038 * exposure.photmjsr
    flat = np.nanmedian(one.ground_flat("B4", "F200W").data)
    expected = np.hypot(sky / np.sqrt(electrons), read_noise) / flat
    assert np.nanstd(exposure.data / one.truth("B4").delta("F200W")) == pytest.approx(expected, rel=0.05)


def test_short_exposures_have_fewer_photons_and_the_same_electrons_of_the_readout():
    one = small(shape=(256, 256), detectors="B4", effects=attrs.evolve(NONE, noise=True))
    short = attrs.evolve(one, exposure_time=20 * u.s)
    exposure = short.exposure("B4", "F200W", 0)
    assert exposure.exposure_time == 20 * u.s
    assert exposure.header["EFFEXPTM"] == 20
    assert (exposure.end - exposure.start).sec == pytest.approx(20, abs=1e-3)
    sky = one.sky_level("B4", "F200W", 0)
    assert short.sky_level("B4", "F200W", 0) == sky
    electrons = 20 * 2.05 / exposure.photmjsr
    of_photons = np.sqrt(sky.value / electrons)
    of_reading = 0.0038 * 837.46806 * 2.05 / electrons
    flat = np.nanmedian(one.ground_flat("B4", "F200W").data)
    found = np.nanstd(exposure.data / one.truth("B4").delta("F200W"))
    assert found == pytest.approx(np.hypot(of_photons, of_reading) / flat, rel=0.05)
    assert np.nanmedian(exposure.var_rnoise) == pytest.approx((of_reading / flat) ** 2, rel=0.05)


@pytest.mark.parametrize("time", [0 * u.s, -1 * u.s, np.inf * u.s, np.nan * u.s])
def test_wrong_exposure_times(time):
    with pytest.raises(InvalidInputError, match="exposure_time must be positive and finite"):
        small(exposure_time=time)


def test_photons_follow_poisson():
    deviates = np.random.default_rng(1).standard_normal(400_000)
    faint = np.array([photons(8.5, z) for z in deviates])
    np.testing.assert_array_equal(faint, np.round(faint))
    shares = np.bincount(faint.astype(int), minlength=25)[:25] / faint.size
    np.testing.assert_allclose(shares, stats.poisson.pmf(np.arange(25), 8.5), atol=0.002)
    bright = np.array([photons(140.0, z) for z in deviates])
    assert np.mean(bright) == pytest.approx(140, abs=0.1)
    assert np.var(bright) == pytest.approx(140, rel=0.01)
    assert stats.skew(bright) == pytest.approx(1 / np.sqrt(140), abs=0.02)
    assert photons(0.0, 3.0) == 0


def test_variances_follow_the_rules_of_the_pipeline():
    one = small(shape=(128, 128), detectors="ALONG")
    exposure, flat = one.exposure("ALONG", "F444W", 1), one.ground_flat("ALONG", "F444W")
    good = exposure.good
    np.testing.assert_array_equal(np.isfinite(exposure.err), good)
    total = exposure.var_poisson + exposure.var_rnoise + exposure.var_flat
    np.testing.assert_allclose(exposure.err[good] ** 2, total[good], rtol=1e-5)
    of_flat = (exposure.data / flat.data * flat.err) ** 2
    np.testing.assert_allclose(exposure.var_flat[good], of_flat[good], rtol=1e-5)
    of_reading = (0.0038 * exposure.photmjsr / flat.data) ** 2
    np.testing.assert_allclose(exposure.var_rnoise[good], of_reading[good], rtol=1e-5)
    per_mjsr = exposure.exposure_time.to_value(u.s) * 1.82 / exposure.photmjsr
    of_photons = np.maximum(exposure.data * flat.data, 0) / per_mjsr / flat.data**2
    np.testing.assert_allclose(exposure.var_poisson[good], of_photons[good], rtol=1e-4)


def test_do_not_use_is_nan_and_nothing_else():
    one = small(shape=(256, 256))
    for exposure in (one.exposure("B4", "F200W", 0), one.exposure("ALONG", "F277W", 3)):
        unusable = DQ.DO_NOT_USE.is_set(exposure.dq)
        for plane in ("data", "err", "var_poisson", "var_rnoise", "var_flat"):
            np.testing.assert_array_equal(np.isnan(getattr(exposure, plane)), unusable)
        assert np.isfinite(exposure.area).all()
        inner = exposure.dq[4:-4, 4:-4]
        assert DQ.JUMP_DET.is_set(inner).mean() == pytest.approx(0.013, abs=0.003)
        assert DQ.DO_NOT_USE.is_set(inner).mean() == pytest.approx(0.0033, abs=0.001)
        assert DQ.HOT.is_set(inner).mean() == pytest.approx(6e-4, abs=3e-4)
        assert not DQ.JUMP_DET.is_set(exposure.dq[:4]).any()


# --- the same whatever the way


def test_same_seed_gives_the_same_bits_in_any_order_and_thread():
    tasks = [(detector, filter, index) for detector, filter in small().modes() for index in range(4)]
    one = small()
    expected = {task: one.exposure(*task) for task in tasks}
    other = small()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda task: other.exposure(*task), reversed(tasks)))
    for task, exposure in zip(reversed(tasks), found, strict=True):
        testing.assert_same(exposure, expected[task])
    alone = small().exposure("ALONG", "F444W", 3)
    testing.assert_same(alone, expected[tasks[-1]])


def test_pixels_do_not_depend_on_what_else_is_in_the_program():
    expected = small().exposure("B4", "F200W", 1)
    for other in [
        small(n_pointings=1),
        small(detectors=("A1", "B4", "BLONG")),
        small(filters=("F200W", "F150W", "F444W")),
    ]:
        assert_same_pixels(other.exposure("B4", "F200W", 1), expected)


def test_another_seed_changes_everything_random():
    one, other = small(seed=1), small(seed=2)
    for get in (
        lambda program: program.exposure("B4", "F200W", 0).data,
        lambda program: program.ground_flat("B4", "F200W").data,
        lambda program: program.truth("B4").delta("F200W"),
        lambda program: program.truth("B4").wisp("F200W"),
    ):
        difference = np.abs(get(one) - get(other))
        assert np.nanmedian(difference[4:-4, 4:-4]) > 0
    assert one.sky_level("B4", "F200W", 0) != other.sky_level("B4", "F200W", 0)


def test_exposures_are_all_different():
    data = [exposure.data for exposure in small().exposures("B4")]
    assert len(data) == 8
    for i, one in enumerate(data):
        for other in data[:i]:
            assert np.nanstd(one - other) > 0


def test_exposures_come_by_detector_filter_and_index():
    one = small(n_dithers=1)
    names = [exposure.name for exposure in one.exposures()]
    assert len(names) == len(set(names)) == 8
    assert names == [one.exposure_name(*mode, index) for mode in one.modes() for index in range(2)]
    assert [exposure.detector.label for exposure in one.exposures("ALONG")] == ["ALONG"] * 4


# --- effects

# What each effect may change besides the image: "truth" (delta), "ground" (ground flat), "dq", "area".
CHANGES = {
    "sources": {"dq"},
    "large_galaxy": set(),
    "saturated_star": {"dq"},
    "persistence": set(),
    "one_over_f": set(),
    "noise": set(),
    "crosshatch": {"truth"},
    "corner_features": {"truth"},
    "filter_dependence": {"truth"},
    "dead_pixels": {"truth", "ground", "dq"},
    "wisps": set(),
    "area": {"area"},
    "bad_pixels": {"dq"},
    "noisy_pixels": set(),
}
SEEN_BY = {"crosshatch": ("ALONG", "F444W")}


def test_every_effect_is_listed():
    assert set(CHANGES) == set(EFFECTS)


@pytest.mark.parametrize("effect", EFFECTS)
def test_effect_changes_what_it_should_and_nothing_else(effect):
    detector, filter = SEEN_BY.get(effect, ("B4", "F200W"))
    on = small(shape=(128, 128), detectors=detector)
    off = attrs.evolve(on, effects=attrs.evolve(on.effects, **{effect: False}))
    index = 3  # second dither of the second pointing: here the large galaxy and persistence are
    with_it, without = on.exposure(detector, filter, index), off.exposure(detector, filter, index)
    assert not np.array_equal(with_it.data, without.data, equal_nan=True)

    flats = [program.ground_flat(detector, filter) for program in (on, off)]
    same = {
        "truth": np.array_equal(*(p.truth(detector).delta(filter) for p in (on, off)), equal_nan=True),
        "ground": np.array_equal(flats[0].data, flats[1].data) and np.array_equal(flats[0].dq, flats[1].dq),
        "dq": np.array_equal(with_it.dq, without.dq),
        "area": np.array_equal(with_it.area, without.area),
    }
    changed = {name for name, is_same in same.items() if not is_same}
    assert changed <= CHANGES[effect]
    assert changed >= CHANGES[effect] - {"dq"}
    testing.assert_same(with_it.header, without.header)
    testing.assert_same(with_it.sci_header, without.sci_header)
    assert on.sky_level(detector, filter, index) == off.sky_level(detector, filter, index)


@pytest.mark.parametrize("effect", sorted(set(EFFECTS) - {"noise", "sources", "saturated_star", "large_galaxy"}))
def test_effect_leaves_the_noise_of_other_pixels_alone(effect):
    """The random numbers of one effect do not move when another is switched off."""
    detector, filter = SEEN_BY.get(effect, ("B4", "F200W"))
    on = small(shape=(128, 128), detectors=detector)
    off = attrs.evolve(on, effects=attrs.evolve(on.effects, **{effect: False}))
    difference = on.exposure(detector, filter, 3).data - off.exposure(detector, filter, 3).data
    noise = np.nanmedian(on.exposure(detector, filter, 3).err)
    assert np.nanmedian(np.abs(difference)) < 0.3 * noise


# --- facts


def test_facts_and_headers_agree():
    one = small()
    exposure = one.exposure("ALONG", "F277W", 3)
    header, sci = exposure.header, exposure.sci_header
    assert exposure.name == "jw09999002001_02101_00002_nrcalong"
    assert (header["OBSERVTN"], header["VISIT"], header["ACT_ID"]) == ("002", "001", "01")
    assert header["R_FLAT"] == f"crds://{one.ground_flat('ALONG', 'F277W').name}"
    assert exposure.flat_name == one.ground_flat("ALONG", "F277W").name
    assert header["S_FLAT"] == header["S_PHOTOM"] == "COMPLETE"
    assert "S_BKDSUB" not in header
    assert (header["CHANNEL"], header["MODULE"]) == ("LONG", "A")
    assert sci["PHOTMJSR"] == exposure.photmjsr == pytest.approx(0.5, abs=0.15)
    assert exposure.start < exposure.end
    assert (exposure.end - exposure.start).to_value(u.s) == pytest.approx(837.468, abs=1e-3)


def test_exposures_of_a_detector_follow_each_other_in_time():
    exposures = sorted(small().exposures("B4"), key=lambda exposure: exposure.start.mjd)
    for one, following in pairwise(exposures):
        assert one.end < following.start
    pairs = zip(small().exposures("B4"), small().exposures("ALONG"), strict=True)
    assert all(short.start == long.start for short, long in pairs)


def test_every_exposure_can_be_combined():
    exposures = ExposureSet.from_exposures(list(small().exposures()))
    assert not exposures.excluded
    assert not exposures.check()


@pytest.mark.parametrize("name", ["F405N", "F164N"])
def test_filters_in_the_pupil_wheel(name):
    one = small(detectors="A3" if name == "F164N" else "BLONG", filters=[name])
    (detector,) = one.detectors
    exposure = one.exposure(detector, name, 0)
    assert (exposure.header["FILTER"], exposure.header["PUPIL"]) == exposure.filter.keywords


# --- value objects and bad input


def test_values_keep_their_promises():
    one = small()
    one.exposure("B4", "F200W", 0)
    for value in (one, one.effects, one.truth("B4")):
        testing.check_value(value)
    assert one == small()
    assert one != small(seed=2)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"detectors": ()}, "at least one detector; got none"),
        ({"detectors": "C1"}, "Detector must be one of"),
        ({"filters": ["F200W"]}, "filters must hold one of the LW channel for NRCALONG; got F200W"),
        ({"filters": ["F999W"]}, "Filter must be one of"),
        ({"n_pointings": 0}, "n_pointings must be a whole number from 1 on; got 0"),
        ({"n_dithers": 2.5}, "n_dithers must be a whole number from 1 on; got 2.5"),
        ({"seed": -1}, "seed must be a whole number from 0 on; got -1"),
        ({"shape": (16, 64)}, r"shape must be \(rows, columns\), whole numbers from 32 on; got \(16, 64\)"),
        ({"shape": (64, 64, 64)}, "shape must be"),
        ({"effects": True}, "effects must be an Effects; got True"),
    ],
)
def test_bad_settings_are_refused(settings, text):
    with pytest.raises(InvalidInputError, match=text):
        SimulatedProgram(**settings)


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (("A1", "F200W", 0), "has the detectors NRCB4, NRCALONG; got NRCA1"),
        (("B4", "F150W", 0), "has the filters F115W, F200W for NRCB4; got F150W"),
        (("B4", "F444W", 0), "has the filters F115W, F200W for NRCB4; got F444W"),
        (("B4", "F200W", 4), "must be from 0 to 3; got 4"),
        (("B4", "F200W", -1), "must be from 0 to 3; got -1"),
        (("B4", "F200W", 0.5), "must be from 0 to 3; got 0.5"),
    ],
)
def test_what_the_program_has_not_is_refused(mode, text):
    with pytest.raises(InvalidInputError, match=text):
        small().exposure(*mode)


# --- full size


@pytest.mark.slow
def test_full_frames_are_made_and_masked_as_real_ones():
    one = SimulatedProgram(effects=attrs.evolve(Effects(), wisps=False, large_galaxy=False))
    for detector, filter in (("B4", "F200W"), ("ALONG", "F444W")):
        exposure = one.exposure(detector, filter, 0)
        assert exposure.shape == (2048, 2048)
        delta = one.truth(detector).delta(filter)
        level = np.nanmedian(exposure.data / delta) / one.sky_level(detector, filter, 0).value
        assert level == pytest.approx(1, abs=0.02)


def test_noisy_pixels_are_noisy_and_no_brighter():
    effects = attrs.evolve(NONE, noise=True, noisy_pixels=True)
    one = small(detectors="B1", shape=(256, 256), n_dithers=20, effects=effects)
    noisy = one.truth("B1").noisy
    assert 20 < noisy.sum() < 140
    stack = np.stack(
        [one.exposure("B1", "F200W", index).data / one.sky_level("B1", "F200W", index).value for index in range(40)]
    )
    scatter = np.std(stack, axis=0) / np.nanmedian(np.std(stack, axis=0))
    assert np.median(scatter[noisy]) > 2
    assert np.nanmedian(scatter[~noisy]) == pytest.approx(1, abs=0.02)
    assert np.nanmedian(np.median(stack, axis=0)[noisy]) == pytest.approx(np.nanmedian(stack), rel=0.1)
