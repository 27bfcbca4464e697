"""Corners of images written by the JWST pipeline's own software, against astropy reading the same bytes."""

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS

from nircam_flats import Exposure, ExposureHeader, ExposureSet, FlatsWarning
from nircam_flats.testing import assert_same

NAMES = ["jw01234001001_02103_00001_nrcb4_corner256", "jw01234001001_02103_00001_nrcalong_corner256"]
FACTS = {
    NAMES[0]: ("NRCB4", "F200W", "jwst_nircam_flat_9002.fits", -54.386704, 40.00880495480243),
    NAMES[1]: ("NRCALONG", "F444W", "jwst_nircam_flat_9004.fits", 85.92656, 39.99013639113531),
}
PLANES = {"data": "SCI", "err": "ERR", "dq": "DQ", "area": "AREA"}
PLANES |= {name.lower(): name for name in ("VAR_POISSON", "VAR_RNOISE", "VAR_FLAT")}


@pytest.fixture(params=NAMES)
def path(request, real_data):
    return real_data / "format" / f"{request.param}_cal.fits"


def test_pixels_are_those_in_the_file(path):
    exposure = Exposure.read(path)
    with fits.open(path) as hdus:
        for field, extension in PLANES.items():
            image = getattr(exposure, field)
            expected = hdus[extension].data
            assert image.dtype == expected.dtype.newbyteorder("=")
            assert image.tobytes() == expected.astype(image.dtype).tobytes()  # NaN by its bits, too
    assert exposure.dq.dtype == np.uint32
    assert exposure.dq.max() >= 2**31  # REFERENCE_PIXEL, the highest bit, survived


def test_facts_are_those_in_the_file(path):
    header = ExposureHeader.read(path)
    detector, filter, flat_name, v2_ref, roll_ref = FACTS[header.name]
    assert (header.detector.name, header.filter.name, header.flat_name) == (detector, filter, flat_name)
    assert header.pointing.v2_ref == v2_ref * u.arcsec
    assert header.pointing.roll_ref == roll_ref * u.deg
    assert abs(header.start - Time("2022-08-09T13:35:44.808")) < 1 * u.ms
    assert header.exposure_time == 837.46806 * u.s
    assert (header.program, header.observation, header.visit) == ("01234", "001", "001")
    assert header.steps["S_FLAT"] == "COMPLETE"
    assert header.shape == (256, 256)


def test_the_wcs_has_the_distortion(path):
    wcs = ExposureHeader.read(path).wcs
    with fits.open(path) as hdus:
        expected = WCS(hdus["SCI"].header, fix=False)
        x, y = np.array([0.0, 255.0, 100.0]), np.array([0.0, 200.0, 255.0])
        np.testing.assert_array_equal(wcs.all_pix2world(x, y, 0), expected.all_pix2world(x, y, 0))
    assert wcs.sip is not None
    ra, dec = wcs.wcs_world2pix(*wcs.all_pix2world(x, y, 0), 0)
    assert np.hypot(ra - x, dec - y).max() > 1  # without SIP it would be off by pixels


def test_writing_changes_three_things(path, tmp_path):
    exposure = Exposure.read(path)
    exposure.write(tmp_path / path.name)
    with fits.open(path) as before, fits.open(tmp_path / path.name) as after:
        del before["ASDF"]
        difference = fits.FITSDiff(before, after, ignore_keywords=["DATE"])
        assert difference.identical, difference.report()
    assert_same(Exposure.read(tmp_path / path.name).without_pixels().pointing, exposure.pointing)


def test_the_set_of_all_files_leaves_out_the_flats(real_data):
    with pytest.warns(FlatsWarning, match="2 of 4 files cannot be used .*REFTYPE FLAT"):
        exposures = ExposureSet.read(real_data / "format" / "*.fits")
    assert [member.name for member in exposures] == NAMES[::-1]
    assert [item.name for item in exposures.excluded] == [
        "jwst_nircam_flat_9002_nrcb4_f200w_corner256.fits",
        "jwst_nircam_flat_9004_nrcalong_f444w_corner256.fits",
    ]
    assert exposures.check() == ()
