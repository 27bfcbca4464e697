"""What became of dead pixels between two epochs."""

from typing import Any, Self

import numpy as np
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, mask, readonly
from nircam_flats.exceptions import InvalidInputError, demand
from nircam_flats.instrument import Detector
from nircam_flats.instrument.detector import to_detector

__all__ = ["DeadPixelComparison"]


@frozen(kw_only=True, eq=False)
class DeadPixelComparison(HoldsArrays):
    """Two maps of the dead pixels of one detector, compared.

    A pixel is dead in a map if it is new, worse or known there. Where only one of the maps measured a pixel that was
    not known, nothing can be said.

    Attributes
    ----------
    detector
        The detector.
    new, recovered, persisting
        Boolean images: dead in the later map only, in the earlier one only, in both.
    undecided
        Boolean image: dead in one map and, in the other, unmeasured, uncertain or in a vignetted strip.
    """

    detector: Detector = field(converter=to_detector, repr=str)
    new: np.ndarray = mask()
    recovered: np.ndarray = mask()
    persisting: np.ndarray = mask()
    undecided: np.ndarray = mask()

    @classmethod
    def between(cls, earlier: Any, later: Any) -> Self:
        """Compare two `DeadPixelMap`.

        Raises
        ------
        InvalidInputError
            If they are of different detectors or shapes.
        """
        for item in (earlier, later):
            demand(item, "classes", "DeadPixelMap.compare needs another DeadPixelMap")
        if earlier.detector != later.detector or earlier.classes.shape != later.classes.shape:
            raise InvalidInputError(
                "DeadPixelMap.compare needs maps of one detector and shape; got "
                f"{earlier.detector} {earlier.classes.shape} and {later.detector} {later.classes.shape}"
            )
        before, after = _is_dead(earlier), _is_dead(later)
        lived_before, lives_after = _is_alive(earlier), _is_alive(later)
        return cls(
            detector=earlier.detector,
            new=readonly(after & lived_before),
            recovered=readonly(before & lives_after),
            persisting=readonly(before & after),
            undecided=readonly((after & ~before & ~lived_before) | (before & ~after & ~lives_after)),
        )

    @property
    def counts(self) -> dict:
        """Number of pixels new, recovered, persisting and undecided, a dict."""
        return {name: int(np.sum(getattr(self, name))) for name in ("new", "recovered", "persisting", "undecided")}

    def plot(self, ax: Any = None, **artist_options: Any) -> Any:
        """Draw the pixels that are new, recovered, persisting and undecided; returns the artist of the new ones."""
        from nircam_flats.plotting import draw_dead_comparison

        return draw_dead_comparison(self, ax=ax, **artist_options)


def _is_dead(dead):
    return dead.new | dead.worse | dead.known


def _is_alive(dead):
    return dead.measured & ~_is_dead(dead) & ~dead.uncertain & ~dead.vignetted
