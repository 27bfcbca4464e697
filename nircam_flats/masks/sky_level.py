"""The one definition of a sky level."""

from typing import Any, Self

import numpy as np
from astropy import units as u
from attrs import field, frozen

from nircam_flats._fields import refuse_unit_or_mask
from nircam_flats._html import ShowsCard
from nircam_flats._strategy import checked_image
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.kernels import clipped_statistics

__all__ = ["SkyLevel"]

MEDIAN_ERROR = np.sqrt(np.pi / 2)  # of a normal sample, relative to the error of its mean


@frozen(kw_only=True)
class SkyLevel(ShowsCard):
    """Sky level of an image: the sigma-clipped median (3 sigma, 5 iterations) of the pixels not masked.

    Attributes
    ----------
    value, err
        Level and its 1 sigma error, in ``unit``. The error is that of a median of independent pixels, sqrt(pi/2)
        scatter / sqrt(n); noise that pixels share (1/f stripes) comes on top.
    scatter
        Clipped standard deviation of one pixel, in ``unit``.
    n_pixels
        Number of pixels left after clipping.
    masked_fraction
        Fraction of the usable pixels that was masked.
    """

    value: float = field()
    err: float = field()
    scatter: float = field()
    n_pixels: int = field()
    masked_fraction: float = field()
    unit: u.UnitBase = field(default=u.MJy / u.sr)

    @classmethod
    def measure(
        cls, data: np.ndarray, masked: np.ndarray, *, good: np.ndarray | None = None, unit: Any = u.MJy / u.sr
    ) -> Self:
        """Measure the level of ``data``.

        Parameters
        ----------
        data, masked
            Image and boolean image of the pixels to leave out (`~nircam_flats.SourceMask` gives ``.masked``).
        good
            Boolean image of usable pixels; by default those that are finite.
        unit
            Unit of ``data``.

        Raises
        ------
        InvalidInputError
            If ``data`` has a unit or a mask, no pixel is left, or ``masked`` or ``good`` is no boolean image like it.
        """
        refuse_unit_or_mask(data, "data given to SkyLevel")
        data = np.asarray(data)
        used = np.isfinite(data)
        if good is not None:
            used &= checked_image(good, used.shape, bool, "good pixels given to SkyLevel")
        n_good = np.count_nonzero(used)
        used &= ~checked_image(masked, used.shape, bool, "masked pixels given to SkyLevel")
        median, _, scatter, n = clipped_statistics(data, where=used)
        if n == 0:
            raise InvalidInputError(
                f"SkyLevel needs at least one pixel that is good and not masked; all {data.size} are out"
            )
        return cls(
            value=float(median),
            err=float(MEDIAN_ERROR * scatter / np.sqrt(n)),
            scatter=float(scatter),
            n_pixels=int(n),
            masked_fraction=float(1 - np.count_nonzero(used) / n_good),
            unit=u.Unit(unit),
        )
