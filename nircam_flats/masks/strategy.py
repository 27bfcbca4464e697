"""The interface of mask strategies."""

from abc import ABC, abstractmethod

import numpy as np

from nircam_flats._strategy import Strategy, checked_image
from nircam_flats.exceptions import InvalidInputError

__all__ = ["MaskStrategy"]


class MaskStrategy(Strategy, ABC):
    """How to find the pixels of an image that show more than the sky.

    Subclasses write `find`. A subclass that defines ``cache_key`` (a string that changes with every setting and
    with the code) lets its masks be kept on disk.

    Examples
    --------
    >>> import numpy as np
    >>> from nircam_flats import MaskStrategy
    >>> class Bright(MaskStrategy):
    ...     '''Every pixel above a fixed value.'''
    ...     def find(self, data, good):
    ...         return data > 2
    >>> Bright()(np.array([[1.0, 3.0]]), np.array([[True, True]]))
    array([[False,  True]])
    """

    @abstractmethod
    def find(self, data: np.ndarray, good: np.ndarray) -> np.ndarray:
        """Return a boolean image, True where a source is.

        Parameters
        ----------
        data
            float32 image ``[y, x]``, NaN where not ``good``.
        good
            Boolean image: usable pixels.
        """

    def __call__(self, data: np.ndarray, good: np.ndarray) -> np.ndarray:
        """Return the pixels to mask, a boolean image; pixels that are not ``good`` are never flagged here.

        Raises
        ------
        InvalidInputError
            If ``data`` is no image, no pixel is good, or `find` returns something else than a boolean image.
        """
        data = np.asarray(data)
        if data.ndim != 2:
            raise InvalidInputError(f"{type(self).__name__} needs an image with two dimensions; got shape {data.shape}")
        good = checked_image(good, data.shape, bool, f"good pixels given to {type(self).__name__}") & np.isfinite(data)
        if not good.any():
            raise InvalidInputError(f"{type(self).__name__} needs at least one good pixel; all {data.size} are bad")
        found = self.find(np.where(good, data, np.float32(np.nan)).astype(np.float32, copy=False), good)
        return checked_image(found, data.shape, bool, f"{type(self).__name__}.find(data, good)") & good
