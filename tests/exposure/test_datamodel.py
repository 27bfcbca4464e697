"""Exposures against stdatamodels, the pipeline's own reader and writer, both ways."""

from importlib.util import find_spec

import attrs
import numpy as np
import pytest
from astropy import units as u
from astropy.time import Time

from nircam_flats import DQ, Exposure, InvalidInputError
from nircam_flats.testing import assert_same

pytestmark = [
    pytest.mark.jwst,
    pytest.mark.skipif(find_spec("stdatamodels") is None, reason="needs stdatamodels, of the extra 'jwst'"),
]

SHAPE = (24, 40)
PLANES = ("data", "err", "dq", "area", "var_poisson", "var_rnoise", "var_flat")


@pytest.fixture
def datamodels():
    from stdatamodels.jwst import datamodels

    return datamodels


@pytest.fixture
def model(datamodels):
    """An ImageModel made field by field, as a user of the pipeline would."""
    rng = np.random.default_rng(7)
    model = datamodels.ImageModel(SHAPE)
    for name in PLANES:
        setattr(model, name, rng.normal(1, 0.1, SHAPE).astype("f4"))
    dq = rng.integers(0, 2**31, SHAPE, dtype=np.uint32)
    dq[0] = DQ.REFERENCE_PIXEL | DQ.DO_NOT_USE
    model.dq = dq
    meta = model.meta
    meta.filename = "jw01063001001_02101_00003_nrcalong_cal.fits"
    meta.telescope, meta.bunit_data, meta.bunit_err = "JWST", "MJy/sr", "MJy/sr"
    meta.instrument.name, meta.instrument.detector, meta.instrument.module = "NIRCAM", "NRCALONG", "A"
    meta.instrument.filter, meta.instrument.pupil, meta.instrument.channel = "F322W2", "F323N", "LONG"
    meta.exposure.type = "NRC_IMAGE"
    meta.exposure.start_time, meta.exposure.end_time = 59700.5, 59700.51
    meta.exposure.exposure_time = 311.5
    meta.observation.program_number, meta.observation.observation_number = "01063", "001"
    meta.observation.visit_number, meta.visit.status = "001", "SUCCESSFUL"
    meta.subarray.name, meta.subarray.xstart, meta.subarray.ystart = "FULL", 1, 1
    meta.subarray.xsize, meta.subarray.ysize = SHAPE[1], SHAPE[0]
    meta.cal_step.flat_field = meta.cal_step.photom = "COMPLETE"
    meta.ref_file.flat.name = "crds://jwst_nircam_flat_0555.fits"
    meta.photometry.conversion_megajanskys = 0.5
    meta.pointing.ra_v1, meta.pointing.dec_v1, meta.pointing.pa_v3 = 10.5, -30.25, 100.125
    wcsinfo = meta.wcsinfo
    wcsinfo.ra_ref, wcsinfo.dec_ref, wcsinfo.roll_ref = 10.25, -30.5, 100.25
    wcsinfo.v2_ref, wcsinfo.v3_ref, wcsinfo.v3yangle, wcsinfo.vparity = 85.9, -493.5, -0.06, -1
    meta.guidestar.fgs_v2_ref, meta.guidestar.fgs_v3_ref = 206.4, -697.7
    yield model
    model.close()


def assert_holds(exposure, model):
    """Check that the exposure is what the fixture put into the model."""
    for name in PLANES:
        image = getattr(exposure, name)
        np.testing.assert_array_equal(image, getattr(model, name))
        assert image.dtype == (np.uint32 if name == "dq" else np.float32)
    assert exposure.name == "jw01063001001_02101_00003_nrcalong"
    assert (exposure.detector.name, exposure.filter.name) == ("NRCALONG", "F323N")
    assert (exposure.start.mjd, exposure.end.mjd) == (59700.5, 59700.51)
    assert exposure.exposure_time == 311.5 * u.s
    assert exposure.unit == u.MJy / u.sr
    assert (exposure.program, exposure.observation, exposure.visit) == ("01063", "001", "001")
    assert exposure.flat_name == "jwst_nircam_flat_0555.fits"
    assert exposure.steps == {"S_FLAT": "COMPLETE", "S_PHOTOM": "COMPLETE"}
    assert exposure.photmjsr == 0.5
    assert exposure.pointing.v2_ref == 85.9 * u.arcsec
    assert (exposure.pointing.roll_ref, exposure.pointing.pa_v3) == (100.25 * u.deg, 100.125 * u.deg)


def test_reads_a_file_that_stdatamodels_wrote(model, tmp_path):
    path = tmp_path / model.meta.filename
    model.save(path)
    assert_holds(Exposure.read(path), model)


def test_from_datamodel(model, tmp_path):
    date = model.meta.date
    exposure = Exposure.from_datamodel(model)
    assert_holds(exposure, model)
    assert exposure.path is None
    assert (model.meta.filename, model.meta.date) == (f"{exposure.name}_cal.fits", date)  # the model stays as it was
    model.data[3, 4] = 99
    assert exposure.data[3, 4] != 99


def test_from_datamodel_equals_reading_its_file(model, tmp_path):
    path = tmp_path / model.meta.filename
    model.save(path)
    read = attrs.evolve(Exposure.read(path), path=None)
    made = Exposure.from_datamodel(model)
    for field in attrs.fields(Exposure):
        if field.alias != "header":  # DATE differs
            assert_same(getattr(made, field.name), getattr(read, field.name), name=field.name)


def test_from_datamodel_without_a_name(model):
    model.meta.filename = None
    assert Exposure.from_datamodel(model).name == ""


def test_from_datamodel_refuses_what_reading_refuses(model, datamodels):
    model.meta.instrument.name = "NIRISS"
    with pytest.raises(InvalidInputError, match=r"nrcalong_cal.fits: INSTRUME must be NIRCAM; got NIRISS"):
        Exposure.from_datamodel(model)
    with pytest.raises(InvalidInputError, match=r"SCI must hold an image of 2 dim|extension|TELESCOP"):
        Exposure.from_datamodel(datamodels.CubeModel((2, 4, 4)))
    with pytest.raises(InvalidInputError, match=r"needed an ImageModel of stdatamodels; got ndarray"):
        Exposure.from_datamodel(np.ones((4, 4)))


def test_stdatamodels_opens_what_we_wrote(model, datamodels, tmp_path):
    exposure = Exposure.from_datamodel(model)
    exposure.write(tmp_path / "ours_cal.fits")
    with datamodels.open(tmp_path / "ours_cal.fits") as opened:
        assert type(opened) is datamodels.ImageModel
        for name in PLANES:
            np.testing.assert_array_equal(getattr(opened, name), getattr(exposure, name))
        assert opened.meta.instrument.pupil == "F323N"
        assert opened.meta.wcsinfo.v2_ref == 85.9
        assert opened.meta.cal_step.flat_field == "COMPLETE"
        opened.validate()


def test_stdatamodels_opens_an_exposure_from_arrays(datamodels, tmp_path):
    exposure = Exposure(
        data=np.full(SHAPE, 2.5),
        err=np.full(SHAPE, 0.5),
        dq=np.full(SHAPE, DQ.REFERENCE_PIXEL, np.uint32),
        detector="B3",
        filter="F164N",
        start=Time("2022-08-09T13:35:44.808"),
        end=Time("2022-08-09T13:49:42.276"),
        exposure_time=837 * u.s,
        program="01063",
        observation="001",
        visit="001",
        flat_name="jwst_nircam_flat_0555.fits",
        photmjsr=1.5,
    )
    exposure.write(tmp_path / "made_cal.fits")
    with datamodels.open(tmp_path / "made_cal.fits") as opened:
        assert type(opened) is datamodels.ImageModel
        np.testing.assert_array_equal(opened.data, exposure.data)
        np.testing.assert_array_equal(opened.dq, exposure.dq)
        meta = opened.meta
        assert (meta.instrument.detector, meta.instrument.channel) == ("NRCB3", "SHORT")
        assert (meta.instrument.filter, meta.instrument.pupil) == ("F150W2", "F164N")
        assert (meta.subarray.fastaxis, meta.subarray.slowaxis) == (1, -2)
        assert (meta.subarray.xsize, meta.subarray.ysize) == (SHAPE[1], SHAPE[0])
        assert (meta.observation.date, meta.observation.time) == ("2022-08-09", "13:35:44.808")
        assert meta.exposure.exposure_time == meta.exposure.effective_exposure_time == 837
        assert meta.ref_file.flat.name == "jwst_nircam_flat_0555.fits"
        assert meta.photometry.conversion_megajanskys == 1.5
        assert meta.bunit_data == meta.bunit_err == "MJy/sr"
        opened.validate()
