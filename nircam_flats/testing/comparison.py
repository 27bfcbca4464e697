"""Compare value objects field by field, and check what every value object of the library promises."""

import copy
import pickle
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time

from nircam_flats._strategy import Strategy

__all__ = ["assert_same", "check_value"]

LONGEST_REPR = 2000
"""Characters that the `repr` of a value object may have: enough for names and settings, few for pixels."""


def assert_same(actual: Any, expected: Any, *, name: Any = None) -> None:
    """Raise unless two objects hold the same, field by field.

    Parameters
    ----------
    actual, expected
        Objects of the same attrs class (or numbers, arrays, quantities, times, headers, tables, tuples, lists
        or mappings of them). Arrays must agree in shape, type and every value, NaN being the same as NaN;
        quantities also in their unit, times in their scale and to a nanosecond, headers card by card.
    name
        What to call the object in the error; by default its class.

    Raises
    ------
    AssertionError
        Naming the first field that differs, and how.

    Examples
    --------
    >>> import attrs, numpy as np
    >>> from nircam_flats import Detector, testing
    >>> b4 = Detector.get("B4")
    >>> testing.assert_same(b4, Detector.get(489))
    >>> testing.assert_same(attrs.evolve(b4, module="A"), b4)
    Traceback (most recent call last):
    ...
    AssertionError: Detector.module: 'A' is not 'B'
    """
    name = name or type(expected).__name__
    if attrs.has(type(expected)):
        _same_type(actual, expected, name)
        for field in attrs.fields(type(expected)):
            assert_same(getattr(actual, field.name), getattr(expected, field.name), name=f"{name}.{field.name}")
    elif isinstance(expected, fits.Header):
        _same_type(actual, expected, name)
        assert_same([tuple(card) for card in actual.cards], [tuple(card) for card in expected.cards], name=name)
    elif isinstance(expected, Table):
        _same_type(actual, expected, name)
        assert_same(actual.colnames, expected.colnames, name=f"{name}.colnames")
        for column in expected.colnames:
            assert_same(actual[column], expected[column], name=f"{name}[{column!r}]")
        assert_same(dict(actual.meta), dict(expected.meta), name=f"{name}.meta")
    elif isinstance(expected, Time):
        _same_type(actual, expected, name)
        assert_same(actual.scale, expected.scale, name=f"{name}.scale")
        if actual.shape != expected.shape or np.any(np.abs((actual - expected).to_value(u.ns)) > 1):
            raise AssertionError(f"{name}: {actual} is not {expected}")
    elif isinstance(expected, u.Quantity):
        _same_type(actual, expected, name)
        assert_same(actual.unit, expected.unit, name=f"{name}.unit")
        assert_same(actual.to_value(expected.unit), expected.to_value(expected.unit), name=name)
    elif isinstance(expected, np.ndarray):
        _same_array(actual, expected, name)
    elif isinstance(expected, Mapping):
        _same_type(actual, expected, name)
        assert_same(list(actual), list(expected), name=f"{name}.keys()")
        for key, value in expected.items():
            assert_same(actual[key], value, name=f"{name}[{key!r}]")
    elif isinstance(expected, tuple | list):
        _same_type(actual, expected, name)
        if len(actual) != len(expected):
            raise AssertionError(f"{name}: {len(actual)} items, not {len(expected)}")
        for index, (one, other) in enumerate(zip(actual, expected, strict=True)):
            assert_same(one, other, name=f"{name}[{index}]")
    elif isinstance(expected, Strategy):
        _same_type(actual, expected, name)
        assert_same(repr(actual), repr(expected), name=name)  # which holds all settings
    elif not (actual == expected or (_is_nothing(actual) and _is_nothing(expected))):
        raise AssertionError(f"{name}: {actual!r} is not {expected!r}")


def _is_nothing(value):
    """Whether ``value`` is NaN or a header value left blank, neither of which is equal to itself."""
    return isinstance(value, fits.card.Undefined) or (isinstance(value, float | np.floating) and np.isnan(value))


def _same_type(actual, expected, name):
    if type(actual) is not type(expected):
        raise AssertionError(f"{name}: {type(actual).__name__} is not {type(expected).__name__}")


def _same_array(actual, expected, name):
    _same_type(actual, expected, name)
    if actual.dtype.newbyteorder("=") != expected.dtype.newbyteorder("="):
        raise AssertionError(f"{name}: type {actual.dtype} is not {expected.dtype}")
    if actual.shape != expected.shape:
        raise AssertionError(f"{name}: shape {actual.shape} is not {expected.shape}")
    if isinstance(expected, np.ma.MaskedArray):
        _same_array(np.ma.getmaskarray(actual), np.ma.getmaskarray(expected), f"{name}.mask")
        actual, expected = actual.filled(), expected.filled()
    actual, expected = np.asarray(actual), np.asarray(expected)
    differs = (actual != expected) & ~((actual != actual) & (expected != expected))  # NaN: not itself
    if np.any(differs):
        first = tuple(int(i) for i in np.argwhere(differs)[0])
        raise AssertionError(
            f"{name}: {np.count_nonzero(differs)} of {differs.size} values differ, first at {first}: "
            f"{actual[first]} is not {expected[first]}"
        )


def check_value(value: Any) -> None:
    """Raise unless a value object keeps the promises of all value objects.

    It cannot be changed, nor can its arrays; its ``repr`` is short; what pickling, copying and `attrs.evolve`
    make of it is the same again, with arrays that cannot be changed either. Objects with array fields are
    equal only to themselves; all others are equal to their copies and have the same hash.

    Parameters
    ----------
    value
        An object of a frozen attrs class.

    Raises
    ------
    AssertionError
        Saying which promise is broken, and by which field.

    Examples
    --------
    >>> from nircam_flats import Detector, testing
    >>> testing.check_value(Detector.get("B4"))
    """
    cls = type(value)
    if not attrs.has(cls):
        raise AssertionError(f"{cls.__name__} must be an attrs class")
    _check_frozen(value, "as made")
    if len(repr(value)) > LONGEST_REPR:
        raise AssertionError(f"{cls.__name__}: repr has {len(repr(value))} characters, more than {LONGEST_REPR}")
    twins = {
        "after pickling": pickle.loads(pickle.dumps(value)),
        "after copy.copy": copy.copy(value),
        "after copy.deepcopy": copy.deepcopy(value),
        "after attrs.evolve": attrs.evolve(value),
    }
    by_identity = cls.__eq__ is object.__eq__
    for when, twin in twins.items():
        assert_same(twin, value, name=f"{cls.__name__} {when}")
        _check_frozen(twin, when)
        if by_identity:
            continue
        if twin != value:
            raise AssertionError(f"{cls.__name__} {when} must be equal to the original")
        if cls.__hash__ is not None and hash(twin) != hash(value):
            raise AssertionError(f"{cls.__name__} {when} must have the hash of the original")


def _check_frozen(value, when):
    cls = type(value)
    for field in attrs.fields(cls):
        place = f"{cls.__name__}.{field.name}"
        item = getattr(value, field.name)
        try:
            setattr(value, field.name, item)
        except attrs.exceptions.FrozenInstanceError:
            pass
        else:
            raise AssertionError(f"{place} can be set {when}: the class must be frozen")
        if isinstance(item, np.ndarray) and item.flags.writeable:
            raise AssertionError(f"{place} can be written to {when}: its array must be read-only")
        if isinstance(item, np.ndarray) and item.ndim and field.eq and cls.__eq__ is not object.__eq__:
            raise AssertionError(f"{place} is an array that breaks ==: the class needs eq=False")
