"""What all strategies share: settings are constructor arguments, nothing is remembered between calls."""

import numpy as np

from nircam_flats.exceptions import InvalidInputError

__all__ = ["Strategy", "checked_image", "key_of"]


class Strategy:
    """Base of the strategies that users subclass: a plain class whose attributes are its settings.

    Its `repr` is one line, as the headers of files need.
    """

    def __repr__(self):
        settings = ", ".join(f"{name}={' '.join(repr(value).split())}" for name, value in sorted(vars(self).items()))
        return f"{type(self).__name__}({settings})"


def key_of(strategy):
    """Return a text that stands for the code and all settings of ``strategy``; None if it does not say what it is.

    Those of the library are known by their `repr`. A class of the user must define ``cache_key`` itself: one that it
    inherits knows nothing of what it changed. So must the strategies that a strategy is made of.
    """
    kind = type(strategy)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if name.startswith("nircam_flats."):
        own: str | None = repr(strategy)
    else:
        own = strategy.cache_key if "cache_key" in vars(kind) or "cache_key" in vars(strategy) else None
    parts = [own, *(key_of(part) for part in vars(strategy).values() if isinstance(part, Strategy))]
    return None if None in parts else " ".join([name, *parts])


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
