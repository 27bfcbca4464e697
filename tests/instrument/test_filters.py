"""The 29 filters and the 136 imaging modes."""

from collections import Counter

import numpy as np
import pytest
from astropy import units as u

from nircam_flats import Detector, Filter, ImagingMode, InvalidInputError, imaging_modes
from nircam_flats.testing import check_value

# Pivots of the JWST User Documentation, page "NIRCam Filters", um: another source than the packaged table's.
PUBLISHED_PIVOTS = {
    "SW": {
        "F070W": 0.704, "F090W": 0.901, "F115W": 1.154, "F140M": 1.404, "F150W": 1.501, "F162M": 1.626,
        "F164N": 1.644, "F150W2": 1.671, "F182M": 1.845, "F187N": 1.874, "F200W": 1.990, "F210M": 2.093,
        "F212N": 2.120,
    },
    "LW": {
        "F250M": 2.503, "F277W": 2.786, "F300M": 2.996, "F322W2": 3.247, "F323N": 3.237, "F335M": 3.365,
        "F356W": 3.563, "F360M": 3.621, "F405N": 4.055, "F410M": 4.092, "F430M": 4.280, "F444W": 4.421,
        "F460M": 4.624, "F466N": 4.654, "F470N": 4.707, "F480M": 4.834,
    },
}  # fmt: skip
IN_PUPIL_WHEEL = {
    "F162M": "F150W2", "F164N": "F150W2", "F323N": "F322W2",
    "F405N": "F444W", "F466N": "F444W", "F470N": "F444W",
}  # fmt: skip
RELATIVE_WIDTHS = {"N": (0.008, 0.02), "M": (0.045, 0.15), "W": (0.15, 0.3), "2": (0.35, 0.8)}
each_filter = pytest.mark.parametrize("filter", Filter.all(), ids=str)


def test_there_are_13_and_16():
    names = {channel: [f.name for f in Filter.all() if f.channel == channel] for channel in ("SW", "LW")}
    assert {channel: sorted(items) for channel, items in names.items()} == {
        channel: sorted(items) for channel, items in PUBLISHED_PIVOTS.items()
    }
    assert [len(names["SW"]), len(names["LW"]), len(Filter.all())] == [13, 16, 29]


@each_filter
def test_pivots_are_the_published_ones(filter):
    published = PUBLISHED_PIVOTS[filter.channel][filter.name]
    assert filter.pivot.to_value(u.um) == pytest.approx(published, rel=0.006)


@each_filter
def test_width_goes_with_the_class_of_the_filter(filter):
    low, high = RELATIVE_WIDTHS[filter.name[-1]]
    assert low < (filter.bandwidth / filter.pivot).to_value(u.one) < high


def test_filters_are_in_order_of_wavelength_within_their_channel():
    for channel in ("SW", "LW"):
        pivots = [f.pivot.to_value(u.um) for f in Filter.all() if f.channel == channel]
        assert pivots == sorted(pivots)


@each_filter
def test_names_and_keywords_find_their_filter(filter):
    for name in (filter.name, filter.name.lower(), f" {filter.name} ", filter):
        assert Filter.get(name) is filter
    partner = IN_PUPIL_WHEEL.get(filter.name)
    expected = (partner, filter.name) if partner else (filter.name, "CLEAR")
    assert filter.keywords == expected
    assert Filter.from_keywords(*expected) is filter
    assert Filter.from_keywords(*(word.lower() for word in expected)) is filter


def test_a_wide_filter_alone_is_itself():
    assert Filter.from_keywords("F444W").name == "F444W"
    assert Filter.from_keywords("F444W", "F405N").name == "F405N"


@pytest.mark.parametrize(
    ("filter", "pupil"),
    [
        ("F212N", "WLP8"),
        ("F335M", "MASKRND"),
        ("F444W", "GRISMR"),
        ("F405N", "CLEAR"),
        ("F200W", "F405N"),
        ("", ""),
    ],
)
def test_other_keywords_are_refused(filter, pupil):
    with pytest.raises(InvalidInputError, match=f"FILTER and PUPIL must select .*; got {filter} and {pupil}"):
        Filter.from_keywords(filter, pupil)


@pytest.mark.parametrize("wrong", ["F999W", "CLEAR", "", None, 200])
def test_other_names_are_refused_with_the_known_ones(wrong):
    with pytest.raises(InvalidInputError, match=r"Filter must be one of .*F200W.*F480M; got") as raised:
        Filter.get(wrong)
    assert repr(wrong) in str(raised.value)


@each_filter
def test_contract(filter):
    check_value(filter)
    assert str(filter) == filter.name


def test_there_are_136_modes():
    modes = imaging_modes()
    assert len(modes) == len(set(modes)) == 136 == 13 * 8 + 16 * 2
    assert Counter(mode.detector.channel for mode in modes) == {"SW": 13 * 8, "LW": 16 * 2}
    pairs = {(mode.detector.name, mode.filter.name) for mode in modes}
    assert pairs == {(d.name, f.name) for d in Detector.all() for f in Filter.all() if d.channel == f.channel}


@each_filter
def test_a_filter_is_the_mean_of_its_modes(filter):
    modes = [mode for mode in imaging_modes() if mode.filter is filter]
    for quantity in ("pivot", "bandwidth"):
        each = [getattr(mode, quantity).to_value(u.um) for mode in modes]
        assert np.mean(each) == pytest.approx(getattr(filter, quantity).to_value(u.um), abs=1e-4)


def test_a_mode_accepts_names():
    mode = ImagingMode(detector="b4", filter="F200W", pivot=1.99 * u.um, bandwidth=460 * u.nm)
    assert (mode.detector, mode.filter) == (Detector.get("NRCB4"), Filter.get("F200W"))
    assert str(mode) == "NRCB4 F200W"
    check_value(mode)


def test_a_mode_needs_a_filter_of_the_channel():
    with pytest.raises(InvalidInputError, match=r"must be one of channel SW .* NRCA1; got F444W, of LW"):
        ImagingMode(detector="A1", filter="F444W", pivot=4.4 * u.um, bandwidth=1 * u.um)
