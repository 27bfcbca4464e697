"""Files that cannot be used: each is refused with its name, what was needed and what came."""

import numpy as np
import pytest
from astropy.io import fits

from nircam_flats import Exposure, ExposureHeader, InvalidInputError

SHAPE = (12, 20)


@pytest.fixture(params=[Exposure, ExposureHeader], ids=["Exposure", "ExposureHeader"])
def refused(request):
    """Check that a file is refused by ``read`` with these words after its name."""

    def check(path, text):
        with pytest.raises(InvalidInputError, match=rf"{path.name}: .*{text}"):
            request.param.read(path)

    return check


KEYWORDS = [
    ({"TELESCOP": "HST"}, "TELESCOP must be JWST; got HST"),
    ({"TELESCOP": None}, "keyword TELESCOP is needed in the primary header; it is missing"),
    ({"INSTRUME": "NIRISS"}, "INSTRUME must be NIRCAM; got NIRISS"),
    ({"INSTRUME": "MIRI", "EXP_TYPE": "MIR_IMAGE"}, "INSTRUME must be NIRCAM; got MIRI"),
    ({"EXP_TYPE": "NRC_WFSS"}, r"EXP_TYPE must be NRC_IMAGE \(imaging\); got NRC_WFSS"),
    ({"EXP_TYPE": "NRC_GRISM", "PUPIL": "GRISMR"}, "EXP_TYPE must be NRC_IMAGE .*; got NRC_GRISM"),
    ({"EXP_TYPE": "NRC_TSGRISM"}, "EXP_TYPE must be NRC_IMAGE .*; got NRC_TSGRISM"),
    ({"EXP_TYPE": "NRC_TACQ"}, "EXP_TYPE must be NRC_IMAGE .*; got NRC_TACQ"),
    ({"EXP_TYPE": "NRC_CORON"}, "EXP_TYPE must be NRC_IMAGE .*; got NRC_CORON"),
    ({"EXP_TYPE": None}, "keyword EXP_TYPE is needed"),
    ({"REFTYPE": "FLAT"}, r"needed a _cal image; got a reference file \(REFTYPE FLAT\)"),
    ({"S_RESAMP": "COMPLETE"}, r"needed a _cal image, in detector pixels; got a resampled mosaic \(_i2d\)"),
    ({"S_FLAT": None}, "needed a _cal image, flat-fielded and in MJy/sr, .*; got unit MJy / sr, no S_FLAT; a _rate"),
    ({"S_PHOTOM": None}, "got unit MJy / sr, no S_PHOTOM"),
    ({"DETECTOR": None}, "keyword DETECTOR is needed in the primary header; it is missing"),
    ({"DETECTOR": "NRCB6"}, "keyword DETECTOR: Detector must be one of NRCA1.*; got 'NRCB6'"),
    ({"DETECTOR": "MULTIPLE"}, "got 'MULTIPLE'"),
    ({"DETECTOR": "NRCB4"}, r"Exposure.filter must be a SW filter, as NRCB4 has; got F405N \(LW\)"),
    ({"FILTER": None}, "keyword FILTER is needed"),
    ({"PUPIL": None}, "keyword PUPIL is needed"),
    ({"PUPIL": "MASKBAR"}, "keyword FILTER, PUPIL: FILTER and PUPIL must select .*; got F444W and MASKBAR"),
    ({"EXPSTART": "yesterday"}, "keyword EXPSTART in the primary header must be of type float; got 'yesterday'"),
    ({"EXPEND": True}, "keyword EXPEND in the primary header must be of type float; got True"),
    ({"EFFEXPTM": "long"}, "keyword EFFEXPTM .* must be of type float; got 'long'"),
    ({"SUBARRAY": None}, "keyword SUBARRAY is needed"),
    ({"SUBSTRT1": 1.5}, "keyword SUBSTRT1 .* must be of type int; got 1.5"),
    ({"SUBSTRT2": None}, "keyword SUBSTRT2 is needed"),
    ({"SUBSTRT1": 0}, r"corner must be \(x, y\), whole numbers from 1 to \(2048, 2048\); got \(0, 1\)"),
    ({"sci": {"BUNIT": None}}, "keyword BUNIT is needed in the SCI header; it is missing"),
    ({"sci": {"BUNIT": "parrots"}}, "keyword SCI BUNIT: .*parrots"),
    ({"sci": {"BUNIT": "DN/s"}, "S_FLAT": None, "S_PHOTOM": None}, r"got unit DN / s, no S_FLAT, no S_PHOTOM; a _rate"),
    ({"sci": {"BUNIT": "DN/s"}}, "got unit DN / s; a _rate file becomes one by .*calwebb_image2"),
    ({"sci": {"PHOTMJSR": "bright"}}, "keyword PHOTMJSR in the SCI header must be of type float; got 'bright'"),
    ({"sci": {"RA_REF": "east"}}, "keyword RA_REF in the SCI header must be of type float; got 'east'"),
    ({"sci": {"ROLL_REF": None}}, "keyword ROLL_REF is needed in the SCI header; it is missing"),
]


@pytest.mark.parametrize(("changes", "text"), KEYWORDS, ids=[text[:40] for _, text in KEYWORDS])
def test_keywords(cal_file, refused, changes, text):
    refused(cal_file(**changes), text)


IMAGES = [
    ({"SCI": None}, "extension SCI is needed; the file has PRIMARY, ERR"),
    ({"DQ": None}, "extension DQ is needed; the file has PRIMARY, SCI, ERR"),
    ({"WHT": np.ones(SHAPE, "f4")}, r"got a resampled mosaic \(_i2d\); give the _cal files it was made of"),
    ({"SCI": np.ones((3, *SHAPE), "f4")}, r"extension SCI must hold an image of 2 dimensions; got shape \(3, 12, 20\)"),
    ({"DQ": np.zeros((20, 12), "u4")}, r"extension DQ must have the shape of SCI, \(12, 20\); got \(20, 12\)"),
    ({"VAR_FLAT": np.zeros((1, 1), "f4")}, r"extension VAR_FLAT must have the shape of SCI, .*; got \(1, 1\)"),
    ({"DQ": np.zeros(SHAPE, "f4")}, "extension DQ must hold integers; got floating-point numbers"),
]


@pytest.mark.parametrize(("images", "text"), IMAGES, ids=[text[:40] for _, text in IMAGES])
def test_images(cal_file, refused, images, text):
    refused(cal_file(images=images), text)


def test_a_table_in_place_of_the_image(cal_file, refused):
    path = cal_file(images={"SCI": None})
    fits.append(path, np.zeros(3, [("x", "f4")]), fits.Header({"EXTNAME": "SCI"}))
    refused(path, "extension SCI must hold an image of 2 dimensions; got no image")


def test_not_there(tmp_path, refused):
    refused(tmp_path / "none_cal.fits", "needed a FITS file; got nothing there")


def test_a_folder(tmp_path, refused):
    refused(tmp_path, "needed a FITS file; got a folder")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "needed a FITS file; got an empty file"),
        (b"<html><title>503 Service Unavailable</title></html>", "needed a FITS file; got something else"),
        (np.random.default_rng(1).bytes(100_000), "needed a FITS file; got something else"),
        (b"SIMPLE  =                    T", "needed a whole, readable FITS file; got a header without its END"),
    ],
    ids=["empty", "html", "noise", "one card"],
)
def test_not_fits(tmp_path, refused, content, text):
    path = tmp_path / "bad_cal.fits"
    path.write_bytes(content)
    refused(path, text)


def test_truncated_anywhere(cal_file, refused):
    path = cal_file()
    whole = path.read_bytes()
    assert len(whole) % 2880 == 0
    for n_bytes in [*range(1440, len(whole), 2880), len(whole) - 1]:
        path.write_bytes(whole[:n_bytes])
        refused(path, "needed a whole, readable FITS file; got ")
    path.write_bytes(whole)
    ExposureHeader.read(path)


def test_nothing_but_the_first_header(cal_file, refused):
    path = cal_file()
    header = len(fits.getheader(path).tostring())
    path.write_bytes(path.read_bytes()[:header])
    refused(path, "extension SCI is needed; the file has PRIMARY")


@pytest.mark.parametrize(
    ("keyword", "card", "text"),
    [
        (b"EXPSTART", b"EXPSTART= 'never ends", "needed readable headers; got .*EXPSTART"),
        (b"EXPSTART", b"EXPSTART= 5 9 8 0 0", "needed readable headers; got .*EXPSTART"),
        (b"DETECTOR", b"DETECTOR= 'NRCB\xe4'", "needed a whole, readable FITS file; got 'ascii' codec can't decode"),
        (b"BITPIX", b"BITPIX  = none", "needed a whole, readable FITS file; got invalid literal for int"),
        (b"NAXIS", b"NOAXIS  = 2", "needed a whole, readable FITS file; got .*NAXIS"),
    ],
    ids=["unclosed text", "broken number", "not ASCII", "broken BITPIX", "no NAXIS"],
)
def test_a_damaged_card(cal_file, refused, keyword, card, text):
    path = cal_file()
    content = path.read_bytes()
    start = content.index(keyword)
    path.write_bytes(content[:start] + card.ljust(80) + content[start + 80 :])
    refused(path, text)
