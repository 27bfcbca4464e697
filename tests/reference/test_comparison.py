"""Comparisons of flats whose difference is known."""

import attrs
import numpy as np
import pytest
from matplotlib.figure import Figure

from nircam_flats import DQ, FlatComparison, FlatReference, InvalidInputError
from nircam_flats.testing import check_value

SHAPE = (256, 192)


@pytest.fixture
def other(rng):
    dq = np.zeros(SHAPE, np.uint32)
    dq[:4] = DQ.NO_FLAT_FIELD | DQ.DO_NOT_USE
    dq[50, 60:70] = DQ.LOW_QE
    data = rng.normal(1, 0.05, SHAPE).astype(np.float32)
    return FlatReference(data=data, dq=dq, detector="B4", filter="F200W", name="other.fits")


@pytest.fixture
def flat(other, rng):
    """6 % from left to right in three boxes, 0.4 % of noise, and other flags."""
    steps = np.repeat([0.97, 1.0, 1.03], 64)
    dq = other.dq.copy()
    dq[50, 60:64] = 0
    dq[100, 100:103] = DQ.DEAD | DQ.DO_NOT_USE
    dq[101, 100] = DQ.LOW_QE
    data = other.data * steps * rng.normal(1, 0.004, SHAPE)
    return attrs.evolve(other, data=data.astype(np.float32), dq=dq, name="flat.fits")


def test_large_and_pixel_scales(flat, other):
    comparison = flat.compare(other)
    assert isinstance(comparison, FlatComparison)
    assert comparison.large_scale.shape == (4, 3)
    assert comparison.peak_to_peak == pytest.approx(0.06, abs=5e-4)
    assert comparison.rms == pytest.approx(0.03 * np.sqrt(2 / 3), abs=3e-4)
    assert comparison.pixel_scatter == pytest.approx(0.004, rel=0.05)


def test_a_few_bad_pixels_do_not_matter(flat, other):
    data = flat.data.copy()
    data[::16, ::16] = 30
    assert attrs.evolve(flat, data=data).compare(other).pixel_scatter == pytest.approx(0.004, rel=0.05)


def test_the_same_flat(other):
    comparison = other.compare(other)
    assert (comparison.peak_to_peak, comparison.rms, comparison.pixel_scatter) == (0, 0, 0)
    assert comparison.summary["n_flags_set"] == comparison.summary["n_flags_cleared"] == 0
    assert str(comparison).endswith("flags: the same")


def test_only_pixels_with_an_answer_in_both_count(flat, other):
    ratio = flat.compare(other).ratio
    np.testing.assert_array_equal(np.isfinite(ratio), flat.good & other.good)
    assert np.isnan(ratio[100, 100:103]).all()


def test_flags_by_name(flat, other):
    table = flat.compare(other).flags
    names = ("n_here", "n_other", "n_set", "n_cleared")
    rows = {str(row["flag"]): tuple(int(row[name]) for name in names) for row in table}
    border = 4 * SHAPE[1]
    assert rows == {
        "DO_NOT_USE": (border + 3, border, 3, 0),
        "DEAD": (3, 0, 3, 0),
        "LOW_QE": (7, 10, 1, 4),
        "NO_FLAT_FIELD": (border, border, 0, 0),
    }


def test_told(flat, other):
    text = str(flat.compare(other))
    assert "NRCB4: flat.fits / other.fits" in text
    assert "peak to peak 6." in text or "peak to peak 5.9" in text
    assert "LOW_QE: set in 1 pixels, cleared in 4" in text
    assert "NO_FLAT_FIELD" not in text
    assert len(repr(flat.compare(other))) < 300
    check_value(flat.compare(other))


def test_plot(flat, other):
    ax = Figure().subplots()
    artist = flat.compare(other).plot(ax, half_range=0.05)
    assert artist.axes is ax
    assert ax.get_title() == "NRCB4: flat.fits / other.fits"
    assert artist.get_clim() == pytest.approx((0.95, 1.05))


def test_other_places_are_refused(flat, other):
    with pytest.raises(InvalidInputError, match=r"another flat of NRCB4 .*got one of NRCB3"):
        flat.compare(attrs.evolve(other, detector="B3"))
    with pytest.raises(InvalidInputError, match=r"got one of NRCB4 with \(2, 2\) and \(9, 9\)"):
        flat.compare(other.cutout("SUB", corner=(2, 2), shape=(9, 9)))
    useless = attrs.evolve(other, dq=np.full(SHAPE, DQ.DO_NOT_USE, np.uint32))
    with pytest.raises(InvalidInputError, match="usable in both flats; there is none"):
        flat.compare(useless)
