"""The whole procedure: what is bad costs only itself."""

import shutil

import attrs
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from nircam_flats import DeltaSkyflat, ExposureSet, FlatReference, FlatsWarning, InvalidInputError, recipes
from nircam_flats.instrument import DQ

pytestmark = pytest.mark.usefixtures("empty_figures")


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


def test_bad_exposures_are_left_out_named_and_explained_and_nothing_else_is_lost(
    campaign, made, bad_files, tmp_path, assert_same_pixels
):
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


def test_names_that_fits_cannot_hold(campaign, tmp_path):
    folder = tmp_path / "j\xfcrgen"
    folder.mkdir()
    of_b1 = [path for path in campaign.exposures if path.name.endswith("_nrcb1_cal.fits")]
    copy = folder / f"\xfc_{of_b1[0].name}"
    shutil.copy(of_b1[0], copy)
    program = recipes.sky_flat_program([*of_b1, copy], campaign.ground_flats, out=tmp_path / "out")
    assert program.complete
    (left_out,) = [row for row in program.exposures if not row["used"]]
    assert left_out["name"].startswith("\xfc_")
    delta = DeltaSkyflat.read(tmp_path / "out" / "delta" / "nrcb1_grey_delta.fits")
    assert "\\xfc" in "".join([*delta.exposures["name"], *delta.exposures["reason"]])


def test_a_missing_ground_flat_costs_one_flat(campaign, made, tmp_path, assert_same_pixels):
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


def test_a_ground_flat_that_is_not_about_1_costs_one_flat(campaign, tmp_path):
    for path in campaign.ground_flats:
        shutil.copy(path, tmp_path)
    flats = {path.name: FlatReference.read(path) for path in campaign.ground_flats}
    (name,) = (name for name, flat in flats.items() if (flat.detector.name, flat.filter.name) == ("NRCB1", "F200W"))
    with fits.open(tmp_path / name, mode="update") as hdus:
        hdus["SCI"].data *= 1000
    program = recipes.sky_flat_program(campaign.exposures, tmp_path)
    (problem,) = program.problems
    assert problem.what == "NRCB1 F200W flight flat"
    assert problem.reason.startswith(f"{name}: data must be about 1, as images are divided by it; the median")
    assert [len(item.flats) for item in program.products] == [2, 1]


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


def test_different_ground_flats_in_one_filter_cost_their_detector(campaign, made, tmp_path, assert_same_pixels):
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


def test_exposures_left_out_by_the_user_are_told(campaign, made, assert_same_pixels):
    exposures = ExposureSet.read(campaign.exposures)
    of_along = [str(member.detector) == "NRCALONG" for member in exposures]
    program = recipes.sky_flat_program(exposures.exclude(of_along, "light leak"), campaign.ground_flats)
    assert program.complete
    assert len(program.exposures) == 24
    assert list(program.exposures["reason"]).count("light leak") == 12
    assert_same_pixels(program.products[0], made.products[1])


def test_a_filter_without_a_usable_exposure_costs_no_other(program, campaign, tmp_path):
    exposures = [item for item in program.exposures() if item.detector.label == "B1"]
    spoiled = [attrs.evolve(it, data=it.data * np.nan) if it.filter.name == "F115W" else it for it in exposures]
    found = recipes.sky_flat_program(ExposureSet.from_exposures(spoiled), campaign.ground_flats)
    (b1,) = found.products
    assert list(b1.flats) == ["F200W"]
    assert [str(problem).split(":")[0] for problem in found.problems] == ["NRCB1 F115W flight flat"]
    reasons = [row["reason"] for row in found.exposures if not row["used"]]
    assert len(reasons) == 6
    assert all("pixel" in reason for reason in reasons)


def test_one_exposure_of_each_filter_makes_the_grey_flat(program, campaign):
    exposures = {item.filter.name: item for item in program.exposures() if item.detector.label == "B1"}
    found = recipes.sky_flat_program(ExposureSet.from_exposures(exposures.values()), campaign.ground_flats)
    (b1,) = found.products
    assert sorted(b1.flats) == ["F115W", "F200W"]
    whats = [problem.what for problem in found.problems]
    assert whats == ["NRCB1 F115W delta skyflat", "NRCB1 F200W delta skyflat"]
