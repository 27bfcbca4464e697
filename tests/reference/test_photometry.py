"""What a new flat does to fluxes, against the fluxes themselves."""

import attrs
import numpy as np
import pytest

from nircam_flats import DQ, Exposure, FlatReference, InvalidInputError, PhotometricShift, Subarray
from nircam_flats.testing import check_value


@pytest.fixture(scope="module")
def old():
    dq = np.zeros((2048, 2048), np.uint32)
    dq[:4] = dq[-4:] = dq[:, :4] = dq[:, -4:] = DQ.NO_FLAT_FIELD | DQ.DO_NOT_USE | DQ.REFERENCE_PIXEL
    data = np.random.default_rng(3).normal(1, 0.03, dq.shape).astype(np.float32)
    return FlatReference(data=data, err=np.full(dq.shape, 0.001), dq=dq, detector="B1", filter="F200W", name="old.fits")


@pytest.fixture(scope="module")
def new(old):
    """4 % more response at the right edge than at the left one."""
    slope = np.linspace(0.98, 1.02, 2048)
    return attrs.evolve(old, data=old.data * slope.astype(np.float32), name="new.fits")


@pytest.fixture(scope="module")
def shift(old, new):
    return PhotometricShift.between(old, new)


def test_over_the_field(shift):
    slope = np.linspace(0.98, 1.02, 2048)[4:-4]
    assert shift.mean == pytest.approx(np.mean(1 / slope) - 1, abs=1e-7)
    assert shift.median == pytest.approx(0, abs=1e-5)
    assert shift.scatter == pytest.approx(np.std(1 / slope), rel=1e-3)


def test_at_the_places_where_stars_are_put(shift):
    assert list(shift.places["place"]) == [item.name for item in Subarray.of("B1")]
    for row in shift.places:
        x, y = Subarray.get(row["place"], "B1").reference
        assert (row["x"], row["y"]) == (x, y)
        assert row["shift"] == pytest.approx(1 / (0.98 + 0.04 * (x - 1) / 2047) - 1, abs=2e-4)
        assert shift.at(row["place"]) == row["shift"]
    assert np.isnan(shift.at("SUB99"))


def test_it_is_what_happens_to_a_star(old, new, shift):
    """A star of known flux at the reference position of SUB160P, calibrated with either flat."""
    x, y = (round(c) - 1 for c in Subarray.get("SUB160P", "B1").reference)
    yy, xx = np.mgrid[:2048, :2048]
    star = 100 * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / 8)
    exposure = Exposure(data=star, detector="B1", filter="F200W", flat_name="old.fits")
    calibrated = exposure, new.apply_to(exposure, replacing=old)
    fluxes = [np.nansum(one.data[y - 9 : y + 10, x - 9 : x + 10]) for one in calibrated]
    assert fluxes[1] / fluxes[0] - 1 == pytest.approx(shift.at("SUB160P"), abs=1e-4)
    assert abs(shift.at("SUB160P")) > 0.01


def test_of_a_subarray(old, new):
    place = Subarray.get("SUB64P", "B1")
    shift = PhotometricShift.between(old.cutout(place), new.cutout(place))
    assert list(shift.places["place"]) == ["SUB64P", "SUB160P", "SUB400P"]  # one reference position for all three
    assert shift.at("SUB64P") == pytest.approx(1 / (0.98 + 0.04 * 1885.6 / 2047) - 1, abs=2e-4)


def test_place_without_pixels(old, new):
    dq = new.dq.copy()
    dq[1000:1050, 1000:1050] = DQ.DO_NOT_USE
    shift = PhotometricShift.between(old, attrs.evolve(new, dq=dq))
    assert np.isnan(shift.at("FULL"))
    assert np.isfinite(shift.at("SUB160"))


def test_told(shift):
    assert str(shift).startswith("mean +0.0001, median ")
    assert "FULL +0.0000" in str(shift) or "FULL -0.0000" in str(shift)
    check_value(shift)


def test_refused(ground):
    with pytest.raises(InvalidInputError, match=r"needs flats of one detector.*NRCB4 .* and NRCB3"):
        PhotometricShift.between(ground, attrs.evolve(ground, detector="B3"))
    useless = attrs.evolve(ground, dq=np.full_like(ground.dq, DQ.DO_NOT_USE))
    with pytest.raises(InvalidInputError, match="usable in both flats; there are none"):
        PhotometricShift.between(ground, useless)
