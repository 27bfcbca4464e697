"""The ten detectors: names and geometry."""

import numpy as np
import pytest
from astropy import units as u

from nircam_flats import Detector, InvalidInputError
from nircam_flats.testing import check_value

NAMES = ("NRCA1", "NRCA2", "NRCA3", "NRCA4", "NRCALONG", "NRCB1", "NRCB2", "NRCB3", "NRCB4", "NRCBLONG")
each_detector = pytest.mark.parametrize("detector", Detector.all(), ids=str)


def test_there_are_ten_in_the_order_of_their_chips():
    assert [detector.name for detector in Detector.all()] == list(NAMES)
    assert [detector.sca_id for detector in Detector.all()] == list(range(481, 491))


@pytest.mark.parametrize(("name", "sca_id"), list(zip(NAMES, range(481, 491), strict=True)))
def test_every_synonym_finds_its_detector(name, sca_id):
    label = name.removeprefix("NRC")
    number = label.replace("LONG", "5")
    synonyms = [
        name,
        label,
        number,
        f"NRC{number}",
        sca_id,
        np.int64(sca_id),
        str(sca_id),
        name.lower(),
        f" {label} ",
    ]
    found = {Detector.get(synonym).name for synonym in synonyms}
    assert found == {name}
    detector = Detector.get(name)
    assert Detector.get(detector) is detector
    assert (detector.label, detector.module, str(detector)) == (label, label[0], name)
    assert detector.channel == ("LW" if label.endswith("LONG") else "SW")
    assert detector.aperture == f"NRC{number}_FULL"


@pytest.mark.parametrize("wrong", ["NRCC1", "A6", 480, 491, "", "NIS", None])
def test_other_names_are_refused_with_the_known_ones(wrong):
    with pytest.raises(InvalidInputError, match=r"Detector must be one of NRCA1, .*NRCBLONG .*; got") as raised:
        Detector.get(wrong)
    assert repr(wrong) in str(raised.value)


def test_wisps_fall_on_four():
    assert [detector.label for detector in Detector.all() if detector.has_wisps] == ["A3", "A4", "B3", "B4"]


@each_detector
def test_contract(detector):
    check_value(detector)
    assert repr(detector).startswith(f"Detector(name={detector.name!r}")


def test_the_packaged_facts_cannot_be_changed_in_place():
    detector = Detector.get("B4")
    with pytest.raises(ValueError, match="read-only"):
        detector.v2_ref += 1 * u.arcsec
    with pytest.raises(ValueError, match="read-only"):
        detector.corners[0] = 0 * u.arcsec
    assert Detector.get("B4").v2_ref == -54.386704 * u.arcsec


@each_detector
def test_geometry_hangs_together(detector):
    assert detector.shape == (2048, 2048)
    side = 0.031 if detector.channel == "SW" else 0.063
    assert detector.pixel_scale.to_value(u.arcsec) == pytest.approx(side, rel=0.02)
    assert detector.v_idl_parity == -1
    assert (detector.v2_ref > 0) == (detector.module == "A")

    corners = detector.corners.to_value(u.arcsec)
    assert corners.shape == (4, 2)
    v2, v3 = corners.T
    assert corners.mean(axis=0) == pytest.approx(
        [detector.v2_ref.to_value(u.arcsec), detector.v3_ref.to_value(u.arcsec)], abs=0.5
    )
    assert v2[1] < v2[0]  # science x runs towards -V2, science y towards +V3
    assert v3[3] > v3[0]
    area = 0.5 * np.sum(v2 * np.roll(v3, -1) - np.roll(v2, -1) * v3)  # V2 mirrors it
    assert area == pytest.approx(-((2048 * detector.pixel_scale.to_value(u.arcsec)) ** 2), rel=0.01)


@pytest.mark.parametrize("module", ["A", "B"])
def test_short_wave_detectors_lie_inside_the_field_of_the_long_wave_one(module):
    long_wave = Detector.get(f"{module}LONG").corners.to_value(u.arcsec)
    for number in (1, 2, 3, 4):
        short_wave = Detector.get(f"{module}{number}").corners.to_value(u.arcsec)
        assert np.all(short_wave.min(axis=0) > long_wave.min(axis=0) - 3)
        assert np.all(short_wave.max(axis=0) < long_wave.max(axis=0) + 3)


@pytest.mark.parametrize("detector", ["A1", "A3", "ALONG", "B2", "B4"])
def test_readout_of_the_detectors_that_read_along_minus_x(detector):
    assert (Detector.get(detector).fast_axis, Detector.get(detector).slow_axis) == (-1, 2)


@pytest.mark.parametrize("detector", ["A2", "A4", "B1", "B3", "BLONG"])
def test_readout_of_the_detectors_that_read_along_plus_x(detector):
    assert (Detector.get(detector).fast_axis, Detector.get(detector).slow_axis) == (1, -2)


@pytest.mark.jwst
@each_detector
def test_geometry_is_that_of_the_siaf(detector):
    import pysiaf

    if pysiaf.JWST_PRD_VERSION != "PRDOPSSOC-075":
        pytest.skip(f"the packaged table is of PRDOPSSOC-075; this pysiaf holds {pysiaf.JWST_PRD_VERSION}")
    aperture = pysiaf.Siaf("NIRCam")[detector.aperture]
    corners = np.transpose(aperture.corners("tel"))
    assert np.abs(detector.corners.to_value(u.mas) - 1000 * corners).max() <= 1
    for ours, theirs in [
        (detector.v2_ref.to_value(u.arcsec), aperture.V2Ref),
        (detector.v3_ref.to_value(u.arcsec), aperture.V3Ref),
        (detector.v3_idl_y_angle.to_value(u.deg), aperture.V3IdlYAngle),
        (detector.x_scale.to_value(u.arcsec), aperture.XSciScale),
        (detector.y_scale.to_value(u.arcsec), aperture.YSciScale),
        (detector.v_idl_parity, aperture.VIdlParity),
    ]:
        assert ours == pytest.approx(theirs, abs=1e-6)
