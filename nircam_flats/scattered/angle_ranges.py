"""Ranges of position angles on the circle."""

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from astropy import units as u
from astropy.table import QTable
from attrs import field, frozen
from numpy.typing import ArrayLike

from nircam_flats._html import ShowsCard
from nircam_flats.exceptions import InvalidInputError

__all__ = ["AngleRanges", "degrees_of"]


def degrees_of(angles, place):
    """Return angles, a Quantity or numbers in degrees, as plain degrees from 0 to 360.

    Raises
    ------
    InvalidInputError
        If one is not finite, or outside 0 to 360 deg; the text names ``place``.
    """
    try:
        degrees = angles.to_value(u.deg) if isinstance(angles, u.Quantity) else np.asarray(angles, float)
    except (u.UnitConversionError, TypeError, ValueError) as error:
        raise InvalidInputError(
            f"{place} must be angles, as a Quantity or in degrees; got {angles!r} ({error})"
        ) from None
    if not np.all((degrees >= 0) & (degrees <= 360)):
        raise InvalidInputError(f"{place} must be within 0 to 360 deg; got {angles}: take it modulo 360 deg")
    return np.asarray(degrees, float)


def _pieces(pairs):
    """Cut ranges at 360, sort and merge them; returns pairs within 0 to 360."""
    cut = []
    for start, end in pairs:
        cut += [(start, end)] if start <= end else [(start, 360.0), (0.0, end)]
    merged: list[list[float]] = []
    for start, end in sorted(cut):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        elif end > start:
            merged.append([start, end])
    return merged


def _to_ranges(value):
    pairs = []
    for pair in value:
        if not (np.iterable(pair) and len(tuple(pair)) == 2):
            raise InvalidInputError(f"AngleRanges: each range must be a pair of start and end; got {pair!r}")
        start, end = (float(degrees_of(angle, "AngleRanges: an angle")) for angle in pair)
        if start == end:
            raise InvalidInputError(
                f"AngleRanges: start and end must differ; got {start:g} twice: the whole circle is (0, 360)"
            )
        pairs.append((start % 360, end) if end != 0 else (start, 360.0))
    merged = _pieces(pairs)
    if len(merged) > 1 and merged[0][0] == 0 and merged[-1][1] == 360:
        (_, end), *merged = merged
        merged[-1][1] = end
    return tuple(map(tuple, merged))


@frozen
class AngleRanges(ShowsCard):
    """Any number of ranges of angles between 0 and 360 degrees, which are the same direction.

    Attributes
    ----------
    ranges
        Pairs (start, end) of degrees in order, none overlapping. One that runs through 0 has its end below its
        start, and comes last. Given as pairs of numbers in degrees, or of Quantities.

    Examples
    --------
    >>> from nircam_flats import AngleRanges
    >>> clear = AngleRanges([(340, 20), (90, 120)])
    >>> print(clear & AngleRanges([(0, 100)]))
    0.00-20.00, 90.00-100.00 deg
    >>> print(~clear)
    20.00-90.00, 120.00-340.00 deg
    >>> clear.contains([0, 30, 350]), f"{clear.width:.0f}"
    (array([ True, False,  True]), '70 deg')
    """

    ranges: tuple = field(default=(), converter=_to_ranges)

    @classmethod
    def from_samples(cls, angles: u.Quantity | ArrayLike, flags: ArrayLike) -> Self:
        """Return the ranges in which neighbouring samples of the whole circle are all flagged.

        A range runs from its first flagged sample to its last; a sample that is flagged alone makes none.

        Parameters
        ----------
        angles
            Evenly spaced from 0 to below 360 deg, a Quantity or degrees.
        flags
            A boolean for each.

        Raises
        ------
        InvalidInputError
            If the angles do not go once around, or there is not one boolean for each.
        """
        degrees, flags = degrees_of(angles, "AngleRanges.from_samples: angles"), np.asarray(flags)
        if (
            degrees.ndim != 1
            or not degrees.size
            or not np.allclose(degrees, np.arange(len(degrees)) * 360 / len(degrees))
        ):
            raise InvalidInputError("AngleRanges.from_samples: angles must go evenly from 0 to below 360 deg")
        if flags.shape != degrees.shape or flags.dtype != bool:
            raise InvalidInputError(
                f"AngleRanges.from_samples: needed {len(degrees)} booleans; got {flags.dtype} of shape {flags.shape}"
            )
        if flags.all():
            return cls([(0, 360)])
        changes = np.diff(np.concatenate([flags[-1:], flags]).astype(int))
        starts, after = np.flatnonzero(changes == 1), np.flatnonzero(changes == -1)
        ends = (np.roll(after, -1) if starts.size and after[0] <= starts[0] else after) - 1
        pairs = [(degrees[start], degrees[end]) for start, end in zip(starts, ends, strict=True) if start != end]
        return cls(pairs)

    def __iter__(self) -> Iterator:
        """Yield start and end of each range as Quantities."""
        return ((start * u.deg, end * u.deg) for start, end in self.ranges)

    def __len__(self) -> int:
        return len(self.ranges)

    def __str__(self):
        return ", ".join(f"{start:.2f}-{end:.2f}" for start, end in self.ranges) + " deg" if self.ranges else "none"

    @property
    def width(self) -> u.Quantity:
        """Sum of the widths of all ranges."""
        return sum(end - start for start, end in _pieces(self.ranges)) * u.deg

    @property
    def table(self) -> QTable:
        """A `~astropy.table.QTable` of start, end and width of each range."""
        start, end = np.array(self.ranges, float).reshape(-1, 2).T * u.deg
        return QTable(
            {"start": start, "end": end, "width": np.where(end < start, end - start + 360 * u.deg, end - start)}
        )

    def contains(self, angles: Any) -> Any:
        """Return whether angles, a Quantity or degrees, lie in one of the ranges, edges included: booleans.

        Raises
        ------
        InvalidInputError
            If one is outside 0 to 360 deg.
        """
        degrees = degrees_of(angles, "AngleRanges.contains: angles")
        inside = np.zeros(degrees.shape, bool)
        for start, end in self.ranges:
            between = (degrees >= start) & (degrees <= end) if start <= end else (degrees >= start) | (degrees <= end)
            inside |= between | ((degrees == 0) & (end == 360)) | ((degrees == 360) & (start == 0))
        return inside

    def __and__(self, other):
        """Return the ranges that both have in common."""
        if not isinstance(other, AngleRanges):
            return NotImplemented
        pairs = [
            (max(a, c), min(b, d))
            for a, b in _pieces(self.ranges)
            for c, d in _pieces(other.ranges)
            if max(a, c) < min(b, d)
        ]
        return AngleRanges(pairs)

    def __or__(self, other: Any) -> Any:
        """Return the ranges that are in either."""
        return AngleRanges(self.ranges + other.ranges) if isinstance(other, AngleRanges) else NotImplemented

    def __invert__(self):
        """Return the ranges that are left of the circle."""
        edges = [0.0, *(edge for piece in _pieces(self.ranges) for edge in piece), 360.0]
        return AngleRanges([pair for pair in zip(edges[::2], edges[1::2], strict=True) if pair[0] < pair[1]])
