"""Masking of sources by segmentation: connected pixels above the background of a smoothed image."""

from typing import Self

import numpy as np
from astropy.stats import gaussian_fwhm_to_sigma
from scipy.ndimage import median_filter

from nircam_flats.exceptions import InvalidInputError
from nircam_flats.kernels import box_medians, clipped_statistics, expand_mesh, fill_mesh, grow, large_groups, smooth
from nircam_flats.masks.strategy import MaskStrategy

__all__ = ["Segmentation"]


class Segmentation(MaskStrategy):
    """Flag groups of connected pixels above the background of a smoothed image.

    The image is smoothed with a 3 x 3 Gaussian; pixels of it above ``background + n_sigma * scatter``, where the
    scatter is the clipped standard deviation of the *unsmoothed* image, are candidates; candidates that touch (by
    sides or corners) in groups of at least ``n_pixels`` are sources; sources are grown by a disk.

    Parameters
    ----------
    n_sigma
        Threshold in units of the scatter of single pixels. After smoothing the noise is 0.34 of that, so
        ``n_sigma=1`` cuts at 2.9 times the noise of the smoothed image.
    n_pixels
        Smallest number of connected pixels of a source.
    fwhm
        Width of the smoothing Gaussian, pixels.
    grow
        Radius by which sources are grown, pixels; 0 leaves them as found.
    box_size
        Side of the boxes of a local background (clipped medians, 3 x 3 median filter over the boxes, cubic
        interpolation), pixels. None takes one level for the whole frame: right only when the data are already
        flat, because otherwise the cut follows the error of the flat.

    Notes
    -----
    `Segmentation.of_report` is the mask of Sunnquist et al. 2022 (JWST-STScI-008304, section 3.1). Why the
    defaults differ is measured by ``benchmarks/accuracy.py`` and told in the documentation ("Method").
    """

    def __init__(
        self,
        *,
        n_sigma: float = 1.0,
        n_pixels: int = 4,
        fwhm: float = 3.0,
        grow: float = 8,
        box_size: int | None = None,
    ) -> None:
        if n_sigma <= 0 or n_pixels < 1 or fwhm <= 0 or not 0 <= grow <= 254 or (box_size is not None and box_size < 4):
            raise InvalidInputError(
                "Segmentation needs n_sigma > 0, n_pixels >= 1, fwhm > 0, grow from 0 to 254 and box_size None or "
                f">= 4; got n_sigma={n_sigma}, n_pixels={n_pixels}, fwhm={fwhm}, grow={grow}, box_size={box_size}"
            )
        self.n_sigma = n_sigma
        self.n_pixels = n_pixels
        self.fwhm = fwhm
        self.grow = grow
        self.box_size = box_size

    @classmethod
    def of_report(cls) -> Self:
        """The mask of the report, literally: 1 sigma above one level, 4 connected pixels, not grown."""
        return cls(n_sigma=1.0, n_pixels=4, fwhm=3.0, grow=0, box_size=None)

    @classmethod
    def for_first_pass(cls) -> Self:
        """The mask for data whose flat is still wrong by several per cent: a background that follows it."""
        return cls(box_size=64)

    def find(self, data: np.ndarray, good: np.ndarray) -> np.ndarray:
        if self.box_size is None:
            level, _, scatter, _ = clipped_statistics(data)
        else:
            level, scatter = self._local_background(data)
        offsets = np.arange(-1, 2) / (self.fwhm * gaussian_fwhm_to_sigma)
        profile = np.exp(-0.5 * offsets**2)
        smoothed = smooth(data, good, profile / profile.sum())
        candidates = smoothed > level + np.float32(self.n_sigma * scatter)
        sources = large_groups(candidates & good, self.n_pixels)
        return grow(sources, self.grow) if self.grow else sources

    def _local_background(self, data):
        medians, stds, _ = box_medians(data, self.box_size)
        if np.isnan(medians).all():
            raise InvalidInputError(
                f"Segmentation needs a box of {self.box_size} px with 10 % good pixels; there is none"
            )
        background = median_filter(fill_mesh(medians), size=3, mode="nearest")
        return expand_mesh(background, self.box_size, data.shape), np.nanmedian(stds)
