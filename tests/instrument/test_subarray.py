"""Subarrays, as SIAF defines them."""

import pytest

from nircam_flats import Detector, InvalidInputError, Subarray
from nircam_flats.testing import check_value


@pytest.mark.parametrize("detector", Detector.all(), ids=str)
def test_subarrays_lie_on_their_detector(detector):
    subarrays = Subarray.of(detector)
    assert subarrays[0].name == "FULL"
    assert {"SUB160", "SUB320", "SUB640"} <= {subarray.name for subarray in subarrays}
    for subarray in subarrays:
        assert subarray.detector is detector
        for first, size, reference, limit in zip(
            subarray.corner, subarray.shape[::-1], subarray.reference, detector.shape[::-1], strict=True
        ):
            assert 1 <= first <= first + size - 1 <= limit
            assert first <= reference <= first + size - 1


def test_full_frames_have_their_reference_in_the_middle():
    assert {Subarray.get("FULL", detector).reference for detector in Detector.all()} == {(1024.5, 1024.5)}


def test_subarrays_of_a_module_meet_in_its_middle():
    """SUB640 and the smaller ones lie in the corners where the four SW detectors of a module meet."""
    corners = {label: Subarray.get("SUB160", label).corner for label in ("A1", "A2", "A3", "A4")}
    assert corners == {"A1": (1889, 1889), "A2": (1889, 1), "A3": (1, 1889), "A4": (1, 1)}


def test_get():
    subarray = Subarray.get(" sub64p ", "BLONG")
    assert (subarray.name, subarray.corner, subarray.shape) == ("SUB64P", (1944, 1931), (64, 64))
    assert str(subarray) == "NRCBLONG SUB64P"
    check_value(subarray)


def test_unknown():
    with pytest.raises(InvalidInputError, match=r"Subarray of NRCA1 must be one of FULL, SUB160, .*; got 'SUB64P'"):
        Subarray.get("SUB64P", "A1")
