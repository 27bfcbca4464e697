"""What all strategies share: settings are constructor arguments, nothing is remembered between calls."""

import numpy as np

from nircam_flats.exceptions import InvalidInputError

__all__ = ["Strategy", "checked_image"]


class Strategy:
    """Base of the strategies that users subclass: a plain class whose attributes are its settings.

    Its `repr` is one line, as the headers of files need.
    """

    def __repr__(self):
        settings = ", ".join(f"{name}={' '.join(repr(value).split())}" for name, value in sorted(vars(self).items()))
        return f"{type(self).__name__}({settings})"


def checked_image(value, shape, dtype, place):
    """Return ``value`` as an array of ``dtype`` if it has ``shape``.

    Raises
    ------
    InvalidInputError
        Naming ``place``, what was needed and what came.
    """
    array = np.asarray(value)
    if array.shape != shape or array.dtype == object:
        raise InvalidInputError(f"{place} must be an array of shape {shape}; got {type(value).__name__} {array.shape}")
    if dtype is bool and array.dtype != bool:
        raise InvalidInputError(f"{place} must be a boolean array; got dtype {array.dtype}")
    return array.astype(dtype, copy=False)
