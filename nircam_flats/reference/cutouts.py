"""Parts of a flat: for a subarray, or for an exposure that was taken in one."""

import attrs

from nircam_flats._fields import readonly
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.instrument import Subarray

__all__ = ["covers", "cut", "place_of"]


def place_of(subarray, detector, corner, shape):
    """Return name, corner (x, y) and shape of a subarray; the last two are looked up unless both are given.

    Raises
    ------
    InvalidInputError
        If only one of ``corner`` and ``shape`` is given, or neither and SIAF knows no such imaging subarray, or the
        subarray is that of another detector.
    """
    if isinstance(subarray, Subarray):
        if subarray.detector != detector or corner is not None or shape is not None:
            raise InvalidInputError(
                f"FlatReference.cutout needs a Subarray of {detector}, which tells corner and shape itself; got one of "
                f"{subarray.detector}, corner {corner} and shape {shape}"
            )
        return subarray.name, subarray.corner, subarray.shape
    if corner is None and shape is None:
        known = Subarray.get(subarray, detector)
        return known.name, known.corner, known.shape
    if corner is None or shape is None:
        raise InvalidInputError(
            f"FlatReference.cutout of {subarray} needs both corner (x, y) and shape (rows, columns), or neither; got "
            f"corner {corner} and shape {shape}"
        )
    return str(subarray), tuple(int(n) for n in corner), tuple(int(n) for n in shape)


def covers(flat, corner, shape):
    """Whether the pixels of a frame with this corner (x, y) and shape all lie on ``flat``."""
    return all(
        n > 0 and here <= first and first + n <= here + size
        for here, size, first, n in zip(flat.corner, flat.data.shape[::-1], corner, shape[::-1], strict=True)
    )


def cut(flat, corner, shape):
    """Return the part of ``flat`` with this corner (x, y) and shape, else as it is.

    Raises
    ------
    InvalidInputError
        If the flat does not cover it.
    """
    if not covers(flat, corner, shape):
        raise InvalidInputError(
            f"FlatReference.cutout needs a part of {flat.name or 'the flat'}, which begins at {flat.corner} with shape "
            f"{flat.data.shape}; got one that begins at {corner} with shape {shape}"
        )
    if (flat.corner, flat.data.shape) == (corner, shape):
        return flat
    x, y = (first - here for first, here in zip(corner, flat.corner, strict=True))
    part = slice(y, y + shape[0]), slice(x, x + shape[1])
    planes = {
        name: None if getattr(flat, name) is None else readonly(getattr(flat, name)[part].copy())
        for name in ("data", "err", "dq")
    }
    return attrs.evolve(flat, **planes, corner=corner, covariance=None)
