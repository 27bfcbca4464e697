"""Measured against predicted skies of a simulated campaign, whose sky is known."""

import attrs
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

import nircam_flats as nf
from nircam_flats import testing

NO_RULES = nf.BackgroundRules(min_exposure_time=None, max_masked_sw=None, max_masked_lw=None, max_asymmetry=None)


@pytest.fixture(scope="module")
def comparison(exposures, typical):
    return nf.BackgroundComparison.from_exposures(exposures, model=typical)


def injected(sky, exposures):
    """Sky of each exposure times the median of the response that its image shows."""
    number = {}
    for detector, filter in sky.modes():
        scale = np.nanmedian(sky.truth(detector).delta(filter))
        for index in range(sky.n_exposures):
            number[sky.exposure_name(detector, filter, index)] = sky.sky_level(detector, filter, index) * scale
    return u.Quantity([number[member.name] for member in exposures])


def test_a_row_for_each_exposure(comparison, exposures, typical):
    table = comparison.exposures
    assert list(table["name"]) == [member.name for member in exposures]
    assert table["predicted"][0] == typical.predict(field_of(exposures[0]), "2022-04-29", "F115W")
    parts = table["predicted_zodiacal"] + table["predicted_thermal"]
    np.testing.assert_allclose(parts.value, table["predicted"].value)
    np.testing.assert_allclose(table["predicted_err"] / table["predicted"], 0.2)
    np.testing.assert_allclose(table["ratio"], table["measured"] / table["predicted"])
    np.testing.assert_allclose(table["ratio_err"] / table["ratio"], table["measured_err"] / table["measured"])
    assert (table["exposure_time"] == 837.46806 * u.s).all()


def field_of(member):
    return SkyCoord(member.pointing.ra_ref, member.pointing.dec_ref)


def test_the_injected_sky_is_found(comparison, sky, exposures):
    ratio = (comparison.exposures["measured"] / injected(sky, exposures)).to_value(u.one)
    np.testing.assert_allclose(ratio, 1, atol=0.02)  # small frames, and a flat that is wrong by several per cent
    assert np.abs(np.mean(ratio) - 1) < 0.005


def test_levels_known_already_are_compared_without_pixels(exposures, typical, comparison):
    levels = comparison.exposures["name", "measured", "measured_err"][1:]
    levels.rename_columns(["measured", "measured_err"], ["level", "level_err"])
    levels["level"][0] = np.nan  # as of an exposure that was left out
    found = nf.BackgroundComparison.from_levels(exposures, levels, model=typical).exposures
    expected = comparison.exposures[2:]
    for name in ("name", "measured", "measured_err", "predicted", "ratio"):
        np.testing.assert_array_equal(found[name], expected[name])
    assert set(found["reason"]) == {""}
    with pytest.raises(nf.InvalidInputError, match="needs exposures whose levels are known; got none among 0"):
        nf.BackgroundComparison.from_levels(exposures, levels[:1], model=typical)
    with pytest.raises(nf.InvalidInputError, match="needs a BackgroundModel"):
        nf.BackgroundComparison.from_levels(exposures, levels, model=1)


def test_corrections_are_applied(sky, exposures, typical):
    b1 = exposures.where(detector="B1", filter="F200W")
    fit = nf.FlatModelFit.from_delta(nf.DeltaSkyflat.from_exposures(b1), n_replicates=0)
    one, two = (
        nf.BackgroundComparison.from_exposures(exposures.where(detector=["A1", "B1"]), model=typical, **settings)
        for settings in ({}, {"corrections": [fit]})
    )
    changed = one.exposures["measured"] != two.exposures["measured"]
    np.testing.assert_array_equal(changed, one.exposures["detector"] == "NRCB1")
    assert "corrections=NRCB1" in str(two.history)
    near = injected(sky, b1)
    np.testing.assert_allclose(two.exposures["measured"][two.exposures["filter"] == "F200W"][4:] / near, 1, atol=0.01)


def test_exposures_on_disk_and_other_masks(exposures, typical, tmp_path):
    for member in exposures[:2]:
        member.write(tmp_path / f"{member.name}_cal.fits")
    on_disk = nf.ExposureSet.read(tmp_path / "*_cal.fits")
    masks = {member.name: np.zeros(member.shape, bool) for member in on_disk}
    literal, named = (
        nf.BackgroundComparison.from_exposures(on_disk, model=typical, masks=item)
        for item in (nf.Segmentation.of_report(), masks)
    )
    assert (literal.exposures["measured"] < named.exposures["measured"]).all()
    assert "masks=2 masks by name" in str(named.history)


# --- by detector and filter


def test_means_by_detector_and_filter(comparison):
    table = comparison.table
    assert list(table["detector"]) == ["NRCA1", "NRCA1", "NRCALONG", "NRCB1", "NRCB1"]
    assert list(table["filter"]) == ["F115W", "F200W", "F444W", "F115W", "F200W"]
    used = comparison.exposures[~comparison.flags]
    here = used[(used["detector"] == "NRCB1") & (used["filter"] == "F115W")]
    row = table[(table["detector"] == "NRCB1") & (table["filter"] == "F115W")][0]
    assert row["n_exposures"] == 4
    assert row["n_used"] == len(here)
    assert row["ratio"] == pytest.approx(np.mean(here["ratio"]))
    assert row["ratio_err"] == pytest.approx(np.std(here["ratio"], ddof=1) / np.sqrt(len(here)))
    assert row["measured"] == here["measured"].mean()
    assert row["lowest"] <= row["predicted"] <= row["highest"]


def test_detectors_agree_on_the_same_exposures(exposures, typical):
    dimmer = [
        member.with_pixels(member.data * 0.95) if member.detector.name == "NRCA1" else member for member in exposures
    ]
    table = nf.BackgroundComparison.from_exposures(
        nf.ExposureSet.from_exposures(dimmer), model=typical, rules=NO_RULES
    ).table
    consistency = dict(zip(zip(table["detector"], table["filter"], strict=True), table["consistency"], strict=True))
    for name in ("F115W", "F200W"):
        assert consistency["NRCA1", name] / consistency["NRCB1", name] == pytest.approx(0.95, abs=0.015)
    assert np.isnan(consistency["NRCALONG", "F444W"])  # there is no other


# --- flags


def test_flags_leave_exposures_out_of_a_stack(exposures, typical):
    short = [attrs.evolve(member, exposure_time=100 * u.s) if i == 3 else member for i, member in enumerate(exposures)]
    short = nf.ExposureSet.from_exposures(short)
    rules = attrs.evolve(NO_RULES, min_exposure_time=300 * u.s)
    comparison = nf.BackgroundComparison.from_exposures(short, model=typical, rules=rules)
    assert list(np.flatnonzero(comparison.flags)) == [3]
    kept = short.exclude(comparison.flags, comparison.reasons)
    assert len(kept) == len(short) - 1
    assert "exposure time must be above 300 s; it is 100 s" in kept.excluded[-1].reason


@pytest.mark.parametrize(
    ("rules", "channel", "facts", "texts"),
    [
        ({}, "SW", {}, []),
        ({}, "SW", {"exposure_time": 300 * u.s}, ["exposure time must be above 300 s"]),
        ({}, "SW", {"exposure_time": None}, ["exposure time is not known"]),
        ({"min_exposure_time": None}, "SW", {"exposure_time": None}, []),
        ({}, "SW", {"masked_fraction": 0.08}, ["masked part must be below 0.075; it is 0.080"]),
        ({}, "LW", {"masked_fraction": 0.08}, []),
        ({}, "LW", {"masked_fraction": 0.15}, ["masked part must be below 0.15"]),
        ({"max_masked_lw": None}, "LW", {"masked_fraction": 0.9}, []),
        ({}, "LW", {"asymmetry": -0.06}, [r"|1 - mean / median| must be below 0.05; it is 0.060"]),
        ({"max_asymmetry": 0.1}, "LW", {"asymmetry": -0.06}, []),
        ({}, "LW", {"asymmetry": np.nan, "masked_fraction": 0.2}, ["masked part", "|1 - mean / median|"]),
    ],
)
def test_rules(rules, channel, facts, texts):
    clean = {"exposure_time": 301 * u.s, "masked_fraction": 0.05, "asymmetry": 0.01}
    found = nf.BackgroundRules(**rules).reasons(channel, **(clean | facts))
    assert len(found) == len(texts)
    assert all(text in reason for text, reason in zip(texts, found, strict=True))


def test_wrong_rules():
    with pytest.raises(nf.InvalidInputError, match=r"max_masked_sw must be from 0 to 1, or None; got 7.5"):
        nf.BackgroundRules(max_masked_sw=7.5)
    with pytest.raises(nf.InvalidInputError, match="min_exposure_time must be a Quantity"):
        nf.BackgroundRules(min_exposure_time=300)


def test_claw_light_is_flagged(exposures, typical):
    member = exposures[0]
    light = np.zeros(member.shape, np.float32)
    light[:, :90] = 0.2 * np.linspace(0, 1, 90)
    lit = member.with_pixels(member.data + light)
    found = nf.BackgroundComparison.from_exposures([lit, member], model=typical).exposures
    assert "must be below" in found["reason"][0]
    assert found["reason"][1] == ""


# --- what is wrong with one exposure, and with all


def test_one_bad_exposure_is_told(exposures, typical):
    good = exposures[0]
    bad = [
        attrs.evolve(good, steps={"S_FLAT": "COMPLETE", "S_BKDSUB": "COMPLETE"}),
        attrs.evolve(good, pointing=None),
        attrs.evolve(good, start=None),
        attrs.evolve(good, unit="DN/s"),
        good.with_pixels(np.full(good.shape, np.nan, np.float32)),
        good,
    ]
    comparison = nf.BackgroundComparison.from_exposures(nf.ExposureSet.from_exposures(bad), model=typical)
    texts = ["S_BKDSUB must not be", "pointing is not known", "start is not known", "surface brightness", "good pixel"]
    for reason, text in zip(comparison.reasons, [*texts, ""], strict=True):
        assert text in reason
    np.testing.assert_array_equal(np.isnan(comparison.exposures["ratio"]), [True] * 5 + [False])
    assert comparison.table["n_used"].tolist() == [1]
    assert comparison.table["ratio_err"][0] == comparison.exposures["ratio_err"][-1]
    testing.check_value(comparison)


def test_units_are_converted(exposures, typical):
    member = exposures[0]
    in_jansky = attrs.evolve(member.with_pixels(member.data * 1e6), unit=u.Jy / u.sr)
    one, other = (nf.BackgroundComparison.from_exposures([item], model=typical) for item in (member, in_jansky))
    np.testing.assert_allclose(other.exposures["measured"], one.exposures["measured"], rtol=1e-4)
    np.testing.assert_allclose(other.exposures["measured_err"], one.exposures["measured_err"], rtol=1e-2)


def test_nothing_to_compare(exposures, typical, cache):
    with pytest.raises(nf.InvalidInputError, match="needs at least one exposure; got none"):
        nf.BackgroundComparison.from_exposures([], model=typical)
    with pytest.raises(nf.InvalidInputError, match=r"got none of 1: jw.*no prediction: .*needed sl_pix_\d+.bin"):
        nf.BackgroundComparison.from_exposures(exposures[:1], model=nf.JBTBackground(cache))


def test_wrong_settings(exposures, typical):
    with pytest.raises(nf.InvalidInputError, match=r"needs a BackgroundModel; got 0.2"):
        nf.BackgroundComparison.from_exposures(exposures, model=0.2)
    with pytest.raises(nf.InvalidInputError, match="masks must be a MaskStrategy"):
        nf.BackgroundComparison.from_exposures(exposures, model=typical, masks=3)
    with pytest.raises(nf.InvalidInputError, match="corrections of BackgroundComparison must be FlatModelFit"):
        nf.BackgroundComparison.from_exposures(exposures, model=typical, corrections=[exposures])
    small = nf.DeltaSkyflat.from_exposures(nf.ExposureSet.from_exposures(cut_out(exposures.where(detector="A1"))))
    fit = nf.FlatModelFit.from_delta(small, n_replicates=0)
    with pytest.raises(nf.InvalidInputError, match="must be one of each detector; got two of one"):
        nf.BackgroundComparison.from_exposures(exposures, model=typical, corrections=[fit, fit])
    found = nf.BackgroundComparison.from_exposures(exposures, model=typical, corrections=fit)
    a1 = found.exposures["detector"] == "NRCA1"
    assert all(
        "the correction must have its shape, (256, 256); got (128, 128)" in text
        for text in found.exposures["reason"][a1]
    )


def cut_out(members):
    return [member.with_pixels(member.data[:128, :128]) for member in members]


# --- files and figures


def test_it_reads_back_what_it_wrote(comparison, tmp_path):
    path = tmp_path / "backgrounds.fits"
    comparison.write(path)
    testing.assert_same(nf.BackgroundComparison.read(path), comparison)
    with pytest.raises(nf.InvalidInputError, match="exists already"):
        comparison.write(path)
    with pytest.raises(nf.InvalidInputError, match="needed a DeltaSkyflat written by nircam_flats; got BackgroundComp"):
        nf.DeltaSkyflat.read(path)


def test_band_average_is_passed_on(exposures, typical):
    one = nf.BackgroundComparison.from_exposures(exposures[:1], model=typical, band_average=True)
    expected = typical.predict(field_of(exposures[0]), exposures[0].start, exposures[0].filter, band_average=True)
    assert one.exposures["predicted"][0] == expected


def test_the_answer_is_the_same_for_any_executor(exposures, typical, run_elsewhere):
    results = [
        nf.BackgroundComparison.from_exposures(exposures[:3], model=typical, executor=executor)
        for executor in run_elsewhere
    ]
    for result in results[1:]:
        testing.assert_same(result.exposures, results[0].exposures)


def test_a_variance_that_is_not_known_in_some_pixels_does_no_harm(exposures, typical):
    one = exposures[0].load()
    unknown = np.random.default_rng(1).random(one.shape) < 0.001
    spoiled = attrs.evolve(one, var_poisson=np.where(unknown, np.float32(np.nan), one.var_poisson))
    levels = [
        nf.BackgroundComparison.from_exposures(nf.ExposureSet.from_exposures([item]), model=typical).exposures
        for item in (one, spoiled)
    ]
    values = [level["measured"][0].to_value("MJy / sr") for level in levels]
    assert values[1] == pytest.approx(values[0], rel=1e-4)


def test_levels_in_other_units_are_refused(exposures, typical, comparison):
    levels = comparison.exposures["name", "measured", "measured_err"]
    levels.rename_columns(["measured", "measured_err"], ["level", "level_err"])
    for name in ("level", "level_err"):
        levels[name] = levels[name].value * u.Unit("DN / s")
    with pytest.raises(nf.InvalidInputError, match=r"needs levels in surface brightness \(MJy/sr\); got others"):
        nf.BackgroundComparison.from_levels(exposures, levels, model=typical)


def test_a_model_that_predicts_nothing_is_told(exposures):
    class Nothing(nf.BackgroundModel):
        def spectrum(self, coordinate, date, wavelength):
            return {"zodiacal": 0 * wavelength}

    with pytest.raises(nf.InvalidInputError, match="no prediction: that of the model must be above 0; got 0 MJy/sr"):
        nf.BackgroundComparison.from_exposures(exposures[:1], model=Nothing())
