"""Which pixels were known to be dead before, by whoever says so."""

from pathlib import Path

import numpy as np

from nircam_flats._fields import readonly
from nircam_flats.defects._mask_file import read_mask
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.exposure import ExposureSet
from nircam_flats.instrument import DQ

__all__ = ["LOW_BITS", "known_flags"]

LOW_BITS = DQ.DEAD | DQ.LOW_QE
"""What a bad-pixel mask calls pixels that see little or no light."""


def known_flags(known, detector, shape):
    """Return the flags that pixels had before, a uint32 image of `~nircam_flats.DQ` bits.

    Parameters
    ----------
    known
        - the path of a MASK reference file: all its flags;
        - anything with the attribute ``dq``, such as a `~nircam_flats.FlatReference`, an `~nircam_flats.Exposure` or a
          data model: its bits DEAD and LOW_QE;
        - an `~nircam_flats.ExposureSet`: the same bits, of those of its exposures that show this detector;
        - a boolean image, True where a pixel was dead;
        - None: nothing was known.
    detector, shape
        What it must fit.

    Raises
    ------
    InvalidInputError
        If it is none of these, or is of another detector or shape.
    """
    if known is None:
        return readonly(np.zeros(shape, np.uint32))
    if isinstance(known, str | Path):
        dq, theirs = read_mask(known)
        what = str(known)
    elif isinstance(known, ExposureSet):
        what, theirs, dq = "the exposures", detector, _of_exposures(known, detector, shape)
    elif getattr(known, "dq", None) is not None:
        what, theirs = type(known).__name__, getattr(known, "detector", detector)
        dq = np.asarray(known.dq, np.uint32) & np.uint32(LOW_BITS)
    elif isinstance(known, np.ndarray) and known.dtype == bool:
        what, theirs, dq = "the boolean image", detector, np.where(known, np.uint32(DQ.DEAD), np.uint32(0))
    else:
        raise InvalidInputError(
            "known must be a MASK reference file, something with dq (a FlatReference, an Exposure), an ExposureSet, a "
            f"boolean image or None; got {_came(known)}"
        )
    if theirs != detector:
        raise InvalidInputError(f"known must be of detector {detector}; got {what} of {theirs}")
    if dq.shape != tuple(shape):
        raise InvalidInputError(f"known must have the shape of the delta skyflat, {tuple(shape)}; {what}: {dq.shape}")
    return readonly(dq)


def _came(known):
    return f"an array of {known.dtype}" if isinstance(known, np.ndarray) else f"a {type(known).__name__}"


def _of_exposures(exposures, detector, shape):
    dq = np.zeros(shape, np.uint32)
    members = [member for member in exposures if member.detector == detector]
    if not members:
        raise InvalidInputError(f"known must hold an exposure of detector {detector}; got an ExposureSet without any")
    for member in members:
        flags = member.load(planes=("dq",)).dq
        if flags is None or flags.shape != dq.shape:
            came = "none" if flags is None else f"shape {flags.shape}"
            raise InvalidInputError(
                f"{member.name}: flags of shape {dq.shape} are needed to know dead pixels; got {came}"
            )
        dq |= flags & np.uint32(LOW_BITS)
    return dq
