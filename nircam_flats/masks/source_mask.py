"""Which pixels of an exposure show more than the sky, and why each is masked."""

from enum import IntFlag
from functools import cached_property
from typing import Any, Self

import numpy as np
from attrs import frozen
from contourpy import contour_generator
from regions import PixCoord, PolygonPixelRegion, Regions, SkyRegion
from scipy.ndimage import binary_fill_holes

from nircam_flats import kernels
from nircam_flats._fields import HoldsArrays, image, readonly
from nircam_flats.exceptions import InvalidInputError, demand
from nircam_flats.exposure import Exposure
from nircam_flats.masks.segmentation import Segmentation

__all__ = ["MaskReason", "SourceMask"]


class MaskReason(IntFlag):
    """Why a pixel is masked; bits of `SourceMask.flags`."""

    SOURCE = 1
    DATA_QUALITY = 2
    REGION = 4
    GROWN = 8
    EXTENDED = 16


@frozen(kw_only=True, eq=False)
class SourceMask(HoldsArrays):
    """A flag for each pixel of an exposure that says why it is masked; 0 is sky.

    Attributes
    ----------
    flags
        uint8 image ``[y, x]`` of `MaskReason` bits.

    Examples
    --------
    >>> import numpy as np
    >>> from nircam_flats import SourceMask
    >>> mask = SourceMask.from_array(np.eye(3, dtype=bool))
    >>> round(mask.fraction, 2), int(mask.grow(1).masked.sum())
    (0.33, 7)
    """

    flags: np.ndarray = image(np.uint8)

    @cached_property
    def masked(self):
        """Boolean image, True where masked for any reason."""
        return readonly(self.flags != 0)

    @property
    def fraction(self) -> float:
        """Fraction of all pixels that is masked."""
        return float(self.masked.mean())

    @classmethod
    def from_array(cls, masked: np.ndarray, reason: Any = MaskReason.SOURCE) -> Self:
        """Return the mask of a boolean image, all its pixels flagged with one ``reason``."""
        return cls(flags=np.asarray(masked, bool).view(np.uint8) * np.uint8(reason))

    @classmethod
    def from_exposure(cls, exposure: Exposure, strategy: Any = None, *, correction: Any = None) -> Self:
        """Find the sources of an exposure; pixels that are not good are flagged DATA_QUALITY.

        Parameters
        ----------
        exposure
            An `~nircam_flats.Exposure`.
        strategy
            A `~nircam_flats.MaskStrategy`; by default `Segmentation`.
        correction
            A `~nircam_flats.FlatModelFit` that divides the data before sources are looked for (passes after the first).

        Raises
        ------
        InvalidInputError
            If the exposure has no good pixel, or ``correction`` has another shape.
        """
        strategy = Segmentation() if strategy is None else strategy
        demand(exposure, "data", "SourceMask.from_exposure needs an Exposure with its pixels (exposure.load())")
        data = exposure.data
        if correction is not None:
            if correction.surface.shape != data.shape:
                raise InvalidInputError(
                    f"SourceMask.from_exposure needs a correction of the exposure's shape, {data.shape}; got "
                    f"{correction.surface.shape}"
                )
            data = data / correction.surface
        good = exposure.good & np.isfinite(data)
        flags = np.where(good, np.uint8(0), np.uint8(MaskReason.DATA_QUALITY))
        flags |= strategy(data, good).view(np.uint8) * np.uint8(MaskReason.SOURCE)
        return cls(flags=flags)

    @classmethod
    def from_regions(cls, regions: Any, shape: tuple, *, wcs: Any = None) -> Self:
        """Return the mask of the pixels whose centres lie in any of ``regions``.

        Parameters
        ----------
        regions
            A region or a list of regions of the package ``regions``, in pixels (zero-based) or on the sky.
        shape
            Shape of the image.
        wcs
            World coordinate system, needed for regions on the sky.

        Raises
        ------
        InvalidInputError
            If a region on the sky comes without ``wcs``.
        """
        masked = np.zeros(shape, bool)
        y, x = np.indices(shape)
        pixels = PixCoord(x, y)
        for region in [regions] if not isinstance(regions, (list, tuple, Regions)) else regions:
            if isinstance(region, SkyRegion):
                if wcs is None:
                    raise InvalidInputError("SourceMask.from_regions needs wcs=... for regions on the sky; got none")
                region = region.to_pixel(wcs)
            masked |= region.contains(pixels)
        return cls.from_array(masked, MaskReason.REGION)

    def to_regions(self) -> Any:
        """Return the outlines of the masked areas as pixel polygons, a `regions.Regions`; holes are filled."""
        filled = np.pad(binary_fill_holes(self.masked).astype(np.float32), 1)
        outlines = contour_generator(z=filled).lines(0.5)
        vertices = [np.asarray(points).T - 1 for points in outlines]
        return Regions([PolygonPixelRegion(PixCoord(*points)) for points in vertices])

    def grow(self, radius: float) -> "SourceMask":
        """Return the mask with its SOURCE and REGION pixels grown by a disk of ``radius`` pixels, flagged GROWN."""
        seeds = (self.flags & np.uint8(MaskReason.SOURCE | MaskReason.REGION)) != 0
        new = kernels.grow(seeds, radius) & ~seeds
        return SourceMask(flags=self.flags | np.where(new, np.uint8(MaskReason.GROWN), np.uint8(0)))

    def __or__(self, other: Any) -> "SourceMask":
        if not isinstance(other, SourceMask):
            return NotImplemented
        if other.flags.shape != self.flags.shape:
            raise InvalidInputError(
                f"SourceMask | SourceMask needs equal shapes; got {self.flags.shape} and {other.flags.shape}"
            )
        return SourceMask(flags=self.flags | other.flags)
