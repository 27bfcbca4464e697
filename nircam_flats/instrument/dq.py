"""Data-quality bits of JWST images and reference files, by name."""

from enum import IntFlag
from typing import Any, Self

import numpy as np

from nircam_flats.exceptions import InvalidInputError

__all__ = ["DQ"]


class DQ(IntFlag):
    """Bits of a JWST DQ image (the pipeline's documentation, "Data quality flags").

    Examples
    --------
    >>> import numpy as np
    >>> from nircam_flats import DQ
    >>> DQ.DEAD.is_set(np.array([0, 1024, 1025], dtype=np.uint32))
    array([False,  True,  True])
    >>> DQ.names(1025)
    ('DO_NOT_USE', 'DEAD')
    """

    DO_NOT_USE = 1 << 0
    SATURATED = 1 << 1
    JUMP_DET = 1 << 2
    DROPOUT = 1 << 3
    OUTLIER = 1 << 4
    PERSISTENCE = 1 << 5
    AD_FLOOR = 1 << 6
    CHARGELOSS = 1 << 7
    RESERVED = 1 << 8
    NON_SCIENCE = 1 << 9
    DEAD = 1 << 10
    HOT = 1 << 11
    WARM = 1 << 12
    LOW_QE = 1 << 13
    RC = 1 << 14
    TELEGRAPH = 1 << 15
    NONLINEAR = 1 << 16
    BAD_REF_PIXEL = 1 << 17
    NO_FLAT_FIELD = 1 << 18
    NO_GAIN_VALUE = 1 << 19
    NO_LIN_CORR = 1 << 20
    NO_SAT_CHECK = 1 << 21
    UNRELIABLE_BIAS = 1 << 22
    UNRELIABLE_DARK = 1 << 23
    UNRELIABLE_SLOPE = 1 << 24
    UNRELIABLE_FLAT = 1 << 25
    OPEN = 1 << 26
    ADJ_OPEN = 1 << 27
    FLUX_ESTIMATED = 1 << 28
    MSA_FAILED_OPEN = 1 << 29
    OTHER_BAD_PIXEL = 1 << 30
    REFERENCE_PIXEL = 1 << 31

    def is_set(self, dq: np.ndarray) -> np.ndarray:
        """Return a boolean image, True where any of these bits is set in ``dq`` (integers, any shape)."""
        return (np.asarray(dq) & np.uint32(self)) != 0

    @classmethod
    def names(cls, value: float) -> Any:
        """Return the names of the bits set in the number ``value``, lowest first."""
        return tuple(flag.name for flag in cls if int(value) & flag)

    @classmethod
    def get(cls, name: Any) -> Self:
        """Return the bit called ``name``.

        Raises
        ------
        InvalidInputError
            If JWST defines no bit of that name.
        """
        try:
            return cls[str(name).strip().upper()]
        except KeyError:
            raise InvalidInputError(f"DQ bit must have a name defined by the JWST pipeline; got {name!r}") from None
