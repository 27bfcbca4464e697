"""What can go wrong, and how it is told.

Every error of the library is a `FlatsError`, and also the built-in error that a caller would expect.  Its text
says where, what is needed, what came, and the remedy if there is one.
"""

__all__ = ["FitError", "FlatsError", "FlatsWarning", "InvalidInputError", "StorageError", "WorkerError", "demand"]


class FlatsError(Exception):
    """Base class of all errors raised by nircam_flats."""


class InvalidInputError(FlatsError, ValueError):
    """A file, an array or an argument that cannot be used; the text says what was needed and what came."""


class StorageError(InvalidInputError):
    """A folder or disk that does not take what must be written; no exposure is to blame, and none is left out."""


class FitError(FlatsError, RuntimeError):
    """A model that the given data cannot determine."""


class WorkerError(FlatsError, RuntimeError):
    """Processes or machines that worked for an executor are gone, and it gave up."""


class FlatsWarning(UserWarning):
    """Something was left out or assumed, and the user should know."""


def demand(value, attribute, needs):
    """Raise `InvalidInputError` if ``value`` lacks an attribute of what is needed; ``needs`` says where and what."""
    if not hasattr(value, attribute):
        raise InvalidInputError(f"{needs}; got {type(value).__name__}")
