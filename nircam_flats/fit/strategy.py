"""The interface of fit strategies."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from attrs import evolve

from nircam_flats._fields import readonly, refuse_unit_or_mask
from nircam_flats._strategy import Strategy, checked_image
from nircam_flats.exceptions import FitError, InvalidInputError
from nircam_flats.fit.surface import Surface
from nircam_flats.kernels import fill_mesh

__all__ = ["FitStrategy"]


class FitStrategy(Strategy, ABC):
    """How to turn a noisy delta skyflat into a smooth surface.

    Subclasses write `smooth`. Those that answer to medians of boxes of 32 px and not to their means set ``centre`` to
    'median': it says how much white noise comes through (`FlatModelFit.from_delta`).

    Examples
    --------
    >>> import numpy as np
    >>> from nircam_flats import FitStrategy
    >>> class RowMedian(FitStrategy):
    ...     '''Median of each detector row.'''
    ...     def smooth(self, data, err, good):
    ...         rows = np.nanmedian(data, axis=1, keepdims=True)
    ...         return np.broadcast_to(rows, data.shape)
    >>> RowMedian()(np.array([[1.0, 1.2, 1.4], [0.9, 0.9, 0.9]])).round(1)
    array([[1.2, 1.2, 1.2],
           [0.9, 0.9, 0.9]], dtype=float32)
    """

    centre = "mean"

    @abstractmethod
    def smooth(self, data: np.ndarray, err: np.ndarray | None, good: np.ndarray) -> Any:
        """Return the surface, an image of the shape of ``data``, finite at all good pixels.

        Elsewhere (the border of reference pixels, say) it may be NaN, which means: as the nearest answer. A strategy
        that knows its own errors returns a `Surface` instead of the bare image.

        Parameters
        ----------
        data
            float32 image ``[y, x]``, NaN where not ``good``.
        err
            float32 image, 1 sigma, or None if unknown.
        good
            Boolean image: pixels with a value.
        """

    def __call__(self, data: np.ndarray, err: np.ndarray | None = None, good: np.ndarray | None = None) -> np.ndarray:
        """Fit ``data`` and return the surface, float32 and finite everywhere; parameters and errors as `fit`."""
        return self.fit(data, err, good).values

    def fit(self, data: np.ndarray, err: np.ndarray | None = None, good: np.ndarray | None = None) -> Any:
        """Fit ``data`` and return the `Surface`, its values float32 and finite everywhere.

        Parameters
        ----------
        data
            Image ``[y, x]``.
        err
            Its 1 sigma errors, if known; a pixel whose error is not positive and finite is not good.
        good
            Boolean image of pixels to use; by default those that are finite.

        Raises
        ------
        InvalidInputError
            If shapes disagree, an array has a unit or a mask, no pixel is good, or `smooth` returns no image of the
            right shape.
        FitError
            If `smooth` has no finite answer for a good pixel.
        """
        name = type(self).__name__
        refuse_unit_or_mask(data, f"data given to {name}")
        data = np.asarray(data)
        if data.ndim != 2:
            raise InvalidInputError(f"{name} needs an image with two dimensions; got shape {data.shape}")
        usable = np.isfinite(data)
        if good is not None:
            usable &= checked_image(good, data.shape, bool, f"good pixels given to {name}")
        if err is not None:
            err = readonly(checked_image(err, data.shape, np.float32, f"err given to {name}").view())
            usable &= np.isfinite(err) & (err > 0)
        if not usable.any():
            raise InvalidInputError(f"{name} needs at least one good pixel; all {data.size} are bad")
        clean = np.where(usable, data, np.float32(np.nan)).astype(np.float32, copy=False)
        surface = self.smooth(clean, err, usable)
        if not isinstance(surface, Surface):
            surface = Surface(values=checked_image(surface, data.shape, np.float32, f"{name}.smooth(data, err, good)"))
        elif surface.values.shape != data.shape:
            raise InvalidInputError(
                f"{name}.smooth(data, err, good) must return a surface of shape {data.shape}; got "
                f"{surface.values.shape}"
            )
        finite = np.isfinite(surface.values)
        if finite.all():
            return surface
        if not finite[usable].all():
            bad = np.count_nonzero(usable & ~finite)
            raise FitError(
                f"{name}.smooth(data, err, good) must be finite at all good pixels; {bad} of {usable.sum()} are not"
            )
        return evolve(surface, values=fill_mesh(np.where(finite, surface.values, np.float32(np.nan))))
