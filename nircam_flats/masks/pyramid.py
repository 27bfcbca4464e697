"""Masking of light too faint for single pixels: segmentation at several scales."""

from typing import Any, Self

import numpy as np

from nircam_flats.exceptions import InvalidInputError
from nircam_flats.kernels import box_means, repeat_mesh
from nircam_flats.masks.segmentation import Segmentation
from nircam_flats.masks.strategy import MaskStrategy

__all__ = ["PyramidSegmentation"]

MIN_GOOD = 0.5
"""Part of a box that must be good and not masked at a finer scale for its mean to be looked at."""
LEAST_PART = 0.1
"""Part of the boxes that must be looked at, for a scale to be searched: less says nothing of the background."""
LEAST_BOXES = 8
"""Side of the boxes of a local background, in boxes of the scale, at least."""


class PyramidSegmentation(MaskStrategy):
    """Apply `Segmentation` to means over boxes, from fine to coarse: what one finds, the next leaves out.

    In means over boxes of b pixels the noise is b times smaller: so the faint outskirts of galaxies, the wings of stars
    and faint galaxies are found that no single pixel shows, and sky levels of short exposures are free of most of
    their light. It masks far more of an image than a sky flat can spare.

    Parameters
    ----------
    scales
        Sides of the boxes, pixels, rising.
    n_sigma, n_pixels
        As in `Segmentation`, of the means: at least ``n_pixels`` connected boxes.
    grow
        Radius by which sources are grown, pixels; rounded to whole boxes, at least one.
    box_size
        Side of the boxes of a local background, pixels; None takes one level, which is right only where the flat is.

    Notes
    -----
    Coarse scales see errors of the flat as well as sources. `without_correction` is for data whose flat is wrong by
    several per cent; ``benchmarks/accuracy_background.py`` prints what either does to sky levels.

    Examples
    --------
    >>> import numpy as np
    >>> from nircam_flats import PyramidSegmentation, Segmentation
    >>> data = np.random.default_rng(1).normal(1, 0.1, (256, 256))
    >>> data[80:160, 80:160] += 0.02
    >>> good = np.isfinite(data)
    >>> [round(float(mask(data, good)[90:150, 90:150].mean()), 1) for mask in (Segmentation(), PyramidSegmentation())]
    [0.1, 1.0]
    """

    def __init__(
        self,
        *,
        scales: Any = (2, 4, 8, 16, 32),
        n_sigma: float = 1.0,
        n_pixels: int = 4,
        grow: float = 32,
        box_size: int | None = None,
    ) -> None:
        scales = tuple(scales)
        whole = all(isinstance(scale, int | np.integer) and scale >= 1 for scale in scales)
        if not scales or not whole or list(scales) != sorted(set(scales)):
            raise InvalidInputError(f"PyramidSegmentation.scales must be whole numbers from 1 on, rising; got {scales}")
        self.scales = scales
        self.n_sigma = n_sigma
        self.n_pixels = n_pixels
        self.grow = grow
        self.box_size = box_size
        for scale in scales:
            self._at(scale)  # which refuses bad settings

    @classmethod
    def without_correction(cls) -> Self:
        """The mask for data whose flat is still wrong by several per cent: finer scales over a local background."""
        return cls(scales=(4, 8, 16), box_size=256)

    def _at(self, scale):
        local = None if self.box_size is None else max(round(self.box_size / scale), LEAST_BOXES)
        grown = max(round(self.grow / scale), 1) if self.grow else 0
        return Segmentation(n_sigma=self.n_sigma, n_pixels=self.n_pixels, grow=grown, box_size=local)

    def find(self, data: np.ndarray, good: np.ndarray) -> np.ndarray:
        masked = np.zeros(data.shape, bool)
        for scale in self.scales:
            left = good & ~masked
            part = box_means(left.astype(np.float32), scale)
            enough = part > MIN_GOOD
            if enough.mean() < LEAST_PART:
                break
            sums = box_means(np.where(left, data, np.float32(0)), scale)
            means = np.full(sums.shape, np.nan, np.float32)
            np.divide(sums, part, out=means, where=enough)
            masked |= repeat_mesh(self._at(scale)(means, enough), scale, data.shape)
        return masked
