"""The subarrays of imaging, and the places on the detectors where stars are put in them."""

from functools import cache
from typing import Any, Self

from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, to_tuple
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.instrument._tables import packaged_table
from nircam_flats.instrument.detector import Detector, to_detector

__all__ = ["Subarray", "check_corner"]


def check_corner(instance, attribute, value):
    """Validate a field that holds the (x, y) of a first pixel on ``instance.detector``."""
    largest = instance.detector.shape[::-1]
    if len(value) != 2 or any(item not in range(1, most + 1) for item, most in zip(value, largest, strict=True)):
        place = f"{type(instance).__name__}.{attribute.name}"
        raise InvalidInputError(f"{place} must be (x, y), whole numbers from 1 to {largest}; got {value!r}")


@frozen(kw_only=True)
class Subarray(HoldsArrays):
    """A part of a detector that is read out alone, as SIAF defines it (PRDOPSSOC-075).

    Positions are pixels of the full frame in the science orientation, counted from 1 as in headers.

    Attributes
    ----------
    detector
        Its detector.
    name
        Value of the header keyword SUBARRAY: FULL, SUB160, SUB64P...
    corner
        (x, y) of its first pixel: SUBSTRT1 and SUBSTRT2.
    shape
        Rows and columns.
    reference
        (x, y) of the reference position of its aperture, where a target is put.

    Examples
    --------
    >>> from nircam_flats import Subarray
    >>> Subarray.get("SUB160P", "B1").corner
    (1803, 1769)
    """

    detector: Detector = field(converter=to_detector, repr=str)
    name: str = field(converter=str)
    corner: tuple[int, int] = field(converter=to_tuple, validator=check_corner)
    shape: tuple[int, int] = field(converter=to_tuple)
    reference: tuple[float, float] = field(converter=to_tuple)

    def __str__(self):
        return f"{self.detector} {self.name}"

    @classmethod
    def get(cls, name: Any, detector: Detector | str | int) -> Self:
        """Return the subarray called ``name`` of ``detector``.

        Raises
        ------
        InvalidInputError
            If this detector has no imaging subarray of that name.
        """
        known = cls.of(detector)
        for subarray in known:
            if subarray.name == str(name).strip().upper():
                return subarray
        names = ", ".join(subarray.name for subarray in known)
        raise InvalidInputError(f"Subarray of {Detector.get(detector)} must be one of {names}; got {name!r}")

    @classmethod
    def of(cls, detector: Detector | str | int) -> tuple:
        """Return the imaging subarrays of ``detector`` as a tuple, FULL first."""
        detector = Detector.get(detector)
        return tuple(subarray for subarray in _all_subarrays() if subarray.detector == detector)


@cache
def _all_subarrays():
    return tuple(
        Subarray(
            detector=str(row["detector"]),
            name=str(row["name"]),
            corner=(int(row["x_corner"]), int(row["y_corner"])),
            shape=(int(row["ny"]), int(row["nx"])),
            reference=(float(row["x_ref"]), float(row["y_ref"])),
        )
        for row in packaged_table("subarrays")
    )
