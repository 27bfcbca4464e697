"""The whole procedure: it finds the injected flat, and what is bad costs only itself."""

import shutil
import warnings

import attrs
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from nircam_flats import (
    DeltaSkyflat,
    ExposureSet,
    FlatReference,
    FlatsWarning,
    InvalidInputError,
    MedianFilter,
    PerFilter,
    Polynomial2D,
    Shrunk,
    WispTemplate,
    recipes,
)
from nircam_flats.instrument import DQ
from nircam_flats.kernels import box_medians
from nircam_flats.report import peak_to_peak
from nircam_flats.simulation import Effects, SimulatedProgram

pytestmark = pytest.mark.usefixtures("empty_figures")
SHARED = ("data", "err", "n_used", "influences", "surface", "residual", "dq")


def assert_same_pixels(one, other):
    """Demand that two `DetectorProducts` hold the same files with the same images, bit for bit."""
    assert list(one.files()) == list(other.files())
    for name, product in one.files().items():
        for plane in SHARED:
            if hasattr(product, plane):
                found = getattr(other.files()[name], plane)
                np.testing.assert_array_equal(found, getattr(product, plane), err_msg=f"{name} {plane}")


# --- the flat is found


@pytest.mark.parametrize(
    ("detector", "strategy"), [("B1", Polynomial2D()), ("ALONG", MedianFilter(box_size=16, filter_size=3))]
)
def test_the_injected_flat_is_found_within_its_error(detector, strategy):
    effects = attrs.evolve(
        Effects(), large_galaxy=False, saturated_star=False, persistence=False, filter_dependence=False
    )
    program = SimulatedProgram(detectors=detector, shape=(256, 256), seed=11, effects=effects)
    grounds = [program.ground_flat(*mode) for mode in program.modes()]
    exposures = ExposureSet.from_exposures(program.exposures())
    made = recipes.sky_flat_detector(exposures, grounds, strategy=strategy)
    truth, good = program.truth(detector), made.grey.good
    change = peak_to_peak(truth.grey(), good)
    assert change > 0.03
    assert peak_to_peak(made.fit.surface / truth.grey(), good) < change / 5
    # medians of boxes have next to no noise of single pixels: what is left in them is what the fit got wrong
    departure = box_medians(np.where(good, made.fit.surface / truth.grey(), np.nan), 32)[0]
    departure -= np.median(departure)  # a surface has median 1, whatever the level of the truth
    err = box_medians(made.fit.covariance.err(), 32)[0]
    assert 0.4 < np.sqrt(np.mean((departure / err) ** 2)) < 2.5
    assert np.median(err) < change / 5
    for name, flat in made.flats.items():
        flight = np.where(good, truth.flight_flat(name), np.nan)
        assert peak_to_peak(truth.delta(name), good) > 0.03
        assert peak_to_peak(flat.data / flight, good) < change / 5
        # single pixels respond 1 % differently, which only the ground flat knows, to 0.2 %
        assert np.nanstd(flight / made.fit.surface) > 0.009
        alive = good & ~truth.dead
        assert np.std((flat.data / flight * truth.crosshatch)[alive]) < 0.009


def test_exposures_of_a_subarray_are_divided_by_their_part_of_a_full_flat():
    program = SimulatedProgram(detectors="B1", filters="F200W", shape=(256, 256), n_pointings=2, seed=7)
    ground = program.ground_flat("B1", "F200W")
    part = np.s_[40:200, 30:190]
    exposures = ExposureSet.from_exposures(
        attrs.evolve(
            one,
            **{plane: getattr(one, plane)[part] for plane in ("data", "err", "dq", "area")},
            **dict.fromkeys(("var_poisson", "var_rnoise", "var_flat")),
            subarray="SUB160P",
            corner=(31, 41),
        )
        for one in program.exposures()
    )
    made = recipes.sky_flat_detector(exposures, [ground])
    flat = made.flats["F200W"]
    assert (flat.corner, flat.subarray, flat.data.shape) == ((31, 41), "SUB160P", (160, 160))
    expected = ground.repaired().data[part] * made.fit.surface
    good = flat.good
    np.testing.assert_allclose(flat.data[good], expected[good], rtol=1e-5)
    assert flat.provenance.settings("correct the ground flat")["ground"] == ground.name


@pytest.mark.parametrize("settings", [{"strategy": "cubic"}, {"policy": "shrunk"}])
def test_names_are_no_strategies(settings):
    program = SimulatedProgram(detectors="B1", filters="F200W", shape=(64, 64), seed=7)
    exposures = ExposureSet.from_exposures(program.exposures())
    (name, value), *_ = settings.items()
    with pytest.raises(InvalidInputError, match=f"sky_flat_detector needs as {name} a F.*; got '{value}'"):
        recipes.sky_flat_detector(exposures, [program.ground_flat("B1", "F200W")], **settings)


@pytest.mark.parametrize("seed", [2, 3])
def test_masks_take_nothing_of_what_a_filter_departs_from_grey(seed):
    """Masks that follow one model of all filters take more of this gradient than is allowed here."""
    effects = attrs.evolve(Effects.none(), noise=True)
    program = SimulatedProgram(detectors="ALONG", shape=(256, 256), seed=seed, effects=effects)
    ramp = (1 + 0.1 * ((np.arange(256) + 0.5) / 256 - 0.5)).astype(np.float32)
    exposures = ExposureSet.from_exposures(
        attrs.evolve(one, data=one.data * ramp) if one.filter.name == "F277W" else one for one in program.exposures()
    )
    frames = recipes.masked_frames(exposures)
    grey = DeltaSkyflat.from_frames(frames)
    found = DeltaSkyflat.from_frames(frames.where(filter="F277W")).relative_to(grey)
    departure = box_medians(np.tile(2 * ramp / (1 + ramp), (256, 1)).astype(np.float32), 32)[0]
    true, _ = found.plane.slopes(departure)
    assert true == pytest.approx(0.05, rel=0.01)
    assert found.gradient.x == pytest.approx(true, rel=0.03)


def test_all_is_made(made, program):
    assert made.complete
    assert made.problems == ()
    assert [str(item.detector) for item in made.products] == ["NRCALONG", "NRCB1"]
    for item in made.products:
        names = [one.name for one in program.filters_of(item.detector)]
        assert list(item.by_filter) == list(item.flats) == names
        assert item.grey.is_grey
        assert all(delta.label == name for name, delta in item.by_filter.items())
        for name, flat in item.flats.items():
            assert (flat.detector, flat.filter.name) == (item.detector, name)
            assert flat.check() == ()
            assert flat.pedigree == "INFLIGHT 2022-04-29 2022-04-29"


@pytest.mark.parametrize("policy", [PerFilter(), Shrunk()], ids=repr)
def test_each_filter_by_its_own_surface(program, made, policy, tmp_path):
    exposures = ExposureSet.from_exposures(program.exposures("B1"))
    grounds = [program.ground_flat(*mode) for mode in program.modes("B1")]
    found = recipes.sky_flat_detector(exposures, grounds, policy=policy)
    grey = next(item for item in made.products if item.detector.name == "NRCB1")
    np.testing.assert_array_equal(found.fit.surface, grey.fit.surface)
    assert list(found.fits) == list(found.flats)
    assert grey.fits == {}
    for name, fit in found.fits.items():
        assert fit.label == name
        good = found.flats[name].dq == 0
        change = found.flats[name].data / grey.flats[name].data * grey.fit.surface / fit.surface
        np.testing.assert_allclose(change[good], 1, rtol=1e-5)
    found.write(tmp_path)
    names = {f"nrcb1_{name.lower()}_fit.fits" for name in ("grey", *found.flats)}
    assert {path.name for path in (tmp_path / "fits").iterdir()} == names


def test_exposures_in_memory_serve_as_files_do(made, program):
    exposures = ExposureSet.from_exposures(program.exposures())
    grounds = [program.ground_flat(*mode) for mode in program.modes()]
    again = recipes.sky_flat_program(exposures, grounds)
    for one, other in zip(again.products, made.products, strict=True):
        assert_same_pixels(one, other)


def test_files_are_those_of_the_products(campaign, made, tmp_path):
    out = tmp_path / "new"
    recipes.sky_flat_program(campaign.exposures, campaign.folder / "ground_flats", out=out)
    expected = {name for item in made.products for name in (*item.files(), item.figure_file)}
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert found == expected | {"summary.ecsv", "exposures.ecsv", "report.html"}
    for item in made.products:
        for name, product in item.files().items():
            read = type(product).read(out / name)
            for plane in SHARED:
                if hasattr(product, plane):
                    np.testing.assert_array_equal(getattr(read, plane), getattr(product, plane), err_msg=name)


# --- wisps


@pytest.fixture(scope="module")
def wisps():
    """A campaign of B4 with bright wisps and few sources, and what the recipe makes of it."""
    effects = attrs.evolve(Effects(), sources=False, large_galaxy=False, saturated_star=False, corner_features=False)
    settings = {"filters": ["F200W"], "shape": (512, 512), "n_pointings": 1, "n_dithers": 6, "effects": effects}
    program = SimulatedProgram(detectors="B4", seed=3, wisp_range=(0.08, 0.2), **settings)
    grounds = [program.ground_flat(*mode) for mode in program.modes()]
    return program, recipes.sky_flat_program(ExposureSet.from_exposures(program.exposures()), grounds)


def test_wisps_are_not_in_the_flat(wisps):
    program, made = wisps
    (products,) = made.products
    truth, good = program.truth("B4"), products.grey.good
    assert peak_to_peak(products.fit.surface / truth.grey(), good) < 0.012
    assert truth.wisp("F200W").max() / truth.sky("F200W", 0).value > 0.1
    assert products.by_filter["F200W"] is products.decompositions["F200W"].delta


def test_wisps_are_a_product(wisps, tmp_path):
    _, made = wisps
    made.write(tmp_path)
    (products,) = made.products
    wisp = WispTemplate.read(tmp_path / "wisps" / "nrcb4_f200w_wisp.fits")
    np.testing.assert_array_equal(wisp.data, products.decompositions["F200W"].wisp.data)
    table = QTable.read(tmp_path / "verdicts.ecsv")
    assert table["kind"][0] == "additive"
    assert table["filter"][0] == "F200W"
    assert made.verdicts["sentence"][0] == table["sentence"][0]
    (note,) = made.notes
    assert note.startswith("NRCB4: wisps in F200W: Light and response are told apart")


def test_too_few_exposures_to_separate_wisps_are_spoken_of(made):
    assert made.notes == ()
    assert len(made.verdicts) == 0
    program = SimulatedProgram(detectors="B4", filters=["F200W"], shape=(96, 96), n_pointings=1, n_dithers=2)
    grounds = [program.ground_flat(*mode) for mode in program.modes()]
    of_b4 = recipes.sky_flat_program(ExposureSet.from_exposures(program.exposures()), grounds)
    (note,) = of_b4.notes
    assert note.startswith("NRCB4: wisps in F200W are not separated from the flat, which may take their light")
    assert note.endswith("at least 3 frames to see light vary; got 2")
    assert of_b4.summary["notes"][0] in note
    assert of_b4.complete


# --- what is bad costs only itself


def changed(source, target, *, number, sci=None, images=None, **primary):
    """Write a copy of a ``_cal`` file with a name and a time of its own, and these changes; None removes."""
    with fits.open(source) as hdus:
        hdus["PRIMARY"].header["FILENAME"] = target.name
        for keyword in ("EXPSTART", "EXPMID", "EXPEND"):
            if keyword in hdus["PRIMARY"].header:
                hdus["PRIMARY"].header[keyword] += 1 + number / 100
        for section, cards in (("PRIMARY", primary), ("SCI", sci or {})):
            for keyword, value in cards.items():
                if value is None:
                    del hdus[section].header[keyword]
                else:
                    hdus[section].header[keyword] = value
        for name, make in (images or {}).items():
            if make is None:
                del hdus[name]
            else:
                hdus[name].data = make(hdus[name].data)
        hdus.writeto(target)


def cut(target):
    target.write_bytes(target.read_bytes()[:-4000])


PLANES = ("SCI", "ERR", "DQ", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT", "AREA")
CORNER = {"SUBARRAY": "SUB64P", "SUBSTRT1": 33, "SUBSTRT2": 33, "SUBSIZE1": 64, "SUBSIZE2": 64}
BAD = {
    "truncated": ({}, "needed a whole, readable FITS file; got one truncated"),
    "nosci": ({"images": {"SCI": None}}, "extension SCI is needed"),
    "nodq": ({"images": {"DQ": None}}, "extension DQ is needed"),
    "niriss": ({"INSTRUME": "NIRISS", "DETECTOR": "NIS"}, "INSTRUME must be NIRCAM; got NIRISS"),
    "rate": ({"sci": {"BUNIT": "DN/s"}, "S_FLAT": None, "S_PHOTOM": None}, "needed a _cal image, flat-fielded"),
    "i2d": ({"S_RESAMP": "COMPLETE"}, "needed a _cal image, in detector pixels; got a resampled mosaic"),
    "grism": ({"EXP_TYPE": "NRC_WFSS"}, "EXP_TYPE must be NRC_IMAGE (imaging); got NRC_WFSS"),
    "subarray": (CORNER | {"images": {name: lambda data: data[32:96, 32:96] for name in PLANES}}, "must be like the"),
    "noflat": ({"S_FLAT": "SKIPPED"}, "S_FLAT must be COMPLETE, divided by a flat; got SKIPPED"),
    "bkdsub": ({"S_BKDSUB": "COMPLETE"}, "S_BKDSUB must not be COMPLETE"),
    "failed": ({"VISITSTA": "FAILED"}, "VISITSTA must be SUCCESSFUL; got FAILED"),
    "masked": ({"images": {"DQ": lambda dq: dq | np.uint32(DQ.DO_NOT_USE)}}, "at least one good pixel is needed"),
    "negative": ({"images": {"SCI": lambda data: data - 2 * np.nanmedian(data)}}, "the sky level must be positive"),
}


@pytest.fixture(scope="module")
def bad_files(campaign, tmp_path_factory):
    """Every kind of bad exposure, made of the first good one: dict from file name to path."""
    folder = tmp_path_factory.mktemp("bad")
    source = next(path for path in campaign.exposures if path.name.endswith("_nrcb1_cal.fits"))
    paths = {kind: folder / f"jw0_{kind}_nrcb1_cal.fits" for kind in (*BAD, "copy", "text")}
    for number, (kind, (changes, _)) in enumerate(BAD.items()):
        changed(source, paths[kind], number=number, **changes)
    cut(paths["truncated"])
    shutil.copy(source, paths["copy"])
    paths["text"].write_text("<html>503 Service Unavailable</html>")
    return paths


def test_bad_exposures_are_left_out_named_and_explained_and_nothing_else_is_lost(campaign, made, bad_files, tmp_path):
    reasons = {kind: reason for kind, (_, reason) in BAD.items()}
    reasons |= {"copy": "the same exposure as"}
    reasons["text"] = "needed a FITS file; got something else"
    before = [path for kind, path in bad_files.items() if kind != "copy"]  # of two alike the first stays
    cal = [*before, *campaign.exposures, bad_files["copy"]]
    with pytest.warns(FlatsWarning, match=rf"\d+ of {len(cal)} files cannot be used"):
        program = recipes.sky_flat_program(cal, campaign.ground_flats, out=tmp_path)
    assert program.complete

    table = QTable.read(tmp_path / "exposures.ecsv")
    assert len(table) == len(cal)
    left_out = table[~table["used"]]
    for kind, path in bad_files.items():
        (row,) = left_out[
            [name.removesuffix("_cal.fits") == path.name.removesuffix("_cal.fits") for name in left_out["name"]]
        ]
        assert reasons[kind] in row["reason"], kind
    assert len(left_out) == len(bad_files)
    assert set(table["name"][table["used"]]) == {path.name.removesuffix("_cal.fits") for path in campaign.exposures}

    for found, clean in zip(program.products, made.products, strict=True):
        assert_same_pixels(found, clean)
    counts = {row["detector"]: (row["n_used"], row["n_left_out"]) for row in program.summary}
    pixels_or_set = 7  # failed, noflat, bkdsub, subarray, masked, negative, copy: known to be of NRCB1
    assert counts == {"NRCALONG": (12, 0), "NRCB1": (12, pixels_or_set)}


def test_a_good_exposure_is_not_lost_to_a_bad_copy_of_it(campaign, tmp_path):
    of_b1 = [path for path in campaign.exposures if path.name.endswith("_nrcb1_cal.fits")]
    bad = tmp_path / of_b1[0].name
    changed(of_b1[0], bad, number=-100, S_FLAT="SKIPPED")
    program = recipes.sky_flat_program([bad, *of_b1], campaign.ground_flats)
    assert program.summary["n_used"][0] == 12


def test_a_missing_ground_flat_costs_one_flat(campaign, made, tmp_path):
    grounds = [path for path in campaign.ground_flats if FlatReference.read(path).filter.name != "F200W"]
    program = recipes.sky_flat_program(campaign.exposures, grounds, out=tmp_path)
    assert not program.complete
    (problem,) = program.problems
    assert problem.what == "NRCB1 F200W flight flat"
    assert "which divided the exposures of NRCB1 F200W (R_FLAT), is needed" in problem.reason
    assert str(problem) in QTable.read(tmp_path / "summary.ecsv").meta["problems"]
    along, b1 = program.products
    assert_same_pixels(along, made.products[0])
    assert list(b1.flats) == ["F115W"]
    assert list(b1.by_filter) == ["F115W", "F200W"]
    assert not (tmp_path / "flats" / "nrcb1_f200w_flat.fits").exists()
    assert (tmp_path / "flats" / "nrcb1_f115w_flat.fits").exists()


@pytest.mark.parametrize("other", [("NRCB1", "F115W"), ("NRCALONG", "F444W")], ids=["other filter", "other detector"])
def test_a_ground_flat_of_another_mode_is_not_taken(campaign, tmp_path, other):
    flats = {path: FlatReference.read(path) for path in campaign.ground_flats}
    paths = {(flat.detector.name, flat.filter.name): path for path, flat in flats.items()}
    for mode, path in paths.items():
        shutil.copy(paths[other if mode == ("NRCB1", "F200W") else mode], tmp_path / path.name)
    program = recipes.sky_flat_program(campaign.exposures, tmp_path)
    (problem,) = program.problems
    assert problem.what == "NRCB1 F200W flight flat"
    assert f"a flat of NRCB1 F200W is needed; its header says {' '.join(other)}" in problem.reason
    assert [len(item.flats) for item in program.products] == [2, 1]


def test_a_broken_ground_flat_costs_one_flat(campaign, tmp_path):
    for path in campaign.ground_flats:
        shutil.copy(path, tmp_path)
    broken = next(
        tmp_path / path.name for path in campaign.ground_flats if FlatReference.read(path).detector.label == "B1"
    )
    cut(broken)
    program = recipes.sky_flat_program(campaign.exposures, tmp_path)
    (problem,) = program.problems
    assert broken.name in problem.reason
    assert "truncated" in problem.reason
    assert [len(item.flats) for item in program.products] == [2, 1]


def test_different_ground_flats_in_one_filter_cost_their_detector(campaign, made, tmp_path):
    odd = campaign.exposures[0]
    changed(odd, tmp_path / "odd_nrcb1_cal.fits", number=1, R_FLAT="crds://jwst_nircam_flat_0001.fits")
    program = recipes.sky_flat_program([*campaign.exposures, tmp_path / "odd_nrcb1_cal.fits"], campaign.ground_flats)
    detector = fits.getval(odd, "DETECTOR")
    (problem,) = program.problems
    assert problem.what == f"{detector} flats"
    assert "must be divided by one flat (R_FLAT); got" in problem.reason
    assert "jwst_nircam_flat_0001.fits (1 exposures)" in problem.reason
    (left,) = program.products
    assert_same_pixels(left, next(item for item in made.products if item.detector == left.detector))
    table = program.exposures
    assert len(table) == 25
    reasons = table["reason"][table["detector"] == detector]
    assert len(reasons) == 13
    assert all(str(problem.reason) in reason for reason in reasons)


def test_a_filter_of_which_no_exposure_is_usable_is_a_problem(campaign, tmp_path):
    cal = []
    for number, path in enumerate(campaign.exposures):
        skip = fits.getval(path, "FILTER") == "F115W"
        cal.append(tmp_path / path.name if skip else path)
        if skip:
            changed(path, cal[-1], number=number, S_FLAT="SKIPPED")
    program = recipes.sky_flat_program(cal, campaign.ground_flats)
    (problem,) = program.problems
    assert problem.what == "NRCB1 F115W flight flat"
    b1 = program.products[1]
    assert list(b1.flats) == ["F200W"]
    assert (~b1.grey.exposures["used"]).sum() == 6


def test_no_exposure_at_all(campaign):
    exposures = ExposureSet.read(campaign.exposures)
    with pytest.raises(InvalidInputError, match="needs at least one exposure; the set is empty"):
        recipes.sky_flat_program(exposures.where(filter="F480M"), campaign.ground_flats)


def test_a_single_exposure(campaign):
    with pytest.raises(InvalidInputError, match="needed at least two exposures that can be used; got 1 of 1"):
        recipes.sky_flat_detector(ExposureSet.read(campaign.exposures[:1]), campaign.ground_flats)
    program = recipes.sky_flat_program(campaign.exposures[:1], campaign.ground_flats)
    assert not program.complete
    assert program.products == ()
    assert "got 1 of 1" in program.problems[0].reason
    (row,) = program.exposures
    assert not row["used"]


def test_a_single_exposure_in_one_filter_costs_that_delta_skyflat(campaign):
    by_filter = {name: [] for name in ("F115W", "F200W")}
    for path in campaign.exposures:
        by_filter.get(fits.getval(path, "FILTER"), []).append(path)
    program = recipes.sky_flat_program([*by_filter["F115W"], by_filter["F200W"][0]], campaign.ground_flats)
    (problem,) = program.problems
    assert problem.what == "NRCB1 F200W delta skyflat"
    assert "needs at least 2 exposures" in problem.reason
    assert list(program.products[0].flats) == ["F115W", "F200W"]


def test_exposures_left_out_by_the_user_are_told(campaign, made):
    exposures = ExposureSet.read(campaign.exposures)
    of_along = [str(member.detector) == "NRCALONG" for member in exposures]
    program = recipes.sky_flat_program(exposures.exclude(of_along, "light leak"), campaign.ground_flats)
    assert program.complete
    assert len(program.exposures) == 24
    assert list(program.exposures["reason"]).count("light leak") == 12
    assert_same_pixels(program.products[0], made.products[1])


# --- dead pixels and filters


def test_dead_pixels_and_filter_dependence_are_products(program, made):
    for products in made.products:
        truth = program.truth(products.detector)
        deeply = truth.dead & products.dead.measured & (truth.delta(truth.filters[0]) < 0.6)
        assert deeply.sum() > 5
        assert products.dead.new[deeply].mean() > 0.9
        assert truth.dead[products.dead.new].mean() > 0.9
        assert not products.dead.new[truth.known_dead].any()
        assert set(products.dependences) == set(products.by_filter)
        for name, item in products.dependences.items():
            assert item.filter.name == name
    table = made.summary
    assert list(table["n_dead"]) == [int(item.dead.new.sum()) for item in made.products]


# --- where it is written


def test_nothing_begins_where_an_earlier_run_lies(campaign, tmp_path, monkeypatch):
    (tmp_path / "flats").mkdir()
    (tmp_path / "flats" / "nrcb1_f200w_flat.fits").touch()
    monkeypatch.setattr(recipes, "sky_flat_detector", lambda *args, **settings: pytest.fail("work was begun"))
    with pytest.raises(InvalidInputError, match="holds products of an earlier run; choose another folder, or replace"):
        recipes.sky_flat_program(campaign.exposures, campaign.ground_flats, out=tmp_path)


def test_an_earlier_run_is_replaced_when_asked_and_what_is_left_of_it_told(campaign, tmp_path):
    of_b1 = [path for path in campaign.exposures if path.name.endswith("_nrcb1_cal.fits")]
    recipes.sky_flat_program(campaign.exposures, campaign.ground_flats, out=tmp_path)
    with pytest.warns(FlatsWarning, match=r"10 products of an earlier run are still in .*nrcalong_dead.fits"):
        recipes.sky_flat_program(of_b1, campaign.ground_flats, out=tmp_path, overwrite=True)
    assert list(QTable.read(tmp_path / "summary.ecsv")["detector"]) == ["NRCB1"]


def test_a_file_that_cannot_be_written_costs_itself(campaign, tmp_path, monkeypatch):
    write = FlatReference.write

    def full(self, path, **options):
        if self.filter.name == "F277W":
            raise InvalidInputError(f"{path}: cannot be written; No space left on device")
        write(self, path, **options)

    monkeypatch.setattr(FlatReference, "write", full)
    program = recipes.sky_flat_program(campaign.exposures, campaign.ground_flats, out=tmp_path)
    (problem,) = program.problems
    assert problem.what == "NRCALONG files"
    assert problem.reason.endswith("nrcalong_f277w_flat.fits: cannot be written; No space left on device")
    names = {path.name for path in tmp_path.rglob("*.*")}
    assert "nrcalong_f277w_flat.fits" not in names
    assert {"nrcalong_f444w_flat.fits", "nrcalong.png", "nrcb1_f200w_flat.fits", "summary.ecsv"} <= names


def test_an_interrupted_write_leaves_nothing_under_the_final_name(campaign, tmp_path, monkeypatch):
    def half(self, handle, **options):
        handle.write(b"SIMPLE")
        raise KeyboardInterrupt

    monkeypatch.setattr(fits.HDUList, "writeto", half)
    with pytest.raises(KeyboardInterrupt):
        recipes.sky_flat_program(campaign.exposures, campaign.ground_flats, out=tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_nothing_warns_in_a_clean_run(campaign):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recipes.sky_flat_program(campaign.exposures, campaign.ground_flats)
