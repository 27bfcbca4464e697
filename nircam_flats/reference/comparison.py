"""How two flats of a detector differ: on large scales, from pixel to pixel, and in their flags."""

from functools import cached_property
from typing import Any, Self

import numpy as np
from astropy.table import Table
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, image, readonly, to_tuple
from nircam_flats.exceptions import InvalidInputError, demand
from nircam_flats.instrument import DQ, Detector
from nircam_flats.instrument.detector import to_detector
from nircam_flats.kernels import box_medians, mesh_range

__all__ = ["FlatComparison"]

BOX = 64
"""Side of the boxes whose clipped medians are the large scales, pixels."""


@frozen(kw_only=True, eq=False)
class FlatComparison(HoldsArrays):
    """The difference between two flats of a detector.

    Attributes
    ----------
    detector
        Their detector.
    names
        What the two are called: this one, the other.
    ratio
        This flat / the other, float32; NaN where either has no answer.
    flags
        Table with a row for each flag of either: ``flag``, ``n_here``, ``n_other``, and in how many pixels it was
        ``n_set`` (here, not there) and ``n_cleared`` (there, not here).
    """

    detector: Detector = field(converter=to_detector, repr=str)
    names: tuple[str, str] = field(converter=to_tuple)
    ratio: np.ndarray = image()
    flags: Table = field(repr=lambda table: f"<{len(table)} flags>")

    @classmethod
    def between(cls, flat: Any, other: Any) -> Self:
        """Compare `FlatReference` ``flat`` with ``other``; they may be of different filters.

        Raises
        ------
        InvalidInputError
            If they are of different detectors, corners or shapes, or share no usable pixel.
        """
        demand(other, "corner", "FlatReference.compare needs another FlatReference")
        if (flat.detector, flat.corner, flat.data.shape) != (other.detector, other.corner, other.data.shape):
            raise InvalidInputError(
                f"FlatReference.compare needs another flat of {flat.detector} with corner {flat.corner} and shape "
                f"{flat.data.shape}; got one of {other.detector} with {other.corner} and {other.data.shape}"
            )
        good = flat.good & other.good
        if not good.any():
            raise InvalidInputError("FlatReference.compare needs a pixel that is usable in both flats; there is none")
        ratio = np.full(good.shape, np.nan, np.float32)
        np.divide(flat.data, other.data, out=ratio, where=good)
        names = [item.name or f"{item.detector} {item.filter}" for item in (flat, other)]
        return cls(detector=flat.detector, names=names, ratio=readonly(ratio), flags=_flag_table(flat.dq, other.dq))

    @cached_property
    def _meshes(self):
        return box_medians(self.ratio, BOX)

    @cached_property
    def large_scale(self):
        """Clipped medians of `ratio` in boxes of 64 x 64 pixels, float32; NaN where fewer than a tenth are usable."""
        return readonly(self._meshes[0])

    @property
    def peak_to_peak(self) -> float:
        """Largest minus smallest of `large_scale`."""
        return mesh_range(self.large_scale)

    @property
    def rms(self) -> float:
        """Standard deviation of `large_scale`."""
        return float(np.nanstd(self.large_scale))

    @property
    def pixel_scatter(self) -> float:
        """Scatter of `ratio` from pixel to pixel: the median over the boxes of their clipped standard deviations."""
        return float(np.nanmedian(self._meshes[1]))

    @property
    def summary(self) -> dict:
        """The numbers as a dictionary."""
        return {
            "this": self.names[0],
            "other": self.names[1],
            "n_compared": int(np.isfinite(self.ratio).sum()),
            "median": float(np.nanmedian(self.ratio)),
            "peak_to_peak": self.peak_to_peak,
            "rms": self.rms,
            "pixel_scatter": self.pixel_scatter,
            "n_flags_set": int(sum(self.flags["n_set"])),
            "n_flags_cleared": int(sum(self.flags["n_cleared"])),
        }

    def __str__(self):
        numbers = self.summary
        lines = [
            f"{self.detector}: {self.names[0]} / {self.names[1]}, {numbers['n_compared']} pixels, median "
            f"{numbers['median']:.5f}",
            f"  boxes of {BOX} px: peak to peak {self.peak_to_peak:.3%}, rms {self.rms:.3%}",
            f"  from pixel to pixel: {self.pixel_scatter:.3%}",
        ]
        changed = [row for row in self.flags if row["n_set"] or row["n_cleared"]]
        lines += [f"  {row['flag']}: set in {row['n_set']} pixels, cleared in {row['n_cleared']}" for row in changed]
        return "\n".join(lines if changed else [*lines, "  flags: the same"])

    def plot(self, ax: Any = None, **artist_options: Any) -> Any:
        """Draw the ratio; returns the artist."""
        from nircam_flats.plotting import draw_flat

        options = {"title": f"{self.detector}: {self.names[0]} / {self.names[1]}", "label": "ratio of the flats"}
        return draw_flat(self.ratio, ax=ax, **(options | artist_options))


def _flag_table(here, there):
    flagged = np.flatnonzero(here | there)
    here, there = here.ravel()[flagged], there.ravel()[flagged]
    rows = []
    for flag in DQ:
        one, other = flag.is_set(here), flag.is_set(there)
        if one.any() or other.any():
            rows.append((flag.name, one.sum(), other.sum(), (one & ~other).sum(), (other & ~one).sum()))
    names = ("flag", "n_here", "n_other", "n_set", "n_cleared")
    return Table(rows=rows or None, names=names, dtype=("U40", int, int, int, int))
