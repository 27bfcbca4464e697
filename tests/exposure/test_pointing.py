"""Pointing: read from the right header, checked, and written back."""

import re

import attrs
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits

from nircam_flats import Detector, Exposure, ExposureSet, InvalidInputError, Pointing
from nircam_flats.exposure import ExposureHeader
from nircam_flats.simulation.geometry import FrameGeometry
from nircam_flats.testing import check_value

CARDS = {
    "RA_REF": 10.5,
    "DEC_REF": -20.25,
    "ROLL_REF": 300.0,
    "V2_REF": -54.5,
    "V3_REF": -525.75,
    "V3I_YANG": -0.25,
    "VPARITY": -1,
    "RA_V1": 10.75,
    "DEC_V1": -20.5,
    "PA_V3": 299.5,
}


@pytest.fixture
def pointing():
    return Pointing.from_header(fits.Header(CARDS), "file")


def test_each_keyword_reaches_its_field_in_its_unit(pointing):
    assert pointing == Pointing(
        ra_ref=10.5 * u.deg,
        dec_ref=-20.25 * u.deg,
        roll_ref=300 * u.deg,
        v2_ref=-54.5 * u.arcsec,
        v3_ref=-525.75 * u.arcsec,
        v3_idl_y_angle=-0.25 * u.deg,
        v_idl_parity=-1,
        ra_v1=10.75 * u.deg,
        dec_v1=-20.5 * u.deg,
        pa_v3=299.5 * u.deg,
    )


def test_keeps_the_promises_of_a_value(pointing):
    check_value(pointing)


def test_angles_are_converted_to_the_unit_of_the_field(pointing):
    changed = attrs.evolve(pointing, v2_ref=-1 * u.arcmin, ra_ref=3600 * u.arcsec)
    assert (changed.v2_ref, changed.v2_ref.unit) == (-60 * u.arcsec, u.arcsec)
    assert (changed.ra_ref.to_value(u.deg), changed.ra_ref.unit) == (pytest.approx(1), u.deg)


def test_cards_are_those_it_was_read_from(pointing):
    assert pointing.to_cards() == CARDS


def test_what_is_not_known_of_v1_is_none_and_not_written():
    header = fits.Header({key: CARDS[key] for key in CARDS if key not in ("RA_V1", "DEC_V1", "PA_V3")})
    pointing = Pointing.from_header(header, "file")
    assert (pointing.ra_v1, pointing.dec_v1, pointing.pa_v3) == (None, None, None)
    assert set(pointing.to_cards()) == set(header)


def test_a_header_without_any_pointing_gives_none():
    assert Pointing.from_header(fits.Header({"BUNIT": "MJy/sr"}), "file") is None


@pytest.mark.parametrize("keyword", ["RA_REF", "DEC_REF", "ROLL_REF", "V2_REF", "V3_REF", "V3I_YANG", "VPARITY"])
def test_half_a_pointing_is_refused(keyword):
    header = fits.Header(CARDS)
    del header[keyword]
    with pytest.raises(
        InvalidInputError, match=f"a.fits: keyword {keyword} is needed in the SCI header; it is missing"
    ):
        Pointing.from_header(header, "a.fits")


@pytest.mark.parametrize(
    ("keyword", "value", "text"),
    [
        ("ROLL_REF", "north", "ROLL_REF in the SCI header must be of type float; got 'north'"),
        ("PA_V3", True, "PA_V3 in the SCI header must be of type float; got True"),
        ("VPARITY", 3, "v_idl_parity must be -1 or 1; got 3"),
        ("VPARITY", 1.5, "VPARITY in the SCI header must be of type int; got 1.5"),
    ],
)
def test_a_wrong_value_is_refused(keyword, value, text):
    with pytest.raises(InvalidInputError, match=rf"a.fits: .*{text}"):
        Pointing.from_header(fits.Header(CARDS | {keyword: value}), "a.fits")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_angles_are_finite(pointing, value):
    with pytest.raises(InvalidInputError, match=r"Pointing.pa_v3 must be finite and at most 360.0 deg from 0; got"):
        attrs.evolve(pointing, pa_v3=value * u.deg)


def test_angles_have_units(pointing):
    with pytest.raises(InvalidInputError, match=r"Pointing.ra_ref must be a Quantity convertible to 'deg'; got 10.5"):
        attrs.evolve(pointing, ra_ref=10.5)
    with pytest.raises(InvalidInputError, match=r"Pointing.v2_ref must be convertible to 'arcsec'"):
        attrs.evolve(pointing, v2_ref=1 * u.m)


# --- whether V1 and the reference point say the same


@pytest.fixture
def consistent():
    return FrameGeometry(detector="A1", shape=(64, 64)).pointing(40.0, 75.0, 10.0)


def test_a_pointing_that_hangs_together_has_no_faults(consistent):
    assert consistent.check() == ()
    assert attrs.evolve(consistent, pa_v3=None).check() == ()  # nothing to compare


@pytest.mark.parametrize(
    ("name", "step", "text"),
    [
        ("ra_ref", 0.1 * u.arcsec, "RA_REF, DEC_REF must be where RA_V1, DEC_V1, PA_V3 put V2_REF, V3_REF"),
        ("dec_v1", 20 * u.mas, "RA_REF, DEC_REF must be where"),
        ("roll_ref", 0.001 * u.deg, "ROLL_REF must be the angle of V3 at V2_REF, V3_REF .* 0.00100 deg off"),
        ("v3_ref", 1 * u.arcsec, "got a place 1.000 arcsec away"),
    ],
)
def test_a_contradiction_is_told(consistent, name, step, text):
    (fault, *_) = attrs.evolve(consistent, **{name: getattr(consistent, name) + step}).check()
    assert re.search(text, fault)


def test_differences_below_the_precision_of_pointing_are_none(consistent):
    assert attrs.evolve(consistent, dec_ref=consistent.dec_ref + 5 * u.mas).check() == ()
    assert attrs.evolve(consistent, roll_ref=consistent.roll_ref - 360 * u.deg).check() == ()


def test_a_pa_v3_that_is_the_roll_of_the_aperture_is_told(consistent):
    """The usual confusion: at high declinations they differ by more than half a degree."""
    faults = attrs.evolve(consistent, pa_v3=consistent.roll_ref).check()
    assert len(faults) == 2


def test_the_headers_of_the_pipeline_hang_together(real_data):
    paths = sorted((real_data / "format").glob("*_cal.fits"))
    assert paths
    for path in paths:
        with fits.open(path) as hdus:
            assert Pointing.from_header(hdus["SCI"].header, path).check() == ()


def test_a_set_tells_whose_pointing_is_wrong(consistent):
    wrong = attrs.evolve(consistent, roll_ref=consistent.roll_ref + 1 * u.deg)
    exposures = ExposureSet.from_exposures(
        Exposure(data=np.ones((4, 4)), detector="A1", filter="F200W", name=name, pointing=pointing)
        for name, pointing in (("good", consistent), ("wrong", wrong), ("none", None))
    )
    one, other = exposures.check_pointings()
    assert (one.name, other.name) == ("wrong", "none")
    assert "ROLL_REF" in one.reason
    assert "it does not" in other.reason
    assert len(exposures) == 3


@pytest.mark.parametrize("label", ["A1", "B4", "ALONG", "BLONG"])
def test_ideal_coordinates_run_along_columns_and_rows(label):
    geometry = FrameGeometry(detector=Detector.get(label), shape=(2048, 2048))
    pointing = geometry.pointing(150.0, 60.0, 77.0)
    x0, y0 = geometry.reference
    dx, dy = np.array([60.0, 0.0, -30.0]), np.array([0.0, 60.0, 80.0])
    x, y = dx * geometry.detector.x_scale, dy * geometry.detector.y_scale
    found = SkyCoord(*pointing.to_sky(x, y))
    expected = SkyCoord(*geometry.to_sky(pointing, x0 + dx, y0 + dy), unit="deg")
    assert found.separation(expected).max() < 1 * geometry.detector.pixel_scale
    for back, there in zip(pointing.to_ideal(found.ra, found.dec), (x, y), strict=True):
        np.testing.assert_allclose(back.to_value("arcsec"), there.to_value("arcsec"), atol=1e-5)


def test_ideal_coordinates_of_the_pipeline(real_data):
    for path in sorted((real_data / "format").glob("*_cal.fits")):
        member = ExposureHeader.read(path)
        detector, (x0, y0) = member.detector, member.wcs.wcs.crpix - 1
        found = SkyCoord(*member.pointing.to_sky(50 * detector.x_scale, 20 * detector.y_scale))
        expected = member.wcs.pixel_to_world(x0 + 50, y0 + 20)
        assert found.separation(expected) < 1.5 * detector.pixel_scale
