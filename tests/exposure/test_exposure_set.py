"""ExposureSet: opened, selected, grouped, tabulated, checked."""

import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable
from astropy.time import Time

from nircam_flats import (
    Detector,
    Exclusion,
    Exposure,
    ExposureHeader,
    ExposureSet,
    Filter,
    FlatsWarning,
    InvalidInputError,
    Pointing,
)
from nircam_flats.testing import assert_same, check_value


@pytest.fixture
def mixed(make_exposure):
    """Seven exposures of three detectors, in no order; their names say which they are."""
    rows = [
        ("B4", "F200W", "01063", None),
        ("ALONG", "F444W", "01063", "flat_a.fits"),
        ("B4", "F115W", "01063", "flat_b.fits"),
        ("A1", "F200W", "00700", "flat_c.fits"),
        ("B4", "F200W", "00700", None),
        ("ALONG", "F250M", "01063", "flat_d.fits"),
        ("B4", "F070W", "01063", "flat_e.fits"),
    ]
    return ExposureSet.from_exposures(
        make_exposure(name=f"{i}", detector=detector, filter=filter, program=program, flat_name=flat)
        for i, (detector, filter, program, flat) in enumerate(rows)
    )


def names(exposures):
    return "".join(item.name for item in exposures)


@pytest.fixture
def same_kind(make_exposure):
    """Make a set of exposures of NRCB4 in F200W, all usable; ``same_kind({...}, {...})`` changes facts of each."""

    def make(*changes):
        return ExposureSet.from_exposures(
            make_exposure(**({"name": f"e{i}", "start": Time(59800 + i, format="mjd")} | facts))
            for i, facts in enumerate(changes)
        )

    return make


class TestCollection:
    def test_is_a_sequence_of_its_members(self, mixed):
        assert len(mixed) == 7
        assert names(mixed) == "0123456"
        assert (mixed[2].name, mixed[-1].name) == ("2", "6")
        assert names(mixed[1:3]) == "12"
        assert isinstance(mixed[1:3], ExposureSet)
        assert names(mixed[5:] + mixed[:2]) == "5601"

    def test_a_sum_keeps_what_was_left_out(self, mixed):
        flags = [True] + [False] * 6
        both = mixed.exclude(flags, "first") + mixed.exclude(flags[::-1], "last")
        assert [(item.name, item.reason) for item in both.excluded] == [("0", "first"), ("6", "last")]
        with pytest.raises(TypeError):
            mixed + None

    def test_says_what_it_holds(self, mixed):
        text = "<ExposureSet: 7 exposures of NRCA1, NRCALONG, NRCB4 in F070W, F115W, F200W, F250M, F444W>"
        assert repr(mixed) == text
        assert repr(mixed.where(name="1")) == "<ExposureSet: 1 exposure of NRCALONG in F444W>"
        assert repr(mixed[:1].exclude([True], "no")) == "<ExposureSet: 0 exposures; 1 left out>"

    def test_keeps_the_promises_of_a_value(self, mixed):
        check_value(mixed.exclude([True] + [False] * 6, "why"))
        assert_same(pickle.loads(pickle.dumps(mixed)), mixed)

    def test_holds_exposures_only(self):
        with pytest.raises(InvalidInputError, match=r"members must be Exposure or ExposureHeader; got PosixPath|str"):
            ExposureSet.from_exposures(["jw_cal.fits"])


class TestWhere:
    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            ({"detector": "B4"}, "0246"),
            ({"detector": 489}, "0246"),
            ({"detector": Detector.get("NRCB4")}, "0246"),
            ({"detector": ["A5", "NRCA1"]}, "135"),
            ({"filter": "f200w"}, "034"),
            ({"filter": (Filter.get("F444W"), "F070W")}, "16"),
            ({"channel": "lw"}, "15"),
            ({"module": "A", "channel": "SW"}, "3"),
            ({"program": 1063}, "01256"),
            ({"program": "01063", "detector": "B4"}, "026"),
            ({"flat_name": None}, "04"),
            ({"flat_name": [None, "flat_a.fits"]}, "014"),
            ({"name": ("3", "5")}, "35"),
            ({"name": {"5"}}, "5"),
            ({"subarray": "SUB160"}, ""),
        ],
        ids=str,
    )
    def test_members_with_these_facts(self, mixed, wanted, found):
        assert names(mixed.where(**wanted)) == found

    def test_of_those_left_out_the_ones_with_these_facts(self, mixed):
        unread = Exclusion(name="broken", reason="not FITS")
        left = ExposureSet(members=mixed.members, excluded=[unread]).exclude([True] * 3 + [False] * 4, "bright star")
        b4 = left.where(detector="B4")
        assert (names(b4), names(b4.excluded)) == ("46", "02")

    @pytest.mark.parametrize(
        ("wanted", "text"),
        [
            ({"detektor": "B4"}, "ExposureSet.where: needed one or more of detector, filter, .*; got detektor"),
            ({}, "ExposureSet.where: needed one or more of detector, .*; got none"),
            ({"detector": "B6"}, "Detector must be one of"),
            ({"filter": "F201W"}, "Filter must be one of"),
        ],
    )
    def test_unknown_facts(self, mixed, wanted, text):
        with pytest.raises(InvalidInputError, match=text):
            mixed.where(**wanted)


class TestGroupBy:
    def test_detectors_by_chip_number(self, mixed):
        groups = [(key.name, names(group)) for key, group in mixed.group_by("detector")]
        assert groups == [("NRCA1", "3"), ("NRCALONG", "15"), ("NRCB4", "0246")]

    def test_filters_by_wavelength(self, mixed):
        groups = [(key.name, names(group)) for key, group in mixed.group_by("filter")]
        assert groups == [("F070W", "6"), ("F115W", "2"), ("F200W", "034"), ("F250M", "5"), ("F444W", "1")]

    def test_several_facts(self, mixed):
        groups = [(*key, names(group)) for key, group in mixed.group_by("module", "program")]
        assert groups == [("A", "00700", "3"), ("A", "01063", "15"), ("B", "00700", "4"), ("B", "01063", "026")]

    def test_the_unknown_first(self, mixed):
        assert [key for key, _ in mixed.group_by("flat_name")][:2] == [None, "flat_a.fits"]

    def test_those_left_out_are_shared_out(self, mixed):
        left = mixed.exclude([True, True] + [False] * 5, "why")
        assert [names(group.excluded) for _, group in left.group_by("detector")] == ["", "1", "0"]

    def test_unknown_facts(self, mixed):
        with pytest.raises(InvalidInputError, match=r"ExposureSet.group_by: needed one or more of .*; got day"):
            mixed.group_by("day")
        with pytest.raises(InvalidInputError, match=r"ExposureSet.group_by: .*; got none"):
            mixed.group_by()


class TestExclude:
    def test_keeps_who_and_why(self, mixed):
        left = mixed.exclude(np.arange(7) % 3 == 0, "a giant galaxy")
        assert (names(left), names(left.excluded)) == ("1245", "036")
        assert {item.reason for item in left.excluded} == {"a giant galaxy"}
        assert str(left.excluded[0]) == "0: a giant galaxy"
        assert isinstance(left.excluded[0].header, ExposureHeader)  # no pixels are kept alive
        again = left.exclude([True, False, False, False], "claws")
        assert [item.reason for item in again.excluded] == ["a giant galaxy"] * 3 + ["claws"]

    def test_a_reason_for_each(self, mixed):
        left = mixed[:3].exclude([True, False, True], ["one", "not used", "three"])
        assert [item.reason for item in left.excluded] == ["one", "three"]

    def test_nothing(self, mixed):
        assert mixed.exclude(np.zeros(7, bool), "none").members == mixed.members
        assert len(mixed[:0].exclude([], "none")) == 0

    @pytest.mark.parametrize(
        ("flags", "reason", "text"),
        [
            ([True], "x", r"flags must be 7 booleans; got bool of shape \(1,\)"),
            ([0, 1, 2, 3, 4, 5, 6], "x", r"flags must be 7 booleans; got int64 of shape \(7,\)"),
            ([[True]] * 7, "x", r"flags must be 7 booleans; got bool of shape \(7, 1\)"),
            ([True] * 7, ["x", "y"], "reason must be one text or 7; got 2"),
        ],
    )
    def test_one_flag_for_each_member(self, mixed, flags, reason, text):
        with pytest.raises(InvalidInputError, match=text):
            mixed.exclude(flags, reason)


class TestTable:
    def test_a_row_for_each_member(self, cal_file, make_exposure, tmp_path):
        path = cal_file()
        table = (ExposureSet.read(path) + ExposureSet.from_exposures(make_exposure(name="made"))).table
        assert isinstance(table, QTable)
        first, second = table[0], table[1]
        assert (first["name"], first["detector"], first["filter"]) == (path.name[:-9], "NRCBLONG", "F405N")
        assert first["start"].mjd == 59800.25
        assert first["exposure_time"] == 837.5 * u.s
        assert (first["ra_ref"], first["roll_ref"], first["pa_v3"]) == (53.125 * u.deg, 40.5 * u.deg, 40.25 * u.deg)
        assert (first["flat_name"], first["path"]) == ("jwst_nircam_flat_0123.fits", str(path))
        assert first["shape"].tolist() == [12, 20]
        assert (second["detector"], second["flat_name"], second["path"]) == ("NRCB4", "", "")
        assert np.isnan(second["exposure_time"])
        assert np.isnan(second["ra_ref"])
        assert table["start"].mask.tolist() == [False, True]
        table.write(tmp_path / "table.ecsv")
        again = QTable.read(tmp_path / "table.ecsv")
        assert again["start"][0].mjd == 59800.25
        assert again["ra_ref"].unit == u.deg

    def test_of_no_members(self, mixed):
        assert len(mixed[:0].table) == 0
        assert mixed[:0].table.colnames == mixed.table.colnames


class TestCheck:
    @pytest.mark.parametrize(
        ("facts", "reason"),
        [
            ({"steps": {"S_FLAT": "SKIPPED"}}, "S_FLAT must be COMPLETE, divided by a flat; got SKIPPED"),
            ({"steps": {}}, "S_FLAT must be COMPLETE, divided by a flat; got nothing"),
            (
                {"steps": {"S_FLAT": "COMPLETE", "S_BKDSUB": "COMPLETE"}},
                "S_BKDSUB must not be COMPLETE: the sky, which is the lamp, was subtracted",
            ),
            ({"visit_status": "UNSUCCESSFUL"}, "VISITSTA must be SUCCESSFUL; got UNSUCCESSFUL"),
            ({"exposure_type": "NRC_TACQ"}, "EXP_TYPE must be NRC_IMAGE (imaging); got NRC_TACQ"),
            ({"name": "e0"}, "the same exposure as e0"),
            ({"start": Time(59800, format="mjd"), "name": "copy"}, "the same exposure as e0"),
            (
                {"subarray": "SUB160", "corner": (5, 9)},
                "must be like the others, SUBARRAY FULL, (12, 20) from pixel (1, 1), in MJy / sr; "
                "got SUBARRAY SUB160, (12, 20) from pixel (5, 9), in MJy / sr",
            ),
            (
                {"data": np.ones((6, 20))},
                "must be like the others, SUBARRAY FULL, (12, 20) from pixel (1, 1), in MJy / sr; "
                "got SUBARRAY FULL, (6, 20) from pixel (1, 1), in MJy / sr",
            ),
        ],
        ids=str,
    )
    def test_says_who_cannot_be_combined_and_why(self, same_kind, facts, reason):
        exposures = same_kind({}, {}, {"visit_status": "SUCCESSFUL"}, facts)
        (problem,) = exposures.check()
        assert problem.name == exposures[3].name
        assert problem.reason == reason
        left = exposures.for_one_detector()
        assert (len(exposures), names(left)) == (4, "e0e1e2")
        assert_same(left.excluded[0], problem)

    def test_all_reasons_of_one_exposure(self, same_kind):
        (problem,) = same_kind({}, {}, {"steps": {}, "visit_status": "FAILED", "name": "e1"}).check()
        reasons = problem.reason.split(", and ")
        assert [reason.split()[0] for reason in reasons] == ["S_FLAT", "VISITSTA", "the"]

    def test_nothing_wrong(self, mixed, same_kind):
        assert mixed.check() == ()
        assert same_kind({}, {}, {"filter": "F150W"}).check() == ()

    def test_the_same_exposure_again_and_again(self, same_kind):
        exposures = same_kind({}, {"name": "e0"}, {"name": "e0"}, {})
        assert [item.reason for item in exposures.check()] == ["the same exposure as e0"] * 2

    def test_the_same_file_twice(self, cal_file):
        path = cal_file()
        (problem,) = ExposureSet.read([path, path]).check()
        assert problem.reason == f"the same exposure as {path}"

    def test_detectors_expose_at_once(self, same_kind):
        start = Time(59800, format="mjd")
        exposures = same_kind({"start": start}, {"start": start, "detector": "B3"}, {"detector": "B2", "name": "e0"})
        assert exposures.check() == ()

    def test_exposures_without_time_and_name_are_not_the_same(self, same_kind):
        nothing = {"start": None, "name": ""}
        assert same_kind(nothing, nothing).check() == ()

    def test_full_frames_decide_even_when_fewer(self, same_kind):
        sub = {"subarray": "SUB160", "corner": (5, 9)}
        assert [item.name for item in same_kind(sub, {}, sub, sub).check()] == ["e0", "e2", "e3"]

    def test_subarrays_alone_can_be_combined(self, same_kind):
        sub = {"subarray": "SUB160", "corner": (5, 9)}
        assert same_kind(sub, sub).check() == ()
        moved = {"subarray": "SUB160", "corner": (6, 9)}
        assert [item.name for item in same_kind(sub, moved, sub).check()] == ["e1"]

    def test_each_detector_has_its_own_shape(self, same_kind):
        other = {"detector": "A1", "data": np.ones((6, 6))}
        assert same_kind({}, other, {}, other).check() == ()

    def test_a_copy_that_is_out_anyway_keeps_no_good_one_out(self, same_kind):
        bad, good = {"name": "e", "steps": {}}, {"name": "e"}
        problems = same_kind(bad, good, good).check()
        assert [item.reason[:8] for item in problems] == ["S_FLAT m", "the same"]

    def test_an_exposure_that_is_out_anyway_decides_no_shape(self, same_kind):
        skipped = {"data": np.ones((6, 6)), "steps": {}}
        problems = same_kind(skipped, skipped, {}, skipped, skipped).check()
        assert [item.name for item in problems] == ["e0", "e1", "e3", "e4"]


class TestForOneDetector:
    def test_keeps_what_was_left_out_before(self, same_kind):
        exposures = same_kind({}, {}, {}, {"steps": {}}).exclude([True, False, False, False], "claws")
        left = exposures.for_one_detector()
        assert [(item.name, item.reason[:6]) for item in left.excluded] == [("e0", "claws"), ("e3", "S_FLAT")]

    def test_filters_may_be_mixed_each_with_its_flat(self, same_kind):
        f150 = {"filter": "F150W", "flat_name": "b.fits"}
        assert len(same_kind({"flat_name": "a.fits"}, f150, {"flat_name": "a.fits"}, f150).for_one_detector()) == 4

    def test_detectors_mixed(self, mixed):
        text = r"needed exposures of one detector; got NRCA1, NRCALONG, NRCB4; select one with .where\(detector=...\)"
        with pytest.raises(InvalidInputError, match=text):
            mixed.for_one_detector()

    def test_flats_mixed_in_one_filter(self, same_kind):
        old, new = {"flat_name": "old.fits"}, {"flat_name": "new.fits"}
        text = (
            r"exposures of NRCB4 in F200W must be divided by one flat \(R_FLAT\); "
            r"got new.fits \(2 exposures\), old.fits \(1 exposures\); give only the exposures of one of them"
        )
        with pytest.raises(InvalidInputError, match=text):
            same_kind(old, new, new).for_one_detector()

    def test_one_that_does_not_tell_its_flat_is_left_out_where_others_do(self, same_kind):
        new = {"flat_name": "new.fits"}
        usable = same_kind({}, new, new).for_one_detector()
        assert names(usable) == "e1e2"
        assert "R_FLAT must name the flat" in usable.excluded[0].reason

    def test_a_flat_of_an_exposure_left_out_does_not_matter(self, same_kind):
        old, new = {"flat_name": "old.fits", "steps": {}}, {"flat_name": "new.fits"}
        assert names(same_kind(old, new, new).for_one_detector()) == "e1e2"

    def test_a_single_exposure(self, same_kind):
        with pytest.raises(InvalidInputError, match=r"at least two exposures that can be used; got 1 of 1$"):
            same_kind({}).for_one_detector()

    def test_too_few_left(self, same_kind):
        text = r"needed at least two exposures .*; got 1 of 3; left out: e0: claws; e2: S_FLAT must be COMPLETE"
        with pytest.raises(InvalidInputError, match=text):
            same_kind({}, {}, {"steps": {}}).exclude([True, False, False], "claws").for_one_detector()

    def test_none(self, mixed):
        with pytest.raises(InvalidInputError, match=r"got 0 of 0"):
            mixed[:0].for_one_detector()


class TestRead:
    @pytest.mark.parametrize("paths", [None, 3, [None]])
    def test_what_is_no_path_is_refused(self, paths):
        with pytest.raises(InvalidInputError, match=r"ExposureSet.read: needed paths or patterns; got"):
            ExposureSet.read(paths)

    def test_one_path_a_pattern_or_many(self, cal_file, tmp_path):
        paths = [cal_file(f"{name}_cal.fits") for name in "cab"]
        assert names(ExposureSet.read(paths[0])) == "c"
        assert names(ExposureSet.read(str(paths[0]))) == "c"
        assert names(ExposureSet.read(f"{tmp_path}/*_cal.fits")) == "abc"
        assert names(ExposureSet.read(tmp_path / "[ab]_cal.fits")) == "ab"
        assert names(ExposureSet.read(paths)) == "cab"
        assert names(ExposureSet.read(path for path in [paths[1], f"{tmp_path}/[bc]_*"])) == "abc"
        (tmp_path / "deep" / "er").mkdir(parents=True)
        paths[0].rename(tmp_path / "deep" / "er" / "d_cal.fits")
        assert names(ExposureSet.read(f"{tmp_path}/**/*_cal.fits")) == "abd"

    def test_a_name_with_brackets_is_a_name_where_it_exists(self, cal_file):
        assert names(ExposureSet.read(cal_file("a[1]_cal.fits"))) == "a[1]"

    def test_members_have_no_pixels_until_loaded(self, cal_file, truth):
        (header,) = ExposureSet.read(cal_file())
        assert type(header) is ExposureHeader
        np.testing.assert_array_equal(header.load().err, truth.planes["ERR"])

    def test_a_bad_file_is_left_out_named_and_explained(self, cal_file, tmp_path):
        good = cal_file("good_cal.fits")
        rate = cal_file("jw_rate.fits", S_FLAT=None, sci={"BUNIT": "DN/s"})
        text = tmp_path / "notes_cal.fits"
        text.write_text("not FITS")
        with pytest.warns(FlatsWarning, match=r"2 of 4 files cannot be used \(see .excluded\); the first is jw_rate"):
            exposures = ExposureSet.read([good, rate, text, cal_file("other_cal.fits")])
        assert names(exposures) == "goodother"
        assert [(item.name, item.path) for item in exposures.excluded] == [
            ("jw_rate.fits", rate),
            ("notes_cal.fits", text),
        ]
        assert exposures.excluded[0].reason.startswith("needed a _cal image, flat-fielded and in MJy/sr")
        assert exposures.excluded[1].reason == "needed a FITS file; got something else"

    def test_nothing_left(self, cal_file, tmp_path):
        path = cal_file(INSTRUME="NIRISS")
        text = r"needed at least one _cal file that can be used; got 1 that cannot; the first is .*must be NIRCAM"
        with pytest.raises(InvalidInputError, match=text):
            ExposureSet.read(path)
        with pytest.raises(InvalidInputError, match=r"needed at least one file; nothing matches '.*/\*.fit'"):
            ExposureSet.read(f"{tmp_path}/*.fit")
        with pytest.raises(InvalidInputError, match=r"needed at least one file; nothing matches '.*/\*.fit'"):
            ExposureSet.read([cal_file(), f"{tmp_path}/*.fit"])
        with pytest.raises(InvalidInputError, match=r"needed at least one file; nothing matches \[\]"):
            ExposureSet.read([])

    def test_a_folder(self, tmp_path):
        with pytest.raises(InvalidInputError, match=r"needed files; got the folder .*; say '.*\*_cal.fits'"):
            ExposureSet.read(tmp_path)

    def test_any_executor_gives_the_same(self, cal_file, tmp_path):
        for name in "abcdef":
            cal_file(f"{name}_cal.fits")
        with ThreadPoolExecutor(3) as executor:
            assert_same(ExposureSet.read(f"{tmp_path}/*", executor=executor), ExposureSet.read(f"{tmp_path}/*"))


class TestManyFiles:
    @pytest.fixture
    def thousand(self, cal_file, tmp_path):
        """A thousand exposures of two detectors, 16 x 16 pixels: one file with two of its cards changed."""
        images = {"SCI": np.ones((16, 16), "f4"), "ERR": None, "AREA": None, "DQ": np.zeros((16, 16), "u4")}
        images |= {"VAR_POISSON": None, "VAR_RNOISE": None, "VAR_FLAT": None}
        path = cal_file(images=images, PUPIL="CLEAR", FILTER="F200W", DETECTOR="NRCB4")
        content = path.read_bytes()
        path.unlink()
        cards = {key: content.index(key.ljust(8).encode()) for key in ("EXPSTART", "DETECTOR")}
        for i in range(1000):
            changed = bytearray(content)
            for key, value in (("EXPSTART", 59800 + i / 100), ("DETECTOR", "NRCB4" if i % 4 else "NRCA1")):
                changed[cards[key] : cards[key] + 80] = str(fits.Card(key, value)).encode()
            (tmp_path / f"e{i:04d}_cal.fits").write_bytes(changed)
        return tmp_path / "*_cal.fits"

    def test_a_thousand_files(self, thousand):
        exposures = ExposureSet.read(thousand)
        assert len(exposures) == 1000
        table = exposures.table
        np.testing.assert_allclose(table["start"].mjd, 59800 + np.arange(1000) / 100, rtol=0, atol=1e-9)
        assert [len(group) for _, group in exposures.group_by("detector")] == [250, 750]
        assert exposures.check() == ()
        assert len(exposures.where(detector="A1").for_one_detector()) == 250

    def test_a_header_is_small(self, cal_file):
        path = cal_file()
        ExposureHeader.read(path)
        tracemalloc.start()
        headers = [ExposureHeader.read(path) for _ in range(20)]
        memory = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert memory < len(headers) * 30_000

    def test_pixels_are_not_touched(self, cal_file):
        images = dict.fromkeys(("ERR", "AREA", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT"))
        path = cal_file(images=images | {"SCI": np.zeros((1500, 1500), "f4"), "DQ": np.zeros((1500, 1500), "u4")})
        ExposureHeader.read(path)
        tracemalloc.start()
        ExposureHeader.read(path)
        peak = tracemalloc.get_traced_memory()[1]
        Exposure.read(path)
        peak_with_pixels = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1_000_000
        assert peak_with_pixels > 2 * 1500**2 * 4


def test_pointing_can_be_partly_known(make_exposure):
    pointing = Pointing(
        ra_ref=1 * u.deg,
        dec_ref=2 * u.deg,
        roll_ref=3 * u.deg,
        v2_ref=0 * u.arcsec,
        v3_ref=0 * u.arcsec,
        v3_idl_y_angle=0 * u.deg,
    )
    table = ExposureSet.from_exposures([make_exposure(pointing=pointing), make_exposure()]).table
    np.testing.assert_array_equal(table["ra_ref"].to_value(u.deg), [1, np.nan])
    assert np.isnan(table["pa_v3"]).all()
