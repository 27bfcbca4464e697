"""Exposure and ExposureHeader: from arrays, from a file of known content, and back again."""

import attrs
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import StdDevUncertainty
from astropy.time import Time
from astropy.wcs import WCS

from nircam_flats import DQ, Detector, Exposure, ExposureHeader, Filter, InvalidInputError, Pointing
from nircam_flats.testing import assert_same, check_value

PLANES = {
    "data": "SCI",
    "err": "ERR",
    "dq": "DQ",
    "area": "AREA",
    "var_poisson": "VAR_POISSON",
    "var_rnoise": "VAR_RNOISE",
    "var_flat": "VAR_FLAT",
}


class TestFromArrays:
    def test_two_facts_and_an_image_suffice(self):
        exposure = Exposure(data=[[1, 2], [3, np.nan]], detector=489, filter="f200w")
        assert (exposure.detector, exposure.filter) == (Detector.get("NRCB4"), Filter.get("F200W"))
        assert (exposure.shape, exposure.data.dtype) == ((2, 2), np.float32)
        assert (exposure.unit, exposure.subarray, exposure.corner) == (u.MJy / u.sr, "FULL", (1, 1))
        assert exposure.steps == {"S_FLAT": "COMPLETE", "S_PHOTOM": "COMPLETE"}
        nothing = ("path", "start", "end", "exposure_time", "pointing", "photmjsr", "flat_name", "wcs", "visit")
        assert [getattr(exposure, name) for name in nothing] == [None] * len(nothing)
        assert len(exposure.header) == len(exposure.sci_header) == 0

    def test_good_is_finite_and_not_flagged_do_not_use(self, make_exposure):
        data = np.ones((2, 3))
        data[0, 0], data[0, 1] = np.nan, np.inf
        dq = [[0, 0, DQ.DO_NOT_USE], [DQ.DO_NOT_USE | DQ.HOT, DQ.HOT | DQ.REFERENCE_PIXEL, 0]]
        good = make_exposure(data=data, dq=np.array(dq, np.uint32)).good
        assert good.tolist() == [[False, False, False], [False, True, True]]
        assert make_exposure(data=data).good.tolist() == [[False, False, True], [True, True, True]]
        with pytest.raises(ValueError, match="read-only"):
            good[1, 1] = False

    def test_images_are_of_one_shape(self, make_exposure):
        for plane in ("err", "var_poisson", "var_rnoise", "var_flat", "area"):
            with pytest.raises(
                InvalidInputError, match=rf"Exposure.{plane} must have the shape .*\(12, 20\); got \(20, 12\)"
            ):
                make_exposure(**{plane: np.ones((20, 12))})
        with pytest.raises(
            InvalidInputError, match=r"Exposure.data must be an array with 2 dimensions; got shape \(2, 3, 4\)"
        ):
            make_exposure(data=np.ones((2, 3, 4)))

    @pytest.mark.parametrize(
        ("facts", "text"),
        [
            ({"detector": "B6"}, "Detector must be one of NRCA1"),
            ({"filter": "F333W"}, "Filter must be one of F070W"),
            ({"filter": "F444W"}, r"Exposure.filter must be a SW filter, as NRCB4 has; got F444W \(LW\)"),
            ({"detector": "BLONG"}, r"Exposure.filter must be a LW filter, as NRCBLONG has; got F200W \(SW\)"),
            ({"unit": "erg/furlong"}, "Exposure.unit must be a unit of astropy; got 'erg/furlong'"),
            ({"start": 59800.5}, "Exposure.start and .end must be one astropy Time each; got 59800.5"),
            ({"end": Time([1, 2], format="mjd")}, "must be one astropy Time each"),
            ({"exposure_time": 100}, "Exposure.exposure_time must be a Quantity convertible to 's'; got 100"),
            (
                {"corner": (0, 1)},
                r"Exposure.corner must be \(x, y\), whole numbers from 1 to \(2048, 2048\); got \(0, 1\)",
            ),
            ({"corner": (1, 2, 3)}, r"Exposure.corner must be \(x, y\)"),
            ({"photmjsr": np.nan}, "Exposure.photmjsr must be finite and above 0, or None where not known; got nan"),
            ({"pointing": (53.0, -27.0)}, "Exposure.pointing must be a Pointing, or None"),
            ({"header": {"TELESCOP": "JWST"}}, "must be an astropy.io.fits.Header; got dict"),
        ],
    )
    def test_facts_that_cannot_be(self, make_exposure, facts, text):
        with pytest.raises(InvalidInputError, match=text):
            make_exposure(**facts)

    def test_times_are_utc(self, make_exposure):
        start = Time("2022-08-09T12:00:00", scale="tai")
        exposure = make_exposure(start=start)
        assert exposure.start.scale == "utc"
        assert exposure.start.isot == "2022-08-09T11:59:23.000"

    @pytest.mark.parametrize(
        ("given", "name"),
        [
            ("crds://jwst_nircam_flat_0123.fits", "jwst_nircam_flat_0123.fits"),
            ("/grp/crds/jwst_nircam_flat_0123.fits", "jwst_nircam_flat_0123.fits"),
            ("override://", None),
            ("N/A", None),
            (None, None),
        ],
    )
    def test_the_flat_is_named_barely(self, make_exposure, given, name):
        assert make_exposure(flat_name=given).flat_name == name

    def test_keeps_the_promises_of_a_value(self, cal_file, make_exposure):
        check_value(make_exposure(name="made", exposure_time=10 * u.s, dq=np.ones((12, 20), int)))
        for value in (Exposure.read(cal_file()), ExposureHeader.read(cal_file())):
            _ = value.wcs  # something cached
            check_value(value)

    def test_headers_given_out_cannot_change_the_exposure(self, cal_file):
        exposure = Exposure.read(cal_file())
        exposure.header["DETECTOR"] = "NRCA1"
        exposure.sci_header["BUNIT"] = "K"
        assert (exposure.header["DETECTOR"], exposure.sci_header["BUNIT"]) == ("NRCBLONG", "MJy/sr")

    def test_without_pixels_has_the_same_facts(self, cal_file):
        path = cal_file()
        assert_same(Exposure.read(path).without_pixels(), ExposureHeader.read(path))

    def test_to_ccddata(self, cal_file, truth):
        exposure = Exposure.read(cal_file())
        ccd = exposure.to_ccddata()
        np.testing.assert_array_equal(ccd.data, truth.planes["SCI"])
        np.testing.assert_array_equal(ccd.mask, np.isnan(truth.planes["SCI"]) | (truth.planes["DQ"] & 1 == 1))
        np.testing.assert_array_equal(ccd.flags, truth.planes["DQ"])
        assert isinstance(ccd.uncertainty, StdDevUncertainty)
        np.testing.assert_array_equal(ccd.uncertainty.array, truth.planes["ERR"])
        assert ccd.unit == u.MJy / u.sr
        assert ccd.header["TITLE"] == truth.primary["TITLE"]
        assert ccd.wcs.wcs.crpix.tolist() == [10.5, 6.5]
        ccd.data[0, 0] = 7  # a copy: the exposure keeps its own
        assert exposure.data[0, 0] == truth.planes["SCI"][0, 0]

    def test_to_ccddata_of_an_image_alone(self, make_exposure):
        ccd = make_exposure().to_ccddata()
        assert (ccd.uncertainty, ccd.flags, ccd.wcs) == (None, None, None)


class TestRead:
    def test_every_fact_from_its_keyword(self, cal_file):
        path = cal_file()
        for exposure in (Exposure.read(path), ExposureHeader.read(path)):
            assert exposure.name == "jw01063005002_02101_00001_nrcblong"
            assert exposure.path == path
            assert exposure.detector is Detector.get("BLONG")
            assert exposure.filter.name == "F405N"  # in the pupil wheel; FILTER says F444W
            assert (exposure.start.mjd, exposure.end.mjd, exposure.start.scale) == (59800.25, 59800.26, "utc")
            assert exposure.exposure_time == 837.5 * u.s
            assert exposure.unit == u.MJy / u.sr
            assert (exposure.shape, exposure.subarray, exposure.corner) == ((12, 20), "FULL", (1, 1))
            assert exposure.exposure_type == "NRC_IMAGE"
            assert (exposure.program, exposure.observation, exposure.visit) == ("01063", "005", "002")
            assert exposure.visit_status == "SUCCESSFUL"
            assert exposure.flat_name == "jwst_nircam_flat_0123.fits"
            assert exposure.steps == {"S_FLAT": "COMPLETE", "S_PHOTOM": "COMPLETE", "S_BKDSUB": "SKIPPED"}
            assert exposure.photmjsr == 1.9

    def test_pointing_is_of_the_science_aperture_not_the_guider(self, cal_file):
        pointing = ExposureHeader.read(cal_file()).pointing
        assert (pointing.v2_ref, pointing.v3_ref) == (-85.5 * u.arcsec, -493.25 * u.arcsec)
        assert (pointing.roll_ref, pointing.pa_v3) == (40.5 * u.deg, 40.25 * u.deg)
        assert pointing.v3_idl_y_angle == 0.125 * u.deg

    def test_planes_by_extension_name_in_any_order(self, cal_file, truth):
        path = cal_file()
        with fits.open(path) as hdus:
            fits.HDUList([hdus[0], *list(hdus)[:0:-1]]).writeto(path.with_name("reversed_cal.fits"))
        for file in (path, path.with_name("reversed_cal.fits")):
            exposure = Exposure.read(file)
            for field, extension in PLANES.items():
                image = getattr(exposure, field)
                np.testing.assert_array_equal(image, truth.planes[extension])
                assert image.dtype == (np.uint32 if field == "dq" else np.float32)
                assert image.dtype.isnative

    def test_only_the_planes_asked_for_but_dq_always(self, cal_file):
        exposure = Exposure.read(cal_file(), planes=("area",))
        held = {field for field in PLANES if getattr(exposure, field) is not None}
        assert held == {"data", "dq", "area"}
        with pytest.raises(InvalidInputError, match=r"planes must be among err, dq, .*; got VAR_FLAT, wht"):
            Exposure.read(cal_file(), planes=("VAR_FLAT", "err", "wht"))

    def test_a_plane_that_is_not_there_is_none(self, cal_file):
        exposure = Exposure.read(cal_file(images={"VAR_FLAT": None, "AREA": None}))
        assert (exposure.var_flat, exposure.area) == (None, None)
        assert exposure.err is not None

    def test_the_wcs_of_the_sci_header(self, cal_file):
        wcs = ExposureHeader.read(cal_file()).wcs
        sky = wcs.pixel_to_world(9.5, 5.5)
        assert (sky.ra.deg, sky.dec.deg) == (pytest.approx(53.125), pytest.approx(-27.75))

    @pytest.mark.parametrize("keyword", ["EXPSTART", "EXPEND", "EFFEXPTM", "PROGRAM", "VISITSTA", "R_FLAT"])
    def test_what_a_flat_does_not_need_may_be_missing(self, cal_file, keyword):
        fields = {"EXPSTART": "start", "EXPEND": "end", "EFFEXPTM": "exposure_time", "PROGRAM": "program"}
        fields |= {"VISITSTA": "visit_status", "R_FLAT": "flat_name"}
        header = ExposureHeader.read(cal_file(**{keyword: None}))
        assert getattr(header, fields[keyword]) is None

    def test_a_subarray(self, cal_file):
        header = ExposureHeader.read(cal_file(SUBARRAY="SUB64P", SUBSTRT1=100, SUBSTRT2=200))
        assert (header.subarray, header.corner) == ("SUB64P", (100, 200))

    def test_load_reads_the_pixels_of_a_header(self, cal_file, truth):
        path = cal_file()
        exposure = ExposureHeader.read(path).load(planes=("err",))
        np.testing.assert_array_equal(exposure.data, truth.planes["SCI"])
        assert exposure.area is None
        assert exposure.load() is exposure
        with pytest.raises(InvalidInputError, match="needed a path; exposure 'x' came from no file"):
            attrs.evolve(ExposureHeader.read(path), path=None, name="x").load()


class TestWrite:
    def test_reads_back_what_was_read(self, cal_file, tmp_path):
        exposure = Exposure.read(cal_file())
        exposure.write(tmp_path / "again_cal.fits")
        again = Exposure.read(tmp_path / "again_cal.fits")
        for field in attrs.fields(Exposure):
            if field.alias not in ("name", "path", "header", "sci_header"):
                assert_same(getattr(again, field.name), getattr(exposure, field.name), name=field.name)

    def test_cards_that_still_hold_are_kept_as_they_are(self, cal_file, tmp_path):
        path = cal_file()
        Exposure.read(path).write(tmp_path / "again_cal.fits")
        before, after = fits.getheader(path), fits.getheader(tmp_path / "again_cal.fits")
        changed = {key for key in set(before) | set(after) if before.get(key) != after.get(key)}
        assert changed == {"FILENAME", "DATE", "DATAMODL", "TIMESYS"}
        assert after["R_FLAT"] == "crds://jwst_nircam_flat_0123.fits"
        assert (after["V2_REF"], after["ROLL_REF"]) == (206.407, 39.0)  # the guider's own, untouched
        before, after = fits.getheader(path, "SCI"), fits.getheader(tmp_path / "again_cal.fits", "SCI")
        assert {key for key in set(before) | set(after) if before.get(key) != after.get(key)} == {"EXTVER"}

    def test_reads_back_every_fact_of_an_exposure_from_arrays(self, make_exposure, tmp_path, truth):
        angles = {"ra_ref": 359.5, "dec_ref": 89.25, "roll_ref": 0.1, "v3_idl_y_angle": 1e-7, "pa_v3": 200.1}
        pointing = Pointing(
            **{name: value * u.deg for name, value in angles.items()}, v2_ref=1 * u.arcsec, v3_ref=-2 * u.arcsec
        )
        made = make_exposure(
            **{field: truth.planes[extension] for field, extension in PLANES.items()},
            name="made",
            start=Time("2022-08-09T13:35:44.808"),
            end=Time("2022-08-09T13:49:42.276"),
            exposure_time=14 * u.min,
            unit="kJy/sr",
            subarray="SUB160",
            corner=(7, 11),
            program="01063",
            observation="001",
            visit="002",
            visit_status="SUCCESSFUL",
            flat_name="jwst_nircam_flat_0001.fits",
            steps={"S_FLAT": "COMPLETE", "S_PHOTOM": "COMPLETE", "S_JUMP": "SKIPPED"},
            pointing=pointing,
            photmjsr=0.44,
        )
        made.write(tmp_path / "made_cal.fits")
        again = Exposure.read(tmp_path / "made_cal.fits")
        for field in attrs.fields(Exposure):
            if field.alias not in ("path", "header", "sci_header"):
                assert_same(getattr(again, field.name), getattr(made, field.name), name=field.name)

    def test_the_file_is_a_cal_file(self, make_exposure, tmp_path):
        exposure = make_exposure(err=np.ones((12, 20)), start=Time("2022-08-09T13:35:44.808"), filter="F164N")
        exposure.write(tmp_path / "made_cal.fits")
        with fits.open(tmp_path / "made_cal.fits") as hdus:
            assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "ERR", "DQ"]
            primary, sci = hdus[0].header, hdus["SCI"].header
            expected = {
                "TELESCOP": "JWST",
                "INSTRUME": "NIRCAM",
                "DATAMODL": "ImageModel",
                "FILENAME": "made_cal.fits",
                "DETECTOR": "NRCB4",
                "MODULE": "B",
                "CHANNEL": "SHORT",
                "SCA_NUM": 489,
                "FILTER": "F150W2",
                "PUPIL": "F164N",
                "FASTAXIS": -1,
                "SLOWAXIS": 2,
                "EXP_TYPE": "NRC_IMAGE",
                "SUBARRAY": "FULL",
                "SUBSIZE1": 20,
                "SUBSIZE2": 12,
                "DATE-OBS": "2022-08-09",
                "TIME-OBS": "13:35:44.808",
                "DATE-BEG": "2022-08-09T13:35:44.808",
                "S_FLAT": "COMPLETE",
            }
            assert {key: primary[key] for key in expected} == expected
            assert Time(primary["DATE"]) > Time("2020-01-01")
            assert sci["MJD-BEG"] == primary["EXPSTART"] == pytest.approx(59800.566491, abs=1e-6)
            assert (sci["BUNIT"], hdus["ERR"].header["BUNIT"]) == ("MJy/sr", "MJy/sr")
            assert (hdus["DQ"].header["BITPIX"], hdus["DQ"].header["BZERO"]) == (32, 2**31)
            assert not hdus["DQ"].data.any()
            assert (sci["BITPIX"], hdus["ERR"].header["BITPIX"]) == (-32, -32)

    def test_a_changed_fact_changes_all_cards_that_tell_it(self, cal_file, tmp_path):
        exposure = attrs.evolve(
            Exposure.read(cal_file()),
            detector="NRCALONG",
            filter="F250M",
            flat_name="new_flat.fits",
            exposure_time=5 * u.s,
            start=Time(59900, format="mjd"),
            photmjsr=None,
            visit_status=None,
            steps={"S_FLAT": "COMPLETE", "S_PHOTOM": "COMPLETE", "S_IMPRNT": "COMPLETE"},
        )
        exposure.write(tmp_path / "changed_cal.fits")
        primary, sci = (fits.getheader(tmp_path / "changed_cal.fits", name) for name in ("PRIMARY", "SCI"))
        expected = {"DETECTOR": "NRCALONG", "MODULE": "A", "SCA_NUM": 485, "FILTER": "F250M", "PUPIL": "CLEAR"}
        expected |= {"R_FLAT": "new_flat.fits", "EFFEXPTM": 5, "EXPSTART": 59900, "S_IMPRNT": "COMPLETE"}
        assert {key: primary[key] for key in expected} == expected
        assert primary["DATE-BEG"] == "2022-11-17T00:00:00.000"
        assert (sci["XPOSURE"], sci["MJD-BEG"]) == (5, 59900)
        assert not {"S_BKDSUB", "VISITSTA", "PHOTMJSR"} & (set(primary) | set(sci))
        again = Exposure.read(tmp_path / "changed_cal.fits")
        assert (again.steps, again.photmjsr, again.visit_status) == (exposure.steps, None, None)

    def test_a_changed_pointing_is_written_to_the_sci_header(self, cal_file, tmp_path):
        exposure = Exposure.read(cal_file())
        pointing = attrs.evolve(exposure.pointing, roll_ref=12 * u.deg)
        attrs.evolve(exposure, pointing=pointing).write(tmp_path / "turned_cal.fits")
        assert Exposure.read(tmp_path / "turned_cal.fits").pointing == pointing
        assert fits.getheader(tmp_path / "turned_cal.fits")["ROLL_REF"] == 39.0

    def test_what_is_no_longer_known_of_the_pointing_is_not_written(self, cal_file, tmp_path):
        exposure = Exposure.read(cal_file())
        for pointing in (attrs.evolve(exposure.pointing, pa_v3=None), None):
            attrs.evolve(exposure, pointing=pointing).write(tmp_path / "less_cal.fits", overwrite=True)
            assert Exposure.read(tmp_path / "less_cal.fits").pointing == pointing

    def test_a_wcs_given_as_header_is_written(self, make_exposure, tmp_path):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [5, 6]
        wcs.wcs.crval, wcs.wcs.cdelt = [150.1, 2.2], [-1e-5, 1e-5]
        made = make_exposure(sci_header=wcs.to_header())
        made.write(tmp_path / "made_cal.fits")
        again = Exposure.read(tmp_path / "made_cal.fits").wcs
        assert again.pixel_to_world(0, 0).separation(wcs.pixel_to_world(0, 0)) < 1e-9 * u.arcsec

    def test_of_another_shape_than_its_header_said(self, cal_file, tmp_path):
        path = cal_file()
        image = np.ones((6, 8))
        small = Exposure(data=image, detector="BLONG", filter="F405N", header=fits.getheader(path))
        small.write(tmp_path / "small_cal.fits")
        again = Exposure.read(tmp_path / "small_cal.fits")
        assert (again.shape, again.header["SUBSIZE1"], again.header["SUBSIZE2"]) == ((6, 8), 8, 6)

    def test_never_over_a_file_unless_asked(self, make_exposure, tmp_path):
        path = tmp_path / "made_cal.fits"
        make_exposure().write(path)
        with pytest.raises(InvalidInputError, match=r"made_cal.fits: exists already .*overwrite=True"):
            make_exposure(data=np.zeros((2, 2))).write(path)
        assert Exposure.read(path).shape == (12, 20)
        make_exposure(data=np.zeros((2, 2))).write(path, overwrite=True)
        assert Exposure.read(path).shape == (2, 2)
        assert [file.name for file in tmp_path.iterdir()] == ["made_cal.fits"]

    @pytest.mark.parametrize(
        ("facts", "text"),
        [
            ({"unit": "DN/s"}, "needed a _cal image, flat-fielded and in MJy/sr, .*; got unit DN / s"),
            ({"steps": {"S_PHOTOM": "COMPLETE"}}, ".*; got unit MJy / sr, no S_FLAT"),
            ({"exposure_type": "NRC_TACQ"}, r"EXP_TYPE must be NRC_IMAGE \(imaging\); got NRC_TACQ"),
        ],
    )
    def test_what_could_not_be_read_back_is_not_written(self, make_exposure, tmp_path, facts, text):
        with pytest.raises(InvalidInputError, match=rf"Exposure.write to .*made_cal.fits: {text}"):
            make_exposure(**facts).write(tmp_path / "made_cal.fits")
        assert list(tmp_path.iterdir()) == []
