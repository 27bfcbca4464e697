"""Histories: what was done, in order, with which settings and versions."""

from importlib.metadata import version

import pytest

from nircam_flats.provenance import History, Step, software_versions
from nircam_flats.testing import check_value


def test_a_history_grows_by_making_a_longer_one():
    start = History()
    longer = start.then("mask", n_sigma=3).then("combine", strategy="SigmaClippedMedian()", n=18)
    assert start.steps == ()
    assert [step.name for step in longer.steps] == ["mask", "combine"]
    assert str(longer) == "mask: n_sigma=3\ncombine: strategy=SigmaClippedMedian(), n=18"


def test_settings_are_kept_as_text_in_their_order():
    step = Step(name="fit", settings={"degree": 3, "box": (8, 8)})
    assert step.settings == (("degree", "3"), ("box", "(8, 8)"))
    assert str(Step(name="grey")) == "grey"


def test_a_setting_may_be_called_name():
    assert str(History().then("read", name="x.fits")) == "read: name=x.fits"


def test_the_lines_end_with_the_versions_that_ran():
    lines = History().then("mask").to_lines()
    assert lines[0] == "mask"
    assert lines[-1].startswith("software: nircam_flats ")
    assert f"numpy {version('numpy')}" in lines[-1]
    assert dict(software_versions())["numba"] == version("numba")


@pytest.mark.parametrize(
    "value", [Step(name="a", settings={"b": 1}), History().then("a", b=1)], ids=lambda v: type(v).__name__
)
def test_contract(value):
    check_value(value)
