"""Planned pointings: from targets and dithers, from exposures, from APT's export."""

import json

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

from nircam_flats import Attitude, Detector, Exposure, Filter, InvalidInputError, PlannedPointing
from nircam_flats.simulation.geometry import FrameGeometry
from nircam_flats.testing import check_value

TARGET = SkyCoord(150.1, 2.2, unit="deg")


@pytest.fixture
def pointing():
    return FrameGeometry(detector="B4", shape=(64, 64)).pointing(210.3, 54.2, 123.4)


@pytest.fixture
def exposure(pointing):
    return Exposure(data=np.ones((64, 64)), detector="B4", filter="F200W", name="jw01_nrcb4", pointing=pointing)


def test_keeps_the_promises_of_a_value(exposure):
    check_value(PlannedPointing.of(exposure))


def test_an_exposure_is_pointed_as_it_was(exposure, pointing):
    planned = PlannedPointing.of(exposure)
    assert (planned.name, planned.modules, planned.detector.label) == ("jw01_nrcb4", ("B",), "B4")
    assert planned.filters == (Filter.get("F200W"),)
    np.testing.assert_allclose(planned.attitude().matrix, Attitude.from_v1(*v1_of(pointing)).matrix, atol=1e-11)
    np.testing.assert_allclose(PlannedPointing.of(pointing).attitude().matrix, pointing.attitude.matrix)


def v1_of(pointing):
    return pointing.ra_v1, pointing.dec_v1, pointing.pa_v3


@pytest.mark.parametrize(("angle_at", "pick"), [("aperture", "roll_ref"), ("v1", "pa_v3")])
def test_an_angle_is_meant_where_it_is_said_to_be(pointing, angle_at, pick):
    planned = PlannedPointing.of(pointing)
    found = planned.attitude(getattr(pointing, pick), angle_at=angle_at)
    np.testing.assert_allclose(found.matrix, pointing.attitude.matrix, atol=1e-10)
    other = {"roll_ref": "pa_v3", "pa_v3": "roll_ref"}[pick]
    wrong = planned.attitude(getattr(pointing, other), angle_at=angle_at)
    assert np.abs(wrong.matrix - pointing.attitude.matrix).max() > 1e-4


def test_an_attitude_is_turned_about_v1():
    attitude = Attitude.from_v1(10 * u.deg, 20 * u.deg, 30 * u.deg)
    planned = PlannedPointing.of(attitude)
    np.testing.assert_allclose(planned.attitude().matrix, attitude.matrix, atol=1e-12)
    turned = planned.attitude(90 * u.deg).v1
    np.testing.assert_allclose([part.to_value(u.deg) for part in turned], [10, 20, 90], atol=1e-10)


def test_a_dither_moves_the_target_on_the_detector():
    detector = Detector.get("B1")
    planned = PlannedPointing.from_sky(TARGET, "B1", dithers=[(0, 0), (3, 0), (0, 4)], filters="F200W")
    assert [item.name for item in planned] == ["dither 1", "dither 2", "dither 3"]
    assert (planned[0].v2, planned[0].v3) == (detector.v2_ref, detector.v3_ref)
    # ideal x runs against V2 on NIRCam, turned by a third of a degree
    moved = [(item.v2 - detector.v2_ref, item.v3 - detector.v3_ref) for item in planned[1:]]
    np.testing.assert_allclose(u.Quantity(moved[0]).to_value(u.arcsec), [-3, 0], atol=0.02)
    np.testing.assert_allclose(u.Quantity(moved[1]).to_value(u.arcsec), [0, 4], atol=0.03)
    assert np.hypot(*u.Quantity(moved[0]).to_value(u.arcsec)) == pytest.approx(3)


@pytest.mark.jwst
def test_dithers_are_those_of_the_siaf():
    from pysiaf import Siaf

    aperture = Siaf("NIRCam")["NRCB1_FULL"]
    (planned,) = PlannedPointing.from_sky(TARGET, "B1", dithers=[(5.0, -3.0)])
    expected = aperture.idl_to_tel(5.0, -3.0)
    np.testing.assert_allclose([planned.v2.value, planned.v3.value], expected, atol=1e-3)


def test_several_targets_make_several_pointings():
    both = SkyCoord([10, 20], [30, 40], unit="deg")
    planned = PlannedPointing.from_sky(both, "ALONG", dithers=[(0, 0), (1, 1)] * u.arcsec)
    assert [item.ra.value for item in planned] == pytest.approx([10, 10, 20, 20])
    assert planned[3].name == "target 2 dither 2"


def apt_records(**changes):
    exposure = {
        "observation": 7,
        "visit": 1,
        "AperName": "NRCBS_FULL",
        "apt_label": "SCIENCE",
        "v2": -82.0,
        "v3": -496.0,
    }
    exposure |= {"ra_center_rotation": 80.0, "dec_center_rotation": "-69.5", "pointing_sequence_number": 1}
    exposure |= {"exposure_spec_order_number": 1}
    base = exposure | {"apt_label": "BASE", "exposure_spec_order_number": 0}
    again = exposure | {"exposure_spec_order_number": 2, "pointing_sequence_number": 2}
    other = exposure | {"observation": 8, "ra_center_rotation": 81.0}
    miri = exposure | {"AperName": "MIRIM_FULL"}
    setup = {"observation": 7, "visit": 1, "order_number": 1, "filter_short": "F162M+F150W2", "filter_long": "F277W"}
    return {
        "exposures": [base, exposure, again, other, miri],
        "nircam_templates": [
            {"observation": 7, "visit": 1, "modules": "B"},
            {"observation": 8, "visit": 1, "modules": "ALL"},
        ],
        "nircam_exposure_specification": [
            setup,
            setup | {"order_number": 2, "filter_short": "F200W"},
            setup | {"observation": 8},
        ],
    } | changes


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "1234.records.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_the_export_of_apt_is_read(write):
    path = write(apt_records())
    (planned,) = PlannedPointing.read_apt(path, 7)
    assert (planned.ra, planned.dec, planned.v2, planned.v3) == (
        80 * u.deg,
        -69.5 * u.deg,
        -82 * u.arcsec,
        -496 * u.arcsec,
    )
    assert [item.name for item in planned.filters] == ["F162M", "F277W", "F200W"]
    assert planned.modules == ("B",)
    assert planned.roll is None
    assert "observation 7" in planned.name
    assert [item.modules for item in PlannedPointing.read_apt(path)] == [("B",), ("A", "B")]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("no json", r"1234.records.json: needed the records.json that APT exports; got Expecting value"),
        (apt_records(exposures=[{}]), r"each row of exposures must tell observation and visit; got {}"),
        (apt_records(nircam_templates=[1]), r"each row of nircam_templates must tell observation and visit; got 1"),
        ([1], r"it has no exposures, nircam_templates, nircam_exposure_specification"),
        ({"exposures": []}, r"it has no nircam_templates, nircam_exposure_specification"),
        (apt_records(nircam_templates=[{"observation": 7, "visit": 1, "modules": "C"}]), r"modules of observation 7"),
        (apt_records(nircam_exposure_specification=[]), r"needed NIRCam exposures; there are none in observation 7"),
        (
            apt_records(exposures=[{k: v for k, v in apt_records()["exposures"][1].items() if "center" not in k}]),
            r"has no fixed position .* moving target",
        ),
    ],
)
def test_what_is_no_export_is_refused(write, content, text):
    with pytest.raises(InvalidInputError, match=text):
        PlannedPointing.read_apt(write(content), 7 if "7" in text or "fixed" in text else None)


def test_an_observation_that_is_not_there_is_told(write, tmp_path):
    with pytest.raises(InvalidInputError, match="observation must be one of 7, 8; got 9"):
        PlannedPointing.read_apt(write(apt_records()), 9)
    with pytest.raises(InvalidInputError, match=r"missing.json: needed the records.json"):
        PlannedPointing.read_apt(tmp_path / "missing.json")


def test_what_has_no_pointing_is_refused(exposure):
    bare = Exposure(data=np.ones((4, 4)), detector="B4", filter="F200W", name="jw02")
    with pytest.raises(InvalidInputError, match="exposure 'jw02' has no pointing"):
        PlannedPointing.of(bare)
    with pytest.raises(InvalidInputError, match=r"got SkyCoord; PlannedPointing.from_sky makes pointings of it"):
        PlannedPointing.of(TARGET)
    with pytest.raises(InvalidInputError, match=r"needed one attitude; got an array of shape \(2,\)"):
        PlannedPointing.of(Attitude.from_v1([1, 2] * u.deg, 0 * u.deg, 0 * u.deg))
    (planned,) = PlannedPointing.from_sky(TARGET, "B1")
    with pytest.raises(InvalidInputError, match="its roll is open; give the angles"):
        planned.attitude()
    with pytest.raises(InvalidInputError, match="angle_at must be 'aperture' or 'v1'; got 'v3'"):
        planned.attitude(0 * u.deg, angle_at="v3")
    with pytest.raises(InvalidInputError, match="dithers must be pairs of finite x, y"):
        PlannedPointing.from_sky(TARGET, "B1", dithers=[1, 2, 3])
    with pytest.raises(InvalidInputError, match=r"from_sky: needed a SkyCoord; got tuple"):
        PlannedPointing.from_sky((1, 2), "B1")
    with pytest.raises(InvalidInputError, match="modules must be of 'A' and 'B'; got 'C'"):
        PlannedPointing.from_sky(TARGET, "B1", modules="C")
    with pytest.raises(InvalidInputError, match="dec must be within -90 to 90"):
        PlannedPointing(ra=0 * u.deg, dec=95 * u.deg, v2=0 * u.arcsec, v3=0 * u.arcsec)


@pytest.mark.parametrize("dithers", ["abc", [(1, 2)] * u.kg, [(1, "a")]])
def test_dithers_that_are_no_angles_are_refused(dithers):
    with pytest.raises(InvalidInputError, match="dithers must be pairs of x, y in arcsec; got"):
        PlannedPointing.from_sky(SkyCoord(10 * u.deg, 2 * u.deg), "B1", dithers=dithers)
