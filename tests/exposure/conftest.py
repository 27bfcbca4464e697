"""A ``_cal`` file made by hand with astropy, card by card, whose every value is known; and exposures from arrays."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits

from nircam_flats import Exposure

SHAPE = (12, 20)  # not square, so that a transposed axis is seen

PRIMARY = {
    "TELESCOP": "JWST",
    "INSTRUME": "NIRCAM",
    "DETECTOR": "NRCBLONG",
    "MODULE": "B",
    "CHANNEL": "LONG",
    "FILTER": "F444W",
    "PUPIL": "F405N",
    "EXP_TYPE": "NRC_IMAGE",
    "EXPSTART": 59800.25,
    "EXPEND": 59800.26,
    "EFFEXPTM": 837.5,
    "SUBARRAY": "FULL",
    "SUBSTRT1": 1,
    "SUBSTRT2": 1,
    "SUBSIZE1": SHAPE[1],
    "SUBSIZE2": SHAPE[0],
    "PROGRAM": "01063",
    "OBSERVTN": "005",
    "VISIT": "002",
    "VISITSTA": "SUCCESSFUL",
    "R_FLAT": "crds://jwst_nircam_flat_0123.fits",
    "S_FLAT": "COMPLETE",
    "S_PHOTOM": "COMPLETE",
    "S_BKDSUB": "SKIPPED",
    # the guider's aperture, which is not the science aperture
    "V2_REF": 206.407,
    "V3_REF": -697.765,
    "ROLL_REF": 39.0,
    "V3I_YANG": -1.2508,
    "VPARITY": -1,
    "TITLE": "A card that the library does not know",
}
SCI = {
    "BUNIT": "MJy/sr",
    "PHOTMJSR": 1.9,
    "RA_REF": 53.125,
    "DEC_REF": -27.75,
    "ROLL_REF": 40.5,
    "V2_REF": -85.5,
    "V3_REF": -493.25,
    "V3I_YANG": 0.125,
    "VPARITY": -1,
    "RA_V1": 53.25,
    "DEC_V1": -27.5,
    "PA_V3": 40.25,
    "WCSAXES": 2,
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRPIX1": 10.5,
    "CRPIX2": 6.5,
    "CRVAL1": 53.125,
    "CRVAL2": -27.75,
    "CDELT1": -1.75e-5,
    "CDELT2": 1.75e-5,
    "CUNIT1": "deg",
    "CUNIT2": "deg",
    "MJD-BEG": 59800.25,
}


def planes(shape=SHAPE):
    """Return images, all different, with the names of the extensions that hold them."""
    rng = np.random.default_rng(444)
    images = {name: rng.normal(1, 0.1, shape).astype("f4") for name in ("SCI", "ERR", "AREA")}
    images |= {name: rng.uniform(0, 1, shape).astype("f4") for name in ("VAR_POISSON", "VAR_RNOISE", "VAR_FLAT")}
    images["DQ"] = rng.integers(0, 2**32, shape, dtype=np.uint32)
    images["SCI"][3, 7] = np.nan
    return images


@pytest.fixture
def cal_file(tmp_path):
    """Make a ``_cal`` file: ``cal_file(name, **changes)``.

    A change is a value for a keyword of the primary header, None to remove it; ``sci`` holds the same for the SCI
    header; ``images`` replaces images by extension name, None removes one.
    """

    def make(name="jw01063005002_02101_00001_nrcblong_cal.fits", *, sci=None, images=None, **primary):
        cards = {key: value for key, value in (PRIMARY | primary).items() if value is not None}
        sci_cards = {key: value for key, value in (SCI | (sci or {})).items() if value is not None}
        hdus = fits.HDUList([fits.PrimaryHDU()])
        hdus[0].header.update(cards)
        for extension, pixels in (planes() | (images or {})).items():
            if pixels is not None:
                hdus.append(fits.ImageHDU(pixels, name=extension))
                hdus[-1].header.update(sci_cards if extension == "SCI" else {})
        path = tmp_path / name
        hdus.writeto(path, overwrite=True)
        return path

    return make


@pytest.fixture
def truth():
    """What `cal_file` writes."""
    return SimpleNamespace(shape=SHAPE, primary=dict(PRIMARY), sci=dict(SCI), planes=planes())


@pytest.fixture
def make_exposure():
    """Make an exposure from arrays: NRCB4 in F200W, a constant image, unless said otherwise."""

    def make(**facts):
        defaults = {"detector": "B4", "filter": "F200W", "data": np.ones(SHAPE)}
        return Exposure(**(defaults | facts))

    return make
