"""The comparisons notice every kind of difference, and check_value every broken promise."""

import attrs
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable
from astropy.time import Time

from nircam_flats._fields import HoldsArrays, image
from nircam_flats.testing import assert_same, check_value


@attrs.frozen(kw_only=True, eq=False)
class Sample(HoldsArrays):
    data: np.ndarray = image()
    extra: object = None


def sample(extra=None, value=np.nan):
    return Sample(data=[[1, value]], extra=extra)


ROW = {"name": ["a", "b"], "level": [1.0, np.nan] * u.MJy}

SAME = {
    "NaN": (float("nan"), float("nan")),
    "array of text": (np.array(["a", "b"]), np.array(["a", "b"])),
    "byte order": (np.ones(3, ">f4"), np.ones(3, "<f4")),
    "quantity": ([1, np.nan] * u.m, [1, np.nan] * u.m),
    "time": (Time("2022-07-04T10:00:00.125"), Time(59764, 36000.125 / 86400, format="mjd")),
    "header": (fits.Header([("A", 1, "why"), ("B", None)]), fits.Header([("A", 1, "why"), ("B", None)])),
    "table": (QTable(ROW, meta={"k": 1}), QTable(ROW, meta={"k": 1})),
    "mapping": ({"a": np.ones(2)}, {"a": np.ones(2)}),
    "nested": ((sample(), [1, None]), (sample(), [1, None])),
}

DIFFERENT = {
    "number": (1, 2, "1 is not 2"),
    "type": (None, 0, "None is not 0"),
    "value": (
        np.array([1.0, 2.0]),
        np.array([1.0, 3.0]),
        r"1 of 2 .* first at \(1,\): 2.0 is not 3.0",
    ),
    "NaN where a number was": (np.array([np.nan]), np.array([1.0]), "1 of 1 values differ"),
    "shape": (np.ones((2, 1)), np.ones((1, 2)), r"shape \(2, 1\) is not \(1, 2\)"),
    "array type": (np.ones(2, "f4"), np.ones(2, "f8"), "type float32 is not float64"),
    "no array": ([1.0], np.ones(1), "list is not ndarray"),
    "unit": (1 * u.m, 1 * u.km, r"\.unit"),
    "quantity": ([1, 2] * u.m, [1, 3] * u.m, "1 of 2 values differ"),
    "time": (Time("2022-07-04T10:00:00"), Time("2022-07-04T10:00:01"), "is not"),
    "time scale": (Time("2022-07-04", scale="tai"), Time("2022-07-04", scale="utc"), r"\.scale"),
    "card value": (fits.Header([("A", 1)]), fits.Header([("A", 2)]), "1 is not 2"),
    "card comment": (fits.Header([("A", 1, "x")]), fits.Header([("A", 1, "y")]), "'x' is not 'y'"),
    "card missing": (fits.Header(), fits.Header([("A", 1)]), "0 items, not 1"),
    "column": (QTable({"a": [1]}), QTable({"b": [1]}), r"\.colnames"),
    "cell": (QTable({"a": [1]}), QTable({"a": [2]}), r"\['a'\]: 1 of 1 values differ"),
    "masked cell": (np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 2], mask=[0, 0]), r"\.mask"),
    "meta": (QTable(meta={"k": 1}), QTable(meta={"k": 2}), r"\.meta\['k'\]"),
    "key": ({"a": 1}, {"b": 1}, r"keys\(\)"),
    "length": ((1, 2), (1,), "2 items, not 1"),
    "container": ([1], (1,), "list is not tuple"),
    "nested": ((sample(value=1),), (sample(value=2),), r"\[0\]\.data: 1 of 2"),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_the_same_is_the_same(one, other):
    assert_same(one, other)
    assert_same(sample(one), sample(other))


@pytest.mark.parametrize(("one", "other", "text"), DIFFERENT.values(), ids=DIFFERENT)
def test_each_difference_is_found_and_named(one, other, text):
    with pytest.raises(AssertionError, match=text):
        assert_same(one, other)
    with pytest.raises(AssertionError, match=rf"Sample\.extra.*{text}"):
        assert_same(sample(one), sample(other))


def test_another_class_with_the_same_fields_is_not_the_same():
    other = attrs.make_class("Other", {"data": attrs.field()})
    with pytest.raises(AssertionError, match="Other is not Sample"):
        assert_same(other(data=1), sample())


def test_check_value_accepts_what_keeps_its_promises():
    check_value(sample())
    check_value(sample(extra=(1, "a")))


@attrs.define
class CanBeSet:
    number: int = 1


@attrs.frozen(eq=False)
class ArrayCanBeWritten:
    data: np.ndarray = attrs.field(factory=lambda: np.ones(3))


@attrs.frozen(eq=False)
class WritableAfterPickling:  # read-only as made, but pickle makes a fresh, writable array
    data: np.ndarray = attrs.field(factory=lambda: np.ones(3))

    def __attrs_post_init__(self):
        self.data.flags.writeable = False

    def __getstate__(self):
        return {"data": self.data.copy()}

    def __setstate__(self, state):
        object.__setattr__(self, "data", state["data"].copy())


@attrs.frozen
class ArrayBreaksEquality(HoldsArrays):
    data: np.ndarray = image()


@attrs.frozen
class PrintsPixels:
    data: tuple = tuple(range(2000))


@attrs.frozen
class ForgetsAField:
    number: int = attrs.field(default=1)

    def __reduce__(self):
        return type(self), ()


@attrs.frozen
class NeverEqual:
    number: float = float("nan")


BROKEN = {
    "not attrs": (1, "must be an attrs class"),
    "not frozen": (CanBeSet(), r"CanBeSet\.number can be set as made"),
    "writable": (ArrayCanBeWritten(), r"ArrayCanBeWritten\.data can be written to as made"),
    "writable after pickling": (WritableAfterPickling(), r"\.data can be written to after pickling"),
    "array in ==": (ArrayBreaksEquality(data=np.ones((2, 2))), "the class needs eq=False"),
    "long repr": (PrintsPixels(), "repr has"),
    "loses a field": (ForgetsAField(2), r"ForgetsAField after pickling\.number: 1 is not 2"),
    "unequal to its copy": (NeverEqual(), "must be equal to the original"),
}


@pytest.mark.parametrize(("value", "text"), BROKEN.values(), ids=BROKEN)
def test_check_value_finds_each_broken_promise(value, text):
    with pytest.raises(AssertionError, match=text):
        check_value(value)
