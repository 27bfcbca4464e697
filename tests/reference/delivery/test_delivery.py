"""Deliveries: 136 ground flats in, 136 flight flats out, what is missing counted."""

import hashlib
import shutil

import attrs
import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time

from nircam_flats import (
    Detector,
    FlatDelivery,
    FlatReference,
    InvalidInputError,
    imaging_modes,
)
from nircam_flats.reference._inventory import Change
from nircam_flats.testing import assert_same

SHAPE = (64, 64)
F200W = "nircam_flat_nrcb4_f200w_clear.fits"


@pytest.fixture(scope="module")
def delivery(ground_folder, make_fit, tmp_path_factory):
    """The delivery of all modes; only to be read."""
    made = [make_fit(detector) for detector in Detector.all()]
    return FlatDelivery.from_ground(ground_folder, made, out=tmp_path_factory.mktemp("delivery") / "new")


class TestAllModes:
    def test_136_in_136_out(self, delivery):
        names = {path.name for path in delivery.folder.glob("*.fits")}
        assert len(names) == len(delivery.manifest) == len(delivery.made) == 136
        assert names == set(delivery.manifest["file"])
        assert (delivery.complete, delivery.missing, len(delivery.not_made)) == (True, (), 0)
        there = {(str(row["detector"]), str(row["bandpass"])) for row in delivery.manifest}
        assert there == {(mode.detector.name, mode.filter.name) for mode in imaging_modes()}
        assert delivery.verify() == ()

    def test_each_is_its_ground_flat_times_its_surface(self, delivery, simulated, make_fit):
        for row in delivery.manifest[::9]:
            flat = FlatReference.read(delivery.folder / row["file"])
            ground, fit = simulated.ground_flat(row["detector"], row["bandpass"]), make_fit(row["detector"])
            np.testing.assert_allclose(flat.data[ground.good], (ground.data * fit.surface)[ground.good], rtol=1e-6)
            assert str(flat.detector) == row["detector"]
            assert flat.filter.keywords == (row["filter"], row["pupil"])
            assert flat.check() == ()

    def test_file_names(self, delivery):
        names = list(delivery.manifest["file"])
        assert F200W in names
        assert "nircam_flat_nrcalong_f444w_f405n.fits" in names
        assert len(set(names)) == 136
        assert all(not name.startswith("jwst_") and name == name.lower() for name in names)

    def test_manifest_tells_what_each_is_made_of(self, delivery, simulated):
        (row,) = (row for row in delivery.manifest if row["file"] == F200W)
        assert row["ground_flat"] == simulated.ground_flat("B4", "F200W").name
        assert (row["fit"], row["pedigree"]) == ("F115W+F200W", "INFLIGHT 2022-04-28 2022-05-02")
        assert row["useafter"] == "2014-10-01T00:00:00"
        assert row["size"] == (delivery.folder / F200W).stat().st_size
        assert row["n_exposures"] == 1
        provenance = FlatReference.read(delivery.folder / F200W).provenance
        assert row["shift_mean"] == provenance.photometry.mean
        surface = np.linspace(0.95, 1.05, SHAPE[1])[4:-4]
        assert row["shift_scatter"] == pytest.approx(np.std(1 / surface), rel=0.01)
        told = provenance.settings("correct the ground flat")
        assert (told["ground_sha256"], told["fit_sha256"]) == (row["ground_sha256"], row["fit_sha256"])

    def test_says_where_a_grey_fit_was_extrapolated(self, delivery):
        seen = ("F115W", "F200W", "F277W", "F444W")
        for row in delivery.manifest:
            assert row["extrapolated"] == (row["bandpass"] not in seen)
            assert ("no exposures in" in row["notes"]) == row["extrapolated"]
        assert "116 by a grey fit without exposures in their filter" in str(delivery)

    def test_reads_back_what_was_written(self, delivery):
        again = FlatDelivery.read(delivery.folder)
        assert_same(again.manifest, delivery.manifest)
        assert_same(again.not_made, delivery.not_made)
        assert again.made == ()

    def test_a_second_call_makes_nothing(self, delivery, ground_folder, make_fit):
        before = {path.name: path.stat().st_mtime_ns for path in delivery.folder.glob("*.fits")}
        made = [make_fit(detector) for detector in Detector.all()]
        again = FlatDelivery.from_ground(ground_folder, made, out=delivery.folder)
        assert again.made == ()
        assert_same(again.manifest, delivery.manifest)
        assert {path.name: path.stat().st_mtime_ns for path in delivery.folder.glob("*.fits")} == before


class TestWhatItTakes:
    def test_paths_of_fits_and_a_mapping_of_flats(self, simulated, b4, tmp_path):
        b4.write(tmp_path / "fit.fits")
        mapping = {("B4", "F200W"): simulated.ground_flat("B4", "F200W")}
        mapping |= {
            mode: simulated.ground_flat("B4", "F070W") for mode in imaging_modes() if str(mode) == "NRCB4 F070W"
        }
        delivery = FlatDelivery.from_ground(mapping, tmp_path / "fit.fits", out=tmp_path / "new")
        assert list(delivery.manifest["bandpass"]) == ["F070W", "F200W"]
        assert delivery.verify() == ()

    def test_the_same_for_any_executor(self, b4_grounds, b4, tmp_path, run_elsewhere):
        tables = []
        for i, executor in enumerate(run_elsewhere):
            delivery = FlatDelivery.from_ground(b4_grounds, b4, out=tmp_path / str(i), executor=executor)
            assert delivery.verify(executor=executor) == ()
            table = delivery.manifest.copy()
            table.remove_column("sha256")  # the files tell when they were made
            tables.append(table)
            assert len(table) == 4
        assert_same(tables[1], tables[0])
        assert_same(tables[2], tables[0])

    def test_useafter_and_author(self, b4_grounds, b4, tmp_path):
        delivery = FlatDelivery.from_ground(
            b4_grounds, b4, out=tmp_path / "new", useafter=Time("2022-04-01T12:00:00.7"), author="N. E. Body"
        )
        header = fits.getheader(delivery.folder / F200W)
        assert (header["USEAFTER"], header["AUTHOR"]) == ("2022-04-01T12:00:00", "N. E. Body")
        assert set(delivery.manifest["useafter"]) == {"2022-04-01T12:00:00"}

    def test_a_fit_of_one_filter_comes_before_the_grey_one(self, b4_grounds, b4, make_fit, tmp_path):
        alone = make_fit("B4", filters=["F200W"], tilt=0.02)
        delivery = FlatDelivery.from_ground(b4_grounds, [b4, alone], out=tmp_path / "new")
        used = {str(row["bandpass"]): str(row["fit"]) for row in delivery.manifest}
        assert used.pop("F200W") == "F200W"
        assert set(used.values()) == {"F115W+F200W"}
        assert len(used) == 3

    def test_a_fit_of_one_filter_serves_no_other(self, b4_grounds, make_fit, tmp_path, reasons):
        delivery = FlatDelivery.from_ground(b4_grounds, make_fit("B4", filters=["F200W"]), out=tmp_path / "new")
        assert list(delivery.manifest["bandpass"]) == ["F200W"]
        assert len(reasons(delivery, "no fit")) == 135

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"fits": []}, "needs at least one fit; got none"),
            ({"fits": "none.fits"}, "none.fits: needed a FITS file"),
            ({"ground_flats": []}, "needs at least one ground flat"),
            ({"ground_flats": "nowhere"}, "nowhere: a ground flat, or a folder of them, is needed"),
            ({"ground_flats": {"B4": "a.fits"}}, r"needs modes as keys.*; got 'B4'"),
            ({"useafter": "soon"}, "useafter as a date, YYYY-MM-DDTHH:MM:SS; got 'soon'"),
            ({"out": "/dev/null/new"}, "a folder to write to is needed"),
        ],
    )
    def test_refused(self, b4_grounds, b4, tmp_path, change, message):
        arguments = {"ground_flats": b4_grounds, "fits": [b4], "out": tmp_path / "new"} | change
        with pytest.raises(InvalidInputError, match=message):
            FlatDelivery.from_ground(**arguments)

    def test_two_fits_as_good(self, b4_grounds, b4, tmp_path):
        with pytest.raises(InvalidInputError, match=r"one fit for NRCB4 F.*; got 2: F115W\+F200W and F115W\+F200W"):
            FlatDelivery.from_ground(b4_grounds, [b4, b4], out=tmp_path / "new")


def test_each_ground_flat_that_is_not_the_first_is_read_ahead_and_all_are_let_go(b4_grounds, b4, tmp_path, monkeypatch):
    asked, gone = [], []
    monkeypatch.setattr("nircam_flats.reference._deliver.read_ahead", asked.append)
    monkeypatch.setattr("nircam_flats.reference._deliver.let_go", gone.append)
    monkeypatch.setattr("nircam_flats.reference.delivery.n_cores", lambda: 1)
    FlatDelivery.from_ground(b4_grounds, [b4], out=tmp_path / "new")
    assert len(asked) == len(list(b4_grounds.iterdir())) - 1
    assert set(asked) < set(b4_grounds.iterdir()) == set(gone)


class TestVerify:
    @pytest.fixture
    def delivery(self, b4_grounds, b4, tmp_path):
        return FlatDelivery.from_ground(b4_grounds, b4, out=tmp_path / "new")

    def test_missing_file(self, delivery):
        (delivery.folder / F200W).unlink()
        assert delivery.verify() == (f"{F200W}: must be there; it is missing",)

    def test_file_too_many(self, delivery):
        shutil.copy(delivery.folder / F200W, delivery.folder / "copy.fits")
        assert delivery.verify() == ("copy.fits: must be in the manifest; it is not",)

    @pytest.mark.parametrize(("column", "value"), [("bandpass", "F070W"), ("useafter", "2001"), ("fit_sha256", "0")])
    def test_manifest_that_tells_otherwise(self, delivery, column, value):
        table = delivery.manifest.copy()
        table[column] = table[column].astype("U64")
        table[column][list(table["file"]).index(F200W)] = value
        wrong = attrs.evolve(delivery, manifest=table).verify()
        assert any(f"{F200W}: {column} must be '{value}', as the manifest says; got" in text for text in wrong)

    def test_rules(self, delivery, spoil):
        spoil(delivery.folder / F200W, lambda hdus: hdus[0].header.remove("AUTHOR"))
        table = delivery.manifest.copy()
        index = list(table["file"]).index(F200W)
        table["sha256"][index] = hashlib.sha256((delivery.folder / F200W).read_bytes()).hexdigest()
        wrong = attrs.evolve(delivery, manifest=table).verify()
        assert wrong == (f"{F200W}: author (AUTHOR) must be given; it is missing",)


def test_tasks_are_sent_without_what_is_not_needed(b4):
    change = Change.of(b4)
    assert change.surface is b4.surface
    assert not hasattr(change, "residual")
    assert Change.of(attrs.evolve(b4, surface=b4.surface * 1.01)).sha256 != change.sha256
