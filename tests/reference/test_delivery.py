"""Deliveries: 136 ground flats in, 136 flight flats out, what is missing counted, nothing replaced unasked."""

import hashlib
import os
import shutil

import attrs
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.time import Time

from nircam_flats import (
    DQ,
    Detector,
    Filter,
    FlatDelivery,
    FlatModelFit,
    FlatReference,
    InvalidInputError,
    SurfaceCovariance,
    imaging_modes,
)
from nircam_flats.provenance import History
from nircam_flats.reference._inventory import Change
from nircam_flats.simulation import SimulatedProgram
from nircam_flats.testing import assert_same

SHAPE = (64, 64)
GREY = {"SW": ("F115W", "F200W"), "LW": ("F277W", "F444W")}
B4 = ("F070W", "F115W", "F200W", "F210M")
F200W = "nircam_flat_nrcb4_f200w_clear.fits"


@pytest.fixture(scope="module")
def simulated():
    return SimulatedProgram(detectors=Detector.all(), filters=Filter.all(), shape=SHAPE)


@pytest.fixture(scope="module")
def ground_folder(simulated, tmp_path_factory):
    """The ground flats of all modes; only to be read."""
    folder = tmp_path_factory.mktemp("ground_flats")
    for detector, filter in simulated.modes():
        flat = simulated.ground_flat(detector, filter)
        flat.write(folder / flat.name)
    return folder


@pytest.fixture
def b4_grounds(simulated, ground_folder, tmp_path):
    """Four ground flats of one detector, which a test may spoil."""
    folder = tmp_path / "b4_ground_flats"
    folder.mkdir()
    for filter in B4:
        shutil.copy(ground_folder / simulated.ground_flat("B4", filter).name, folder)
    return folder


@pytest.fixture(scope="module")
def make_fit(simulated):
    """Make the fit of a detector: ``make_fit("B4", filters=..., tilt=0.05)``."""

    def make(detector, filters=None, tilt=0.05):
        detector = Detector.get(detector)
        filters = filters or GREY[detector.channel]
        return FlatModelFit(
            detector=detector,
            filters=filters,
            surface=np.broadcast_to(np.linspace(1 - tilt, 1 + tilt, SHAPE[1]), SHAPE),
            residual=np.zeros(SHAPE),
            covariance=SurfaceCovariance(
                modes=np.full((1, 2, 2), 0.003), misfit=0.004, misfit_correlation=[1.0], shape=SHAPE, box_size=32
            ),
            strategy="made up",
            flat_names={name: simulated.ground_flat(detector, name).name for name in filters},
            exposures=QTable({"name": ["jw01", "jw02"], "used": [True, False], "reason": ["", "bright"]}),
            first_date=Time("2022-04-28"),
            last_date=Time("2022-05-02"),
            history=History().then("fit", strategy="made up"),
        )

    return make


@pytest.fixture
def b4(make_fit):
    return make_fit("B4")


@pytest.fixture(scope="module")
def delivery(ground_folder, make_fit, tmp_path_factory):
    """The delivery of all modes; only to be read."""
    made = [make_fit(detector) for detector in Detector.all()]
    return FlatDelivery.from_ground(ground_folder, made, out=tmp_path_factory.mktemp("delivery") / "new")


def reasons(delivery, kind):
    return {str(row["what"]): str(row["reason"]) for row in delivery.not_made if row["kind"] == kind}


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
        seen = {name for names in GREY.values() for name in names}
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

    def test_a_fit_of_one_filter_serves_no_other(self, b4_grounds, make_fit, tmp_path):
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


def spoil(path, change):
    with fits.open(path, memmap=False) as hdus:
        copy = fits.HDUList([hdu.copy() for hdu in hdus])
    change(copy)
    copy.writeto(path, overwrite=True)


def with_pixels(value, name="SCI"):
    def change(hdus):
        hdus[name].data[30, 30:34] = value

    return change


def replace(name, make):
    def change(hdus):
        hdus[name] = fits.ImageHDU(make(hdus[name].data), name=name)

    return change


def keyword(name, value):
    def change(hdus):
        if value is None:
            del hdus[0].header[name]
        else:
            hdus[0].header[name] = value

    return change


def test_each_ground_flat_that_is_not_the_first_is_read_ahead_and_all_are_let_go(b4_grounds, b4, tmp_path, monkeypatch):
    asked, gone = [], []
    monkeypatch.setattr("nircam_flats.reference._deliver.read_ahead", asked.append)
    monkeypatch.setattr("nircam_flats.reference._deliver.let_go", gone.append)
    monkeypatch.setattr("nircam_flats.reference.delivery.n_cores", lambda: 1)
    FlatDelivery.from_ground(b4_grounds, [b4], out=tmp_path / "new")
    assert len(asked) == len(B4) - 1
    assert set(asked) < set(b4_grounds.iterdir()) == set(gone)


class TestBadGroundFlats:
    """Each costs its own mode, or is mended and told; the others are made."""

    @pytest.fixture
    def deliver(self, b4_grounds, b4, simulated, tmp_path):
        path = b4_grounds / simulated.ground_flat("B4", "F200W").name

        def deliver(change):
            spoil(path, change)
            return FlatDelivery.from_ground(b4_grounds, b4, out=tmp_path / "new")

        return deliver

    @pytest.mark.parametrize("value", [np.nan, 0, -0.5, np.inf, -np.inf])
    @pytest.mark.parametrize("plane", ["SCI", "ERR"])
    def test_values_without_sense(self, deliver, plane, value):
        if (plane, value) == ("ERR", 0):
            pytest.skip("an error of 0 is valid")
        delivery = deliver(with_pixels(value, plane))
        assert len(delivery.manifest) == 4
        flat = FlatReference.read(delivery.folder / F200W)
        assert (flat.data[30, 30:34] == 1).all()
        assert DQ.NO_FLAT_FIELD.is_set(flat.dq[30, 30:34]).all()
        assert DQ.DO_NOT_USE.is_set(flat.dq[30, 30:34]).all()
        (row,) = (row for row in delivery.manifest if row["file"] == F200W)
        assert row["n_given_up"] == 4
        assert "4 pixels without an answer flagged, and set to 1.0" in flat.history
        assert delivery.verify() == ()

    @pytest.mark.parametrize(
        ("change", "note"),
        [
            (lambda hdus: hdus.remove(hdus["DQ"]), "extension DQ must be there"),
            (lambda hdus: hdus.remove(hdus["DQ_DEF"]), "DQ_DEF must name the bits"),
            (lambda hdus: hdus["DQ_DEF"].data.field("NAME").put(0, "ODD"), "'ODD' is left out"),
        ],
    )
    def test_flags_that_are_not_explained(self, deliver, change, note):
        delivery = deliver(change)
        assert len(delivery.manifest) == 4
        notes = {str(row["file"]): str(row["notes"]) for row in delivery.manifest}
        assert note in notes[F200W]
        assert note not in "".join(text for name, text in notes.items() if name != F200W)
        assert FlatReference.read(delivery.folder / F200W).check() == ()

    @pytest.mark.parametrize("dtype", ["f8", "i2"])
    def test_other_numbers(self, deliver, dtype):
        delivery = deliver(replace("SCI", lambda data: np.ceil(data).astype(dtype)))
        assert len(delivery.manifest) == 4
        assert fits.getheader(delivery.folder / F200W, "SCI")["BITPIX"] == -32
        (row,) = (row for row in delivery.manifest if row["file"] == F200W)
        assert "extension SCI must be float32" in row["notes"]

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda hdus: hdus.remove(hdus["ERR"]), "needs the errors of"),
            (replace("DQ", lambda data: data[:9]), "DQ must have the shape of SCI"),
            (keyword("AUTHOR", None), r"author (AUTHOR) must be given"),
            (keyword("USEAFTER", "2014"), r"useafter (USEAFTER) must be"),
        ],
    )
    def test_not_made(self, deliver, change, reason):
        delivery = deliver(change)
        assert len(delivery.manifest) == 3
        assert list(reasons(delivery, "not made")) == ["NRCB4 F200W"]
        assert reason in reasons(delivery, "not made")["NRCB4 F200W"]
        assert not (delivery.folder / F200W).exists()
        assert "not made: 1" in str(delivery)

    def test_another_shape(self, deliver):
        def crop(hdus):
            for name in ("SCI", "ERR", "DQ"):
                hdus[name] = fits.ImageHDU(hdus[name].data[:32], name=name)

        delivery = deliver(crop)
        assert "shape of jwst_nircam" in reasons(delivery, "not made")["NRCB4 F200W"]

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (keyword("DETECTOR", None), "keyword DETECTOR is needed"),
            (keyword("DETECTOR", "NRCC9"), "Detector must be one of"),
            (keyword("FILTER", None), "keyword FILTER is needed"),
            (keyword("FILTER", "F999W"), "FILTER and PUPIL must select"),
            (keyword("PUPIL", None), "keyword PUPIL is needed"),
            (keyword("PUPIL", "WLP8"), "FILTER and PUPIL must select"),
            (keyword("REFTYPE", "DARK"), "needed a FLAT reference file"),
        ],
    )
    def test_of_no_mode(self, deliver, simulated, change, reason):
        delivery = deliver(change)
        assert len(delivery.manifest) == 3
        name = simulated.ground_flat("B4", "F200W").name
        assert list(reasons(delivery, "file left out")) == [name]
        assert reason in reasons(delivery, "file left out")[name]
        assert "NRCB4 F200W" in reasons(delivery, "no ground flat")

    def test_of_another_mode(self, deliver, simulated):
        """Its keywords say F210M: then there are two of that mode; the exposures do not tell which was theirs."""
        delivery = deliver(keyword("FILTER", "F210M"))
        names = " ".join(reasons(delivery, "several ground flats").values())
        assert simulated.ground_flat("B4", "F200W").name in names
        assert simulated.ground_flat("B4", "F210M").name in names
        assert len(delivery.manifest) == 2

    def test_not_fits_at_all(self, b4_grounds, b4, tmp_path):
        (b4_grounds / "notes.fits").write_text("remember the milk")
        delivery = FlatDelivery.from_ground(b4_grounds, b4, out=tmp_path / "new")
        assert len(delivery.manifest) == 4
        assert "needed a whole, readable FITS file" in reasons(delivery, "file left out")["notes.fits"] or (
            "needed a FITS file" in reasons(delivery, "file left out")["notes.fits"]
        )

    def test_two_for_a_mode(self, b4_grounds, b4, simulated, tmp_path):
        """Where the exposures tell which one divided them (F200W), that one is taken."""
        for name in ("F200W", "F070W"):
            attrs.evolve(simulated.ground_flat("B4", name), description="another").write(b4_grounds / f"{name}.fits")
        delivery = FlatDelivery.from_ground(b4_grounds, b4, out=tmp_path / "new")
        assert len(delivery.manifest) == 3
        assert list(reasons(delivery, "several ground flats")) == ["NRCB4 F070W"]
        assert (
            "2 ground flats of one mode: F070W.fits, jwst_nircam"
            in reasons(delivery, "several ground flats")["NRCB4 F070W"]
        )
        (row,) = (row for row in delivery.manifest if row["file"] == F200W)
        assert row["ground_flat"] == simulated.ground_flat("B4", "F200W").name

    def test_none_for_a_mode(self, b4_grounds, b4, simulated, tmp_path):
        (b4_grounds / simulated.ground_flat("B4", "F070W").name).unlink()
        delivery = FlatDelivery.from_ground(b4_grounds, b4, out=tmp_path / "new")
        assert "NRCB4 F070W" in reasons(delivery, "no ground flat")
        assert len(reasons(delivery, "no ground flat")) == 1 + 13 - len(B4)
        assert len(reasons(delivery, "no fit")) == 136 - 13
        assert len(delivery.missing) == 136 - 3
        assert "3 of 136 modes" in str(delivery)
        assert "no fit: 123" in str(delivery)

    def test_another_flat_than_divided_the_exposures(self, b4_grounds, b4, tmp_path):
        fit = attrs.evolve(b4, flat_names=b4.flat_names | {"F200W": "jwst_nircam_flat_0001.fits"})
        delivery = FlatDelivery.from_ground(b4_grounds, fit, out=tmp_path / "new")
        assert "divided by, jwst_nircam_flat_0001.fits" in reasons(delivery, "not made")["NRCB4 F200W"]

    def test_a_name_that_the_exposures_do_not_tell_is_noted(self, b4_grounds, b4, tmp_path):
        fit = attrs.evolve(b4, flat_names=b4.flat_names | {"F200W": None})
        delivery = FlatDelivery.from_ground(b4_grounds, fit, out=tmp_path / "new")
        (row,) = (row for row in delivery.manifest if row["file"] == F200W)
        assert "it cannot be checked" in row["notes"]

    def test_wrong_place_in_a_mapping(self, simulated, b4, tmp_path):
        mapping = {("B4", "F200W"): simulated.ground_flat("B4", "F070W")}
        delivery = FlatDelivery.from_ground(mapping, b4, out=tmp_path / "new")
        assert "NRCB4 F200W is needed here; its header says NRCB4 F070W" in "".join(
            reasons(delivery, "file left out").values()
        )


class TestResume:
    @pytest.fixture
    def deliver(self, b4_grounds, b4, tmp_path):
        def deliver(fit=b4, **settings):
            return FlatDelivery.from_ground(b4_grounds, fit, out=tmp_path / "new", **settings)

        return deliver

    def test_what_is_missing_is_made(self, deliver):
        first = deliver()
        (first.folder / F200W).unlink()
        again = deliver()
        assert again.made == (F200W,)
        assert again.verify() == ()

    def test_what_is_damaged_is_made(self, deliver):
        first = deliver()
        content = bytearray((first.folder / F200W).read_bytes())
        content[20000] ^= 1
        (first.folder / F200W).write_bytes(content)
        assert any("must have the SHA-256 of the manifest" in text for text in first.verify())
        again = deliver()
        assert again.made == (F200W,)
        assert again.verify() == ()

    def test_what_another_ground_flat_makes(self, deliver, b4_grounds, simulated):
        deliver()
        path = b4_grounds / simulated.ground_flat("B4", "F200W").name
        spoil(path, with_pixels(1.5))
        again = deliver()
        assert again.made == (F200W,)
        assert FlatReference.read(again.folder / F200W).provenance is not None
        assert again.verify() == ()

    def test_what_another_fit_makes(self, deliver, make_fit):
        first, again = deliver(), deliver(fit=make_fit("B4", tilt=0.03))
        assert len(again.made) == 4
        assert set(again.manifest["fit_sha256"]).isdisjoint(first.manifest["fit_sha256"])

    def test_what_another_date_makes(self, deliver):
        deliver()
        assert len(deliver(useafter="2022-01-01").made) == 4
        assert deliver(useafter="2022-01-01").made == ()

    def test_cut_off_before_the_manifest(self, deliver):
        first = deliver()
        (first.folder / "manifest.ecsv").unlink()
        (first.folder / F200W).unlink()
        again = deliver()
        assert again.made == (F200W,)
        rest = again.manifest["file"] != F200W
        assert_same(again.manifest[rest], first.manifest[rest])

    def test_interrupted(self, deliver, tmp_path, monkeypatch):
        """What was written before is kept; what was being written is not there."""
        written = []

        def writeto(self, handle, **options):
            if len(written) == 2:
                handle.write(b"SIMPLE")
                raise KeyboardInterrupt
            written.append(handle)
            return original(self, handle, **options)

        original = fits.HDUList.writeto
        monkeypatch.setattr(fits.HDUList, "writeto", writeto)
        with pytest.raises(KeyboardInterrupt):
            deliver()
        monkeypatch.undo()
        left = os.listdir(tmp_path / "new")
        assert 2 <= len(left) < 4
        assert all(name.startswith("nircam_flat_nrcb4_") for name in left)
        again = deliver()
        assert len(again.made) == 4 - len(left)
        assert again.verify() == ()

    def test_files_of_others_are_left_alone(self, deliver, simulated, tmp_path):
        (tmp_path / "new").mkdir()
        path = tmp_path / "new" / F200W
        simulated.ground_flat("B4", "F200W").write(path)
        before = path.read_bytes()
        delivery = deliver()
        assert path.read_bytes() == before
        assert "exists already and is no flat of a delivery" in reasons(delivery, "not made")["NRCB4 F200W"]
        assert f"{F200W}: must be in the manifest; it is not" in delivery.verify()
        assert F200W in deliver(overwrite=True).made
        assert path.read_bytes() != before

    def test_all_again_on_request(self, deliver):
        deliver()
        assert len(deliver(overwrite=True).made) == 4

    def test_detectors_one_after_the_other(self, deliver, make_fit, ground_folder, tmp_path):
        deliver()
        both = FlatDelivery.from_ground(ground_folder, make_fit("ALONG"), out=tmp_path / "new")
        assert (len(both.made), len(both.manifest)) == (16, 20)
        assert both.verify() == ()
        assert not {f"NRCB4 {name}" for name in B4} & set(reasons(both, "no fit"))

    def test_manifests_of_others(self, deliver, tmp_path):
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "manifest.ecsv").write_text("some, list\n1, 2\n")
        with pytest.raises(InvalidInputError, match=r"manifest.ecsv: .* needed"):
            deliver()


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

    def test_rules(self, delivery):
        spoil(delivery.folder / F200W, keyword("AUTHOR", None))
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
