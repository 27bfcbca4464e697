"""What a run made: what it says of itself, and how it is saved."""

import os

import attrs
import numpy as np
import pytest
from astropy.table import QTable, Table

from nircam_flats import Exclusion, InvalidInputError
from nircam_flats.report import Problem, SkyFlatProgram, peak_to_peak, prepared_folder


@pytest.fixture
def b1(made):
    return next(item for item in made.products if item.detector.label == "B1")


class TestDetectorProducts:
    def test_summary(self, b1):
        row = b1.summary
        assert (row["detector"], row["filters"]) == ("NRCB1", "F115W, F200W")
        assert (row["n_used"], row["n_left_out"], row["n_flats"], row["n_problems"]) == (12, 0, 2, 0)
        assert row["change"] == peak_to_peak(b1.fit.surface, b1.grey.good)
        assert 0 <= row["misfit"] <= row["fit_err"]
        assert 0 < row["fit_err"] < 0.1
        assert row["strategy"] == "MedianFilter(box_size=None, filter_size=12, trend=3)"

    def test_files_are_named_by_what_they_hold(self, b1):
        assert b1.files() == {
            "delta/nrcb1_grey_delta.fits": b1.grey,
            "delta/nrcb1_f115w_delta.fits": b1.by_filter["F115W"],
            "delta/nrcb1_f200w_delta.fits": b1.by_filter["F200W"],
            "fits/nrcb1_grey_fit.fits": b1.fit,
            "flats/nrcb1_f115w_flat.fits": b1.flats["F115W"],
            "flats/nrcb1_f200w_flat.fits": b1.flats["F200W"],
            "dead/nrcb1_dead.fits": b1.dead,
            "dependence/nrcb1_f115w_dependence.fits": b1.dependences["F115W"],
            "dependence/nrcb1_f200w_dependence.fits": b1.dependences["F200W"],
        }
        assert b1.figure_file == "figures/nrcb1.png"

    def test_what_cannot_be_written_keeps_nothing_else_back(self, b1, tmp_path):
        (tmp_path / "delta").mkdir()
        (tmp_path / "delta" / "nrcb1_grey_delta.fits").write_text("mine")
        nameless = attrs.evolve(b1.flats["F200W"], author=None)
        broken = attrs.evolve(b1, flats=b1.flats | {"F200W": nameless})
        with pytest.raises(InvalidInputError, match=r"grey_delta.fits: exists already .*; .*author \(AUTHOR\) must be"):
            broken.write(tmp_path)
        found = {path.name for path in tmp_path.rglob("*.*")}
        assert found == {os.path.basename(name) for name in (*b1.files(), b1.figure_file)} - {"nrcb1_f200w_flat.fits"}
        assert (tmp_path / "delta" / "nrcb1_grey_delta.fits").read_text() == "mine"

    def test_a_file_in_the_place_of_a_folder(self, b1, tmp_path):
        (tmp_path / "flats").write_text("")
        with pytest.raises(InvalidInputError, match=r"flats: a folder to write to is needed; File exists"):
            b1.write(tmp_path)
        assert (tmp_path / "figures" / "nrcb1.png").exists()

    def test_repr_is_short(self, b1, made):
        assert "by_filter=<F115W, F200W>" in repr(b1)
        assert repr(made) == "SkyFlatProgram(products=<2 detectors>, problems=(), left_out=<0 left out>)"


class TestSkyFlatProgram:
    def test_is_complete_without_problems_only(self, made):
        assert made.complete
        assert not attrs.evolve(made, problems=[Problem(what="NRCB1 F200W flight flat", reason="lost")]).complete
        assert not attrs.evolve(made, products=[]).complete

    def test_exposures_left_out_are_no_lack(self, made):
        program = attrs.evolve(made, left_out=[Exclusion(name="a.fits", reason="not FITS")])
        assert program.complete
        assert len(program.exposures) == 25
        row = program.exposures[-1]
        assert (row["name"], row["detector"], row["filter"], row["used"]) == ("a.fits", "", "", False)
        assert row["reason"] == "not FITS"
        assert np.isnan(row["level"])

    def test_tables_read_back(self, made, tmp_path):
        problem = Problem(what="NRCA1 flats", reason='no "good" exposure: none')
        left_out = [Exclusion(name="a.fits", reason="not FITS, but\nHTML")]
        program = attrs.evolve(made, problems=[problem], left_out=left_out)
        program.write_tables(tmp_path)
        summary, exposures = Table.read(tmp_path / "summary.ecsv"), QTable.read(tmp_path / "exposures.ecsv")
        assert summary.meta["problems"] == [str(problem)]
        assert list(summary["detector"]) == ["NRCALONG", "NRCB1"]
        for row, item in zip(summary.filled(""), made.products, strict=True):
            assert dict(zip(row.colnames, row, strict=True)) == item.summary
        assert list(exposures["reason"].filled("")) == [""] * 24 + ["not FITS, but\nHTML"]
        assert list(exposures["used"]) == [True] * 24 + [False]
        assert exposures["level"].unit == "MJy / sr"
        np.testing.assert_array_equal(exposures["level"][:24], program.exposures["level"][:24])

    def test_nothing_made_is_written_too(self, tmp_path):
        problem = Problem(what="NRCA1 flats", reason="none is left")
        SkyFlatProgram(products=[], problems=[problem], left_out=[Exclusion(name="a", reason="b")]).write(tmp_path)
        assert Table.read(tmp_path / "summary.ecsv").meta["problems"] == [str(problem)]
        assert list(QTable.read(tmp_path / "exposures.ecsv")["reason"]) == ["b"]

    def test_what_cannot_be_written_of_a_detector_keeps_no_other_back(self, made, tmp_path, empty_figures):
        first, other = (item.detector.name.lower() for item in made.products)
        (tmp_path / "out" / "flats" / f"{first}_f277w_flat.fits").mkdir(parents=True)
        with pytest.raises(InvalidInputError, match=rf"not all could be written; the rest is in .*{first}_f277w_flat"):
            made.write(tmp_path / "out", overwrite=True)
        assert (tmp_path / "out" / "flats" / f"{other}_f200w_flat.fits").is_file()
        assert (tmp_path / "out" / "report.html").is_file()

    def test_write_writes_all(self, made, tmp_path, empty_figures):
        made.write(tmp_path / "a" / "b")
        names = {path.name for path in (tmp_path / "a" / "b").rglob("*.*")}
        expected = {os.path.basename(name) for item in made.products for name in (*item.files(), item.figure_file)}
        assert names == expected | {"summary.ecsv", "exposures.ecsv", "report.html"}
        with pytest.raises(InvalidInputError, match="holds products of an earlier run"):
            made.write(tmp_path / "a" / "b")
        made.write(tmp_path / "a" / "b", overwrite=True)


class TestPreparedFolder:
    def test_is_made_with_those_above(self, tmp_path):
        assert prepared_folder(tmp_path / "a" / "b", overwrite=False).is_dir()
        assert list((tmp_path / "a" / "b").iterdir()) == []

    @pytest.mark.parametrize(
        "name",
        [
            "summary.ecsv",
            "report.html",
            "delta/nrcb1_grey_delta.fits",
            "flats/nrcb1_f200w_flat.fits",
            "figures/nrca1.png",
        ],
    )
    def test_an_earlier_run_even_if_interrupted(self, tmp_path, name):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
        with pytest.raises(InvalidInputError, match=r"products of an earlier run; .*overwrite=True \(--overwrite"):
            prepared_folder(tmp_path, overwrite=False)
        assert prepared_folder(tmp_path, overwrite=True) == tmp_path

    def test_other_files_do_not_matter(self, tmp_path):
        (tmp_path / "flats").mkdir()
        (tmp_path / "flats" / "jwst_nircam_flat_0123.fits").write_text("")
        assert prepared_folder(tmp_path, overwrite=False) == tmp_path

    def test_a_file_in_its_place_or_above(self, tmp_path):
        (tmp_path / "file").write_text("")
        for out in (tmp_path / "file", tmp_path / "file" / "out"):
            with pytest.raises(InvalidInputError, match=rf"{out}: a folder to write to is needed; \w+"):
                prepared_folder(out, overwrite=False)

    def test_a_folder_that_cannot_be_written_to(self, tmp_path, monkeypatch):
        def refuse(*args, **settings):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("tempfile.TemporaryFile", refuse)
        with pytest.raises(InvalidInputError, match="a folder to write to is needed; Permission denied"):
            prepared_folder(tmp_path, overwrite=False)
