"""Makers of attrs fields: each carries its conversion, its check and its short repr.

Arrays are owned by the object that holds them: copied or converted on entry, read-only afterwards (also after
unpickling and copying), and printed as ``<float32 (2048, 2048)>``.
"""

from collections.abc import Iterable

import attrs
import numpy as np
from astropy import units as u

from nircam_flats._html import ShowsCard
from nircam_flats.exceptions import InvalidInputError

__all__ = [
    "HoldsArrays",
    "check_not_negative",
    "choice",
    "image",
    "mask",
    "owned",
    "quantity",
    "readonly",
    "short_repr",
    "unit",
]


def to_tuple(values: Iterable) -> tuple:
    """Convert to a tuple, as a named function: so type checkers know what a field takes."""
    return tuple(values)


def readonly(array):
    """Mark ``array`` as read-only and return it."""
    array.flags.writeable = False
    return array


def _is_frozen(array):
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return True


def refuse_unit_or_mask(value, place=""):
    """Raise `InvalidInputError` for an array that would lose its unit or its mask as a plain one."""
    at = f"{place}: " if place else ""
    if isinstance(value, u.Quantity):
        raise InvalidInputError(f"{at}a plain array is needed; got one in {value.unit}: pass its to_value(unit)")
    if isinstance(value, np.ma.MaskedArray):
        raise InvalidInputError(f"{at}a plain array is needed; got a masked one: pass its filled(nan) or filled(0)")


def owned(value, dtype=None):
    """Return ``value`` as a read-only, C-contiguous native array that nobody else can write to.

    An array that is read-only already, down to the memory it views, is not copied.

    Raises
    ------
    InvalidInputError
        If ``value`` is no plain array of numbers: a `~astropy.units.Quantity` would lose its unit, a masked
        array its mask, floating-point numbers their fractions in an image of integers.
    """
    refuse_unit_or_mask(value)
    try:
        given = np.ascontiguousarray(value) if isinstance(value, np.ndarray) else np.array(value, order="C")
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"an array of numbers is needed; got {type(value).__name__} ({error})") from None
    if given.dtype.kind not in "biuf":
        raise InvalidInputError(f"an array of numbers is needed; got {type(value).__name__} of {given.dtype}")
    array = given.astype(dtype or given.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind in "iu":
        if given.dtype.kind == "f":
            raise InvalidInputError(f"an array of integers is needed; got {given.dtype}")
        same_bits = array.dtype.kind == "u" and given.dtype.itemsize == array.itemsize  # flags written with a sign
        if not (same_bits or given.dtype == array.dtype or np.array_equal(given, array)):
            limits = np.iinfo(array.dtype)
            raise InvalidInputError(
                f"integers from {limits.min} to {limits.max} are needed; got some from {given.min()} to {given.max()}"
            )
    if array.base is not None or array is value:
        if _is_frozen(array):
            return array
        array = array.copy()
    return readonly(array)


def short_repr(value):
    """``<dtype shape>`` of an array, `repr` of anything else."""
    if isinstance(value, np.ndarray):
        return f"<{value.dtype} {value.shape}>"
    return repr(value)


def _place(instance, attribute):
    return f"{type(instance).__name__}.{attribute.name}"


def _check_image(ndim, optional):
    def check(instance, attribute, value):
        if value is None and optional:
            return
        if value is None or value.ndim != ndim:
            came = "nothing" if value is None else f"shape {value.shape}"
            raise InvalidInputError(
                f"{_place(instance, attribute)} must be an array with {ndim} dimensions; got {came}"
            )
        fields = attrs.fields(type(instance))
        first = next((getattr(instance, field.name) for field in fields if field.metadata.get("sets_shape")), None)
        if attribute.metadata["follows_shape"] and first is not None and value.shape[-2:] != first.shape[-2:]:
            raise InvalidInputError(
                f"{_place(instance, attribute)} must have the shape of the image it belongs to, "
                f"{first.shape[-2:]}; got {value.shape[-2:]}"
            )

    return check


def image(dtype=np.float32, *, ndim=2, optional=False, follows_shape=True, sets_shape=False):
    """Field for an image ``[y, x]`` (or, with ``ndim=3``, a stack of them), owned and read-only.

    ``sets_shape`` marks the field whose last two dimensions all fields with ``follows_shape`` must share.
    """

    def convert(value, instance, attribute):
        if value is None:
            return None
        try:
            return owned(value, dtype)
        except InvalidInputError as error:
            raise InvalidInputError(f"{_place(instance, attribute)}: {error}") from None

    return attrs.field(
        converter=attrs.Converter(convert, takes_self=True, takes_field=True),
        validator=_check_image(ndim, optional),
        default=None if optional else attrs.NOTHING,
        repr=short_repr,
        metadata={"follows_shape": follows_shape and not sets_shape, "sets_shape": sets_shape},
    )


def mask(*, optional=False):
    """Field for a boolean image, True where the name of the field holds."""
    return image(bool, optional=optional)


def quantity(unit, *, ndim=0, optional=False, default=attrs.NOTHING, validator=None, eq=True, repr=True):
    """Field for a `~astropy.units.Quantity`, read-only and in ``unit``; bare numbers are refused.

    A scalar by default. One with ``ndim`` dimensions wants ``eq=False``, since an array has no truth value.
    """
    unit = u.Unit(unit)

    def convert(value, instance, attribute):
        if value is None and optional:
            return None
        place = _place(instance, attribute)
        if not isinstance(value, u.Quantity):
            raise InvalidInputError(f"{place} must be a Quantity convertible to {unit.to_string()!r}; got {value!r}")
        try:
            converted = u.Quantity(value.to(unit), dtype=float)
        except u.UnitConversionError:
            raise InvalidInputError(f"{place} must be convertible to {unit.to_string()!r}; got {value!r}") from None
        if converted.ndim != ndim:
            wanted = "a scalar" if ndim == 0 else f"an array with {ndim} dimensions"
            raise InvalidInputError(f"{place} must be {wanted}; got shape {converted.shape}")
        return readonly(converted)

    return attrs.field(
        converter=attrs.Converter(convert, takes_self=True, takes_field=True),
        default=None if optional and default is attrs.NOTHING else default,
        validator=validator,
        eq=eq,
        repr=repr,
    )


def choice(*allowed, default=attrs.NOTHING):
    """Field that must be one of ``allowed``."""

    def check(instance, attribute, value):
        if value not in allowed:
            wanted = " or ".join(repr(item) for item in allowed)
            raise InvalidInputError(f"{_place(instance, attribute)} must be {wanted}; got {value!r}")

    return attrs.field(validator=check, default=default)


def check_not_negative(instance, attribute, value):
    """Validate a field that holds a finite number of 0 or more."""
    if not 0 <= value < np.inf:
        raise InvalidInputError(f"{_place(instance, attribute)} must be finite, and 0 or more; got {value!r}")


def check_part(instance, attribute, value):
    """Validate a field that holds a part, above 0 and at most 1, or None."""
    if value is not None and not 0 < value <= 1:
        raise InvalidInputError(f"{_place(instance, attribute)} must be from 0 to 1, or None; got {value!r}")


def unit(default=u.MJy / u.sr):
    """Field for the unit of images: a unit of astropy, or its name."""

    def convert(value, instance, attribute):
        try:
            return u.Unit(value)
        except (ValueError, TypeError):
            place = _place(instance, attribute)
            raise InvalidInputError(f"{place} must be a unit of astropy; got {value!r}") from None

    return attrs.field(converter=attrs.Converter(convert, takes_self=True, takes_field=True), default=default, repr=str)


def _rebuild(cls, state):
    for value in state.values():
        if isinstance(value, np.ndarray) and value.base is None:
            readonly(value)
    return cls(**state)


class HoldsArrays(ShowsCard):
    """Mix-in for attrs classes with array fields: pickles and copies are made whole by the constructor again.

    So the arrays of an unpickled object are checked and read-only like those of the original. In a notebook it is a
    card.
    """

    __slots__ = ()

    def __reduce__(self):
        fields = attrs.fields(type(self))  # type: ignore[arg-type]  # of the class it is mixed in
        return _rebuild, (type(self), {f.alias: getattr(self, f.name) for f in fields if f.init})
