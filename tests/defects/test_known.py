"""Which pixels were dead before, told in any of the ways, and the MASK file that tells it to others."""

from types import SimpleNamespace

import attrs
import numpy as np
import pytest
from astropy.io import fits

from nircam_flats import (
    DQ,
    DeadPixelMap,
    Detector,
    Exposure,
    ExposureSet,
    FlatReference,
    FlatsWarning,
    InvalidInputError,
)
from nircam_flats.defects.known import known_flags

SHAPE = (24, 32)
B1 = Detector.get("B1")
DATES = {"useafter": "2022-05-01T00:00:00", "pedigree": "INFLIGHT 2022-05-01 2022-05-02"}


@pytest.fixture
def dq():
    dq = np.zeros(SHAPE, np.uint32)
    dq[3, 4], dq[5, 6], dq[7, 8] = DQ.DEAD | DQ.DO_NOT_USE, DQ.LOW_QE, DQ.HOT
    return dq


@pytest.fixture
def mask_file(dq, tmp_path):
    """A MASK file of a map of two new pixels."""
    dead = np.zeros(SHAPE, bool)
    dead[10, 10:12] = True
    found = attrs.evolve(DeadPixelMap.from_image(dead, detector="B1"), known_dq=dq)
    found.write_mask(tmp_path / "mask.fits", author="somebody", **DATES)
    return tmp_path / "mask.fits"


def exposure(dq, detector="B1"):
    return Exposure(data=np.ones(SHAPE), dq=dq, detector=detector, filter="F200W", name=f"jw01 {detector}")


def test_of_anything_with_flags_the_bits_of_dead_pixels_count(dq):
    expected = dq & np.uint32(DQ.DEAD | DQ.LOW_QE)
    flat = FlatReference(data=np.ones(SHAPE), dq=dq, detector="B1", filter="F200W")
    for known in (flat, exposure(dq), SimpleNamespace(dq=dq)):
        np.testing.assert_array_equal(known_flags(known, B1, SHAPE), expected)


def test_of_exposures_those_of_the_detector_count(dq):
    other = np.zeros(SHAPE, np.uint32)
    other[20, 20] = DQ.DEAD
    exposures = ExposureSet.from_exposures([exposure(dq), exposure(other), exposure(~dq, "A1")])
    expected = (dq | other) & np.uint32(DQ.DEAD | DQ.LOW_QE)
    np.testing.assert_array_equal(known_flags(exposures, B1, SHAPE), expected)


def test_of_a_boolean_image(dq):
    np.testing.assert_array_equal(known_flags(dq > 0, B1, SHAPE), np.where(dq > 0, DQ.DEAD, 0))
    assert known_flags(None, B1, SHAPE).sum() == 0


def test_a_mask_file_tells_all_its_flags(mask_file, dq):
    expected = dq.copy()
    expected[10, 10:12] = DQ.DEAD | DQ.DO_NOT_USE
    np.testing.assert_array_equal(known_flags(mask_file, B1, SHAPE), expected)
    known = DeadPixelMap.from_image(np.zeros(SHAPE, bool), detector="B1", known=mask_file)
    assert known.counts["KNOWN"] == 4


def test_keywords_of_a_mask_file(mask_file):
    with fits.open(mask_file) as hdus:
        header = hdus[0].header
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "DQ", "DQ_DEF"]
        assert header["REFTYPE"] == "MASK"
        assert header["DATAMODL"] == "MaskModel"
        assert header["USEAFTER"] == "2022-05-01T00:00:00"
        assert header["PEDIGREE"] == "INFLIGHT 2022-05-01 2022-05-02"
        assert any("dead pixels of another origin" in line for line in header["HISTORY"])


def test_dates_come_from_the_exposures(stack, tmp_path):
    DeadPixelMap.from_delta(stack.grey).write_mask(tmp_path / "mask.fits", author="somebody")
    header = fits.getheader(tmp_path / "mask.fits")
    assert header["PEDIGREE"] == "INFLIGHT 2022-05-01 2022-05-01"
    assert header["USEAFTER"] == "2022-05-01T10:00:00"


def test_a_mask_without_dates_or_author(stack, tmp_path):
    undated = DeadPixelMap.from_image(stack.truth.dead, detector="B1")
    with pytest.raises(InvalidInputError, match=r"no dates; a MASK file needs useafter=\.\.\. and pedigree"):
        undated.write_mask(tmp_path / "mask.fits", author="somebody")
    with pytest.raises(InvalidInputError, match=r"mask.fits: .* cannot be written: author \(AUTHOR\) must be given"):
        undated.write_mask(tmp_path / "mask.fits", author="", **DATES)
    with pytest.raises(InvalidInputError, match=r"pedigree \(PEDIGREE\) must be 'INFLIGHT .*; got 'in flight'"):
        undated.write_mask(tmp_path / "mask.fits", author="somebody", **DATES | {"pedigree": "in flight"})
    with pytest.raises(InvalidInputError, match=r"description \(DESCRIP\) must be printable ASCII"):
        undated.write_mask(tmp_path / "mask.fits", author="somebody", description="dead µm", **DATES)
    with pytest.raises(
        InvalidInputError, match=r"mask.fits: a MASK reference file needs useafter as a date, .*; got 'x'"
    ):
        undated.write_mask(tmp_path / "mask.fits", author="somebody", **DATES | {"useafter": "x"})
    assert not list(tmp_path.iterdir())


def spoiled(path, tmp_path, **changes):
    with fits.open(path) as hdus:
        for keyword, value in changes.items():
            hdus[0].header[keyword] = value
        hdus.writeto(tmp_path / "spoiled.fits")
    return tmp_path / "spoiled.fits"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"REFTYPE": "FLAT"}, r"spoiled.fits: needed a NIRCam MASK reference file \(REFTYPE MASK\); got REFTYPE FLAT"),
        ({"INSTRUME": "MIRI"}, "got REFTYPE MASK of MIRI"),
        ({"DETECTOR": "NRCC1"}, "spoiled.fits: Detector must be one of"),
        ({"DETECTOR": "NRCA1"}, "known must be of detector NRCB1; got .*spoiled.fits of NRCA1"),
    ],
)
def test_another_file(mask_file, tmp_path, changes, message):
    with pytest.raises(InvalidInputError, match=message):
        known_flags(spoiled(mask_file, tmp_path, **changes), B1, SHAPE)


def test_flags_without_a_name_are_told(mask_file, tmp_path):
    with fits.open(mask_file) as hdus:
        hdus["DQ_DEF"].data["NAME"][1] = "MOODY"
        hdus.writeto(tmp_path / "odd.fits")
    with pytest.warns(FlatsWarning, match="'MOODY' is left out, set at 3 pixels"):
        known_flags(tmp_path / "odd.fits", B1, SHAPE)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (np.zeros(SHAPE), "known must be a MASK reference file, .* got an array of float64"),
        (7, "got a int"),
        (exposure(np.zeros(SHAPE, np.uint32), "A1"), "known must be of detector NRCB1; got Exposure of NRCA1"),
        (np.zeros((3, 3), bool), r"shape of the delta skyflat, \(24, 32\); the boolean image: \(3, 3\)"),
        (ExposureSet.from_exposures([exposure(None, "A1")]), "got an ExposureSet without any"),
        (
            ExposureSet.from_exposures([exposure(None)]),
            "jw01 B1: flags of shape .* are needed to know dead",
        ),
    ],
)
def test_bad_input(known, message):
    with pytest.raises(InvalidInputError, match=message):
        known_flags(known, B1, SHAPE)


@pytest.mark.jwst
def test_the_pipeline_reads_the_mask(mask_file, dq):
    datamodels = pytest.importorskip("stdatamodels.jwst.datamodels", reason="needs the extra 'jwst'")
    with datamodels.MaskModel(mask_file, strict_validation=True, pass_invalid_values=False) as model:
        model.validate()
        expected = dq.copy()
        expected[10, 10:12] = DQ.DEAD | DQ.DO_NOT_USE
        np.testing.assert_array_equal(model.dq, expected)
        assert (model.meta.reftype, model.meta.instrument.detector) == ("MASK", "NRCB1")
