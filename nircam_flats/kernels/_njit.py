"""`numba.njit` that also works where nothing can be written."""

import numba

__all__ = ["njit"]


def njit(*, cache=False, **options):
    """Return `numba.njit` of these options; without a cache if there is no folder to write it to.

    The cache lies beside the module, in the user's cache folder, or in the folder that the environment variable
    NUMBA_CACHE_DIR names. Where none can be written (a read-only installation), numba refuses to cache; the functions
    are then compiled once in each process. No folder shared by users is tried: what it holds would be run.
    """

    def decorate(function):
        try:
            return numba.njit(cache=cache, **options)(function)
        except RuntimeError as error:
            if "no locator available" not in str(error):
                raise
            return numba.njit(**options)(function)

    return decorate
