"""The file format: what is written, what comes back, and what of a faulty file is read, told or refused."""

import os

import attrs
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from photutils.aperture import CircularAperture

from nircam_flats import DQ, FlatReference, FlatsWarning, InvalidInputError
from nircam_flats.testing import assert_same

NO_ANSWER = DQ.NO_FLAT_FIELD | DQ.DO_NOT_USE


def read_quietly(path):
    with pytest.warns(FlatsWarning):
        return FlatReference.read(path)


class TestRealFiles:
    @pytest.mark.parametrize(
        ("name", "detector", "filter"),
        [
            ("jwst_nircam_flat_9002_nrcb4_f200w_corner256.fits", "NRCB4", "F200W"),
            ("jwst_nircam_flat_9004_nrcalong_f444w_corner256.fits", "NRCALONG", "F444W"),
        ],
    )
    def test_byte_for_byte(self, real_data, name, detector, filter):
        path = real_data / "format" / name
        flat = FlatReference.read(path)
        assert (flat.detector.name, flat.filter.name, flat.name) == (detector, filter, name)
        assert flat.pedigree == "DUMMY"
        assert flat.useafter == "2014-10-01T00:00:00"
        assert flat.history == ("Synthetic ground flat made by make_program.py for acceptance tests",)
        with fits.open(path) as hdus:
            assert_same(flat.data, hdus["SCI"].data.astype("f4"))
            assert_same(flat.err, hdus["ERR"].data.astype("f4"))
            stored = hdus["DQ"].data
        # In this file 1 is DO_NOT_USE, 2 NO_FLAT_FIELD, 8 DEAD.
        assert set(np.unique(stored)) == {0, 3, 11}
        assert (flat.dq[stored == 0] == 0).all()
        assert (flat.dq[stored == 3] == NO_ANSWER).all()
        assert (flat.dq[stored == 11] == NO_ANSWER | DQ.DEAD).all()
        assert flat.check() == ()

    def test_back_and_forth(self, real_data, tmp_path):
        flat = FlatReference.read(real_data / "format" / "jwst_nircam_flat_9002_nrcb4_f200w_corner256.fits")
        flat.write(tmp_path / "again.fits")
        again = FlatReference.read(tmp_path / "again.fits")
        for name in ("data", "err", "dq", "detector", "filter", "author", "pedigree", "useafter", "history"):
            assert_same(getattr(again, name), getattr(flat, name), name=name)


class TestWrite:
    def test_round_trip(self, ground, tmp_path):
        flat = attrs.evolve(ground, description="d" * 150, history=("a long story " * 20, "", "the end"))
        flat.write(tmp_path / flat.name)
        again = FlatReference.read(tmp_path / flat.name)
        assert_same(attrs.evolve(again, header=""), flat)

    def test_second_round_trip(self, ground, tmp_path):
        ground.write(tmp_path / "a.fits")
        first = FlatReference.read(tmp_path / "a.fits")
        first.write(tmp_path / "b.fits")
        second = FlatReference.read(tmp_path / "b.fits")
        assert_same(attrs.evolve(second, header="", name=None), attrs.evolve(first, header="", name=None))

    def test_layout(self, flight, tmp_path):
        flight.write(tmp_path / "flat.fits")
        with fits.open(tmp_path / "flat.fits") as hdus:
            planes, tables = ["SCI", "ERR", "DQ", "DQ_DEF"], ["EXPOSURES", "PHOTOMETRY", "HISTORY"]
            assert [hdu.name for hdu in hdus] == ["PRIMARY", *planes, *tables, "MODES", "MISFIT"]
            assert [hdu.header["EXTVER"] for hdu in hdus[1:]] == [1] * 9
            assert [hdus[name].header["BITPIX"] for name in ("SCI", "ERR", "DQ")] == [-32, -32, 32]
            assert hdus["DQ"].data.dtype == np.uint32
            assert hdus["DQ_DEF"].columns.names == ["BIT", "VALUE", "NAME", "DESCRIPTION"]
            assert hdus["DQ_DEF"].columns.formats == ["J", "J", "40A", "80A"]
            assert np.isfinite(hdus["SCI"].data).all()
            assert (hdus["SCI"].data > 0).all()
            assert np.isfinite(hdus["ERR"].data).all()
            header = hdus[0].header
            expected = {
                "TELESCOP": "JWST",
                "INSTRUME": "NIRCAM",
                "REFTYPE": "FLAT",
                "DATAMODL": "FlatModel",
                "FILENAME": "flat.fits",
                "DETECTOR": "NRCB4",
                "MODULE": "B",
                "CHANNEL": "SHORT",
                "FILTER": "F200W",
                "PUPIL": "CLEAR",
                "AUTHOR": "A. Tester",
                "PEDIGREE": "INFLIGHT 2022-04-28 2022-05-02",
                "USEAFTER": "2014-10-01T00:00:00",
                "SUBARRAY": "FULL",
                "SUBSTRT1": 1,
                "SUBSTRT2": 1,
                "SUBSIZE1": 80,
                "SUBSIZE2": 64,
                "FASTAXIS": -1,
                "SLOWAXIS": 2,
            }
            assert {keyword: header[keyword] for keyword in expected} == expected
            assert header["DESCRIP"].startswith("Flight flat NRCB4 F200W")
            assert tuple(header["HISTORY"]) == flight.history

    def test_the_file_alone_tells_the_error_of_a_mean(self, flight, fit, tmp_path):
        flight.write(tmp_path / "flight.fits")
        again = FlatReference.read(tmp_path / "flight.fits")
        assert_same(again.covariance, fit.covariance)
        aperture = CircularAperture((40, 30), 10)
        expected = fit.covariance.error_of_mean(aperture)
        assert again.covariance.error_of_mean(aperture) == pytest.approx(expected, rel=1e-6)
        assert expected > 5 * np.median(again.err) / np.sqrt(aperture.area)  # what independent pixels would give

    def test_a_damaged_covariance_is_left_out_and_told(self, flight, tmp_path):
        flight.write(tmp_path / "flight.fits")
        with fits.open(tmp_path / "flight.fits", mode="update") as hdus:
            del hdus["MODES"].header["BOXSIZE"]
        again = FlatReference.read(tmp_path / "flight.fits")
        assert again.covariance is None
        assert any("BOXSIZE" in fault for fault in again.check())

    def test_a_flat_of_unknown_making_has_no_tables(self, ground, tmp_path):
        ground.write(tmp_path / "flat.fits")
        with fits.open(tmp_path / "flat.fits") as hdus:
            assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "ERR", "DQ", "DQ_DEF"]
        assert FlatReference.read(tmp_path / "flat.fits").provenance is None

    @pytest.mark.parametrize(
        ("detector", "filter", "keywords"),
        [("ALONG", "F405N", ("F444W", "F405N", "LONG", "A")), ("A2", "F162M", ("F150W2", "F162M", "SHORT", "A"))],
    )
    def test_mode_keywords(self, ground, tmp_path, detector, filter, keywords):
        attrs.evolve(ground, detector=detector, filter=filter).write(tmp_path / "flat.fits")
        header = fits.getheader(tmp_path / "flat.fits")
        assert tuple(header[name] for name in ("FILTER", "PUPIL", "CHANNEL", "MODULE")) == keywords
        again = FlatReference.read(tmp_path / "flat.fits")
        assert (again.detector.label, again.filter.name) == (detector, filter)

    def test_every_bit_used_is_explained(self, ground, tmp_path):
        dq = ground.dq.copy()
        every_bit = np.uint32(1) << np.arange(32, dtype=np.uint32)
        dq[20:52, 40] = every_bit
        data = np.where(DQ.NO_FLAT_FIELD.is_set(dq), 1, ground.data)
        flat = attrs.evolve(ground, data=data, dq=dq)
        flat.repaired().write(tmp_path / "flat.fits")
        table = Table.read(tmp_path / "flat.fits", hdu="DQ_DEF")
        assert {str(row["NAME"]): (row["BIT"], row["VALUE"]) for row in table} == {
            flag.name: (flag.bit_length() - 1, flag.value) for flag in DQ
        }
        again = FlatReference.read(tmp_path / "flat.fits")
        assert_same(again.dq[20:52, 40], every_bit | np.where(every_bit == DQ.NO_FLAT_FIELD, 1, 0).astype("u4"))

    def test_other_keywords_are_carried(self, flat_file, tmp_path):
        path = flat_file(lambda hdus: hdus[0].header.update(ORIGIN="STSCI", LAMP="a sphere"))
        FlatReference.read(path).write(tmp_path / "again.fits")
        header = fits.getheader(tmp_path / "again.fits")
        assert (header["ORIGIN"], header["LAMP"], header["FILENAME"]) == ("STSCI", "a sphere", "again.fits")
        assert header.count("HISTORY") == 1

    def test_not_over_an_existing_file(self, ground, tmp_path):
        path = tmp_path / "flat.fits"
        path.write_bytes(b"precious")
        with pytest.raises(InvalidInputError, match=r"flat.fits: exists already.*overwrite=True"):
            ground.write(path)
        assert path.read_bytes() == b"precious"
        ground.write(path, overwrite=True)
        assert_same(FlatReference.read(path).data, ground.data)

    def test_faulty_flat_is_not_written(self, ground, tmp_path):
        data = ground.data.copy()
        data[5, 6] = np.nan
        with pytest.raises(InvalidInputError) as error:
            attrs.evolve(ground, data=data, author=None).write(tmp_path / "flat.fits")
        text = str(error.value)
        assert "flat.fits: this flat cannot be written" in text
        assert "author (AUTHOR) must be given" in text
        assert "1 pixels are not, the first at [y, x] = [5, 6]" in text
        assert os.listdir(tmp_path) == []

    def test_interrupted_write_leaves_nothing(self, ground, tmp_path, monkeypatch):
        def half(self, handle, **options):
            handle.write(b"SIMPLE")
            raise KeyboardInterrupt

        monkeypatch.setattr(fits.HDUList, "writeto", half)
        with pytest.raises(KeyboardInterrupt):
            ground.write(tmp_path / "flat.fits")
        assert os.listdir(tmp_path) == []

    def test_pixels_in_memory_are_untouched(self, ground, tmp_path):
        before = ground.data.copy(), ground.dq.copy()
        ground.write(tmp_path / "flat.fits")
        assert_same((ground.data, ground.dq), before)


def remove(name):
    return lambda hdus: hdus.remove(hdus[name])


def set_keyword(keyword, value):
    def change(hdus):
        if value is None:
            del hdus[0].header[keyword]
        else:
            hdus[0].header[keyword] = value

    return change


def set_plane(name, make):
    def change(hdus):
        hdus[name] = fits.ImageHDU(make(hdus[name].data), name=name)

    return change


def set_definition(**columns):
    def change(hdus):
        hdus["DQ_DEF"] = fits.BinTableHDU(Table(columns), name="DQ_DEF")

    return change


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (remove("SCI"), "extension SCI is needed; the file has PRIMARY, ERR"),
            (
                set_plane("SCI", lambda data: np.stack([data, data])),
                r"SCI must hold an image of 2 dimensions; got shape \(2,",
            ),
            (set_plane("SCI", lambda data: data[:8]), r"ERR must have the shape of SCI, \(8, 80\); got \(64, 80\)"),
            (set_plane("DQ", lambda data: data[:8]), r"DQ must have the shape of SCI, \(64, 80\); got \(8, 80\)"),
            (set_plane("DQ", lambda data: data.astype("f4")), "DQ must hold integers; got float32"),
            (set_keyword("DETECTOR", None), "keyword DETECTOR is needed in the primary header; it is missing"),
            (set_keyword("FILTER", None), "keyword FILTER is needed"),
            (set_keyword("PUPIL", None), "keyword PUPIL is needed"),
            (set_keyword("DETECTOR", "NRS1"), "Detector must be one of .*; got 'NRS1'"),
            (set_keyword("FILTER", "F444W"), "FILTER must be one of the SW channel of NRCB4; got F444W"),
            (set_keyword("FILTER", "F999W"), "FILTER and PUPIL must select .*; got F999W and CLEAR"),
            (set_keyword("PUPIL", "WLP8"), "FILTER and PUPIL must select .*; got F200W and WLP8"),
            (set_keyword("INSTRUME", "NIRISS"), "INSTRUME must be NIRCAM; got NIRISS"),
            (set_keyword("REFTYPE", "DARK"), "needed a FLAT reference file .*got REFTYPE DARK"),
            (set_keyword("SUBSTRT1", "one"), "keyword SUBSTRT1 .* must be of type int"),
        ],
    )
    def test_names_file_need_and_what_came(self, flat_file, change, message):
        path = flat_file(change)
        with pytest.raises(InvalidInputError, match=rf"{path.name}: .*{message}"):
            FlatReference.read(path)

    def test_a_science_image(self, calibrate, ground, tmp_path):
        calibrate(ground).write(tmp_path / "jw_cal.fits")
        with pytest.raises(InvalidInputError, match=r"jw_cal.fits: needed a FLAT .*DATAMODL ImageModel"):
            FlatReference.read(tmp_path / "jw_cal.fits")

    def test_truncated(self, flat_file):
        path = flat_file()
        path.write_bytes(path.read_bytes()[:20000])
        with pytest.raises(InvalidInputError, match=r"flat_9002.fits: needed a whole.* FITS file"):
            FlatReference.read(path)

    def test_not_there(self, tmp_path):
        with pytest.raises(InvalidInputError, match=r"none.fits: needed a FITS file; got nothing there"):
            FlatReference.read(tmp_path / "none.fits")


class TestReadLeniently:
    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            (remove("ERR"), "extension ERR must be there; it is missing"),
            (set_plane("SCI", lambda data: data.astype("f8")), "extension SCI must be float32; got float64"),
            (set_plane("ERR", lambda data: data.astype("f8")), "extension ERR must be float32; got float64"),
            (set_plane("SCI", lambda data: np.ones(data.shape, "i2")), "extension SCI must be float32; got int16"),
            (set_keyword("DATAMODL", "ReferenceImageModel"), "DATAMODL must be 'FlatModel'; got 'ReferenceImageModel'"),
            (set_keyword("REFTYPE", None), "REFTYPE must be 'FLAT'; got None"),
            (set_keyword("INSTRUME", None), "INSTRUME must be 'NIRCAM'; got None"),
            (set_keyword("SUBSIZE1", 2048), "SUBSIZE1 must be 80; got 2048"),
            (set_keyword("FASTAXIS", None), "FASTAXIS must be -1; got None"),
            (set_keyword("AUTHOR", None), "author (AUTHOR) must be given; it is missing"),
            (set_keyword("DESCRIP", None), "description (DESCRIP) must be given; it is missing"),
            (set_keyword("USEAFTER", "2014-10-01"), "useafter (USEAFTER) must be YYYY-MM-DDTHH:MM:SS"),
            (set_keyword("PEDIGREE", "INFLIGHT"), "pedigree (PEDIGREE) must be 'INFLIGHT"),
            (set_keyword("HISTORY", None), "history (HISTORY) must say"),
        ],
    )
    def test_fault_is_told_by_check(self, flat_file, change, fault):
        faults = FlatReference.read(flat_file(change)).check()
        assert any(text.startswith(fault) for text in faults), faults

    def test_values_of_other_types(self, flat_file, ground):
        flat = FlatReference.read(flat_file(set_plane("SCI", lambda data: data.astype("f8"))))
        assert_same(flat.data, ground.data)

    def test_too_large_for_float32(self, flat_file):
        def change(hdus):
            data = hdus["SCI"].data.astype("f8")
            data[7, 8] = 1e300
            hdus["SCI"] = fits.ImageHDU(data, name="SCI")

        flat = FlatReference.read(flat_file(change))
        assert np.isinf(flat.data[7, 8])

    def test_mended_by_writing_again(self, flat_file, tmp_path):
        flat = FlatReference.read(flat_file(set_keyword("DATAMODL", None)))
        assert flat.check() != ()
        flat.write(tmp_path / "again.fits")
        assert FlatReference.read(tmp_path / "again.fits").check() == ()

    def test_missing_err_is_not_invented(self, flat_file, tmp_path):
        flat = FlatReference.read(flat_file(remove("ERR")))
        assert flat.err is None
        with pytest.raises(InvalidInputError, match="err must be given"):
            flat.write(tmp_path / "again.fits")

    def test_missing_dq(self, flat_file):
        path = flat_file(remove("DQ"))
        with pytest.warns(FlatsWarning, match=r"9002.fits: extension DQ must be there; it is missing"):
            flat = FlatReference.read(path)
        assert not flat.dq.any()
        assert any("extension DQ must be there" in fault for fault in flat.check())

    @pytest.mark.parametrize("change", [remove("DQ_DEF"), set_definition(NAME=["DEAD"]), set_definition(BIT=[1])])
    def test_missing_dq_def_means_the_standard_bits(self, flat_file, ground, change):
        with pytest.warns(FlatsWarning, match="DQ_DEF must name the bits of DQ"):
            flat = FlatReference.read(flat_file(change))
        assert_same(flat.dq, ground.dq)

    def test_missing_dq_def_does_not_matter_without_flags(self, flat_file):
        def change(hdus):
            hdus["DQ"] = fits.ImageHDU(np.zeros((64, 80), np.uint32), name="DQ")
            hdus.remove(hdus["DQ_DEF"])

        flat = FlatReference.read(flat_file(change))
        assert any("DQ_DEF" in fault for fault in flat.check())


class TestFlagsByName:
    def coded(self, columns, *, pixels):
        def change(hdus):
            dq = np.zeros((64, 80), np.int32)
            dq[20, : len(pixels)] = pixels
            hdus["DQ"] = fits.ImageHDU(dq, name="DQ")
            set_definition(**columns)(hdus)

        return change

    def test_own_values_of_a_file(self, flat_file):
        columns = {"BIT": [0, 1, 2], "VALUE": [1, 2, 4], "NAME": ["DEAD", "HOT", "DO_NOT_USE"]}
        flat = FlatReference.read(flat_file(self.coded(columns, pixels=[0, 1, 2, 4, 7])))
        assert flat.dq[20, :5].tolist() == [
            0,
            DQ.DEAD,
            DQ.HOT,
            DQ.DO_NOT_USE,
            DQ.DEAD | DQ.HOT | DQ.DO_NOT_USE,
        ]

    def test_bits_alone(self, flat_file):
        columns = {"BIT": [0, 3], "NAME": ["DEAD", "HOT"]}
        flat = FlatReference.read(flat_file(self.coded(columns, pixels=[1, 8])))
        assert flat.dq[20, :2].tolist() == [DQ.DEAD, DQ.HOT]

    def test_unknown_name_is_left_out_and_named(self, flat_file):
        columns = {"BIT": [0, 1], "VALUE": [1, 2], "NAME": ["DEAD", "BAD_IN_FLIGHT"]}
        path = flat_file(self.coded(columns, pixels=[1, 2, 3]))
        with pytest.warns(FlatsWarning, match="'BAD_IN_FLIGHT' is left out, set at 2 pixels"):
            flat = FlatReference.read(path)
        assert flat.dq[20, :3].tolist() == [DQ.DEAD, 0, DQ.DEAD]
        assert any("BAD_IN_FLIGHT" in fault for fault in flat.check())

    def test_unknown_name_that_flags_nothing(self, flat_file):
        columns = {"BIT": [0, 1], "VALUE": [1, 2], "NAME": ["DEAD", "BAD_IN_FLIGHT"]}
        flat = FlatReference.read(flat_file(self.coded(columns, pixels=[1])))
        assert any("BAD_IN_FLIGHT" in fault for fault in flat.check())

    def test_bit_without_a_row(self, flat_file):
        columns = {"BIT": [0], "VALUE": [1], "NAME": ["DEAD"]}
        path = flat_file(self.coded(columns, pixels=[1, 16, 17]))
        with pytest.warns(FlatsWarning, match=r"bits \[4\] have none, and are left out at 2 pixels"):
            flat = FlatReference.read(path)
        assert flat.dq[20, :3].tolist() == [DQ.DEAD, 0, DQ.DEAD]

    def test_good_flags_nothing(self, flat_file):
        columns = {"BIT": [0, 0], "VALUE": [0, 1], "NAME": ["GOOD", "DEAD"]}
        flat = FlatReference.read(flat_file(self.coded(columns, pixels=[1])))
        assert flat.check() == ()
