"""What a new flat does to photometry, so that the flux calibration (PHOTMJSR) can follow."""

from typing import Any, Self

import numpy as np
from astropy.table import QTable
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays
from nircam_flats.exceptions import InvalidInputError, demand
from nircam_flats.instrument import Subarray
from nircam_flats.kernels import ratio_moments

__all__ = ["PhotometricShift"]

BOX = 32
"""Side of the box around a place over which the shift is taken, pixels: a star and its sky."""
FEW = 100_000
"""Usable pixels of which all are looked at."""
MIN_FRACTION = 0.1
"""Part of that box that must be usable in both flats."""


def _as_kept(value):
    return float(f"{value:.9g}")  # as exact as a header keeps it


@frozen(kw_only=True, eq=False)
class PhotometricShift(HoldsArrays):
    """The relative change of measured fluxes, new / old - 1, that comes with a new flat: old flat / new flat - 1.

    PHOTMJSR must be divided by 1 + shift at the places where standard stars were observed, for fluxes to stay. Surface
    brightness changes by the same factor in each pixel, on average by `mean`.

    Attributes
    ----------
    mean, median, scatter
        Over the pixels that are usable in both flats: what happens to the mean of many stars, and the standard
        deviation from star to star. The median is that of every 17th row.
    places
        Table of the reference positions of the detector and its subarrays (SIAF, PRDOPSSOC-075) that the flat covers:
        ``place``, the position ``x``, ``y`` on the detector (from 1), and ``shift``, the median over 32 x 32 pixels
        around it; NaN where fewer than a tenth of them are usable.
    """

    mean: float = field(converter=_as_kept)
    median: float = field(converter=_as_kept)
    scatter: float = field(converter=_as_kept)
    places: QTable = field(repr=lambda table: f"<{len(table)} places>")

    @classmethod
    def between(cls, old: Any, new: Any) -> Self:
        """Return the shift from `FlatReference` ``old`` to ``new``.

        Raises
        ------
        InvalidInputError
            If they are of different detectors or places, or share no usable pixel.
        """
        for flat in (old, new):
            demand(flat, "corner", "PhotometricShift.between needs two FlatReference")
        if (old.detector, old.corner, old.data.shape) != (new.detector, new.corner, new.data.shape):
            raise InvalidInputError(
                f"PhotometricShift.between needs flats of one detector, corner and shape; got {old.detector} "
                f"{old.corner} {old.data.shape} and {new.detector} {new.corner} {new.data.shape}"
            )
        good = old.good & new.good
        n, mean, scatter = ratio_moments(old.data, new.data, good)
        if not n:
            raise InvalidInputError(
                "PhotometricShift.between needs pixels that are usable in both flats; there are none"
            )
        return cls(
            mean=mean - 1,
            median=_sampled_median(old.data, new.data, good, n) - 1,
            scatter=scatter,
            places=_shifts_at_places(old, new, good),
        )

    def at(self, place: Any) -> float:
        """Return the shift at the reference position called ``place`` ('FULL', 'SUB160'...); NaN if it is not known."""
        found = self.places["shift"][self.places["place"] == place]
        return float(found[0]) if len(found) else float("nan")

    def __str__(self):
        places = "".join(f"; {row['place']} {row['shift']:+.4f}" for row in self.places)
        return f"mean {self.mean:+.4f}, median {self.median:+.4f}, scatter {self.scatter:.4f}{places}"


def _sampled_median(first, second, good, n_good):
    """Median of the ratio over the good pixels of every 17th row: of 4 million, enough; of all rows, where few are."""
    rows = slice(None, None, 17 if n_good > FEW else 1)
    first, second, good = first[rows], second[rows], good[rows]
    return np.median(first[good] / second[good])


def _shifts_at_places(old, new, good):
    rows = []
    for subarray in Subarray.of(old.detector):
        x, y = (position - first for position, first in zip(subarray.reference, old.corner, strict=True))
        if not (-0.5 <= x < good.shape[1] - 0.5 and -0.5 <= y < good.shape[0] - 0.5):
            continue
        box = tuple(slice(max(0, round(c - BOX / 2 + 0.5)), round(c + BOX / 2 + 0.5)) for c in (y, x))
        here = good[box]
        shift = np.nan
        if here.mean() >= MIN_FRACTION:
            shift = np.median(old.data[box][here] / new.data[box][here]) - 1
        rows.append((subarray.name, *subarray.reference, _as_kept(shift)))
    names, dtypes = ("place", "x", "y", "shift"), ("U8", float, float, float)
    return QTable(rows=rows or None, names=names, dtype=dtypes)
