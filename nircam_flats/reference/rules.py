"""What CRDS and the pipeline demand of a FLAT reference file, rule by rule.

A rule is a function that takes a `~nircam_flats.FlatReference` and yields a sentence for each way in which
the flat breaks it. Sources: the CRDS rules for NIRCam FLAT files (crds 14.0, ``all_all``, ``nircam_all`` and
``nircam_flat``) and the pipeline's flat-field step (jwst 3.0), which applies a negative value with its sign,
makes zeros of what an infinite one divides, without a flag, and loses a pixel whose ERR is NaN.
"""

from itertools import chain

import numpy as np

from nircam_flats._keywords import pedigree_faults, text_faults, useafter_faults
from nircam_flats.instrument import DQ
from nircam_flats.kernels import pixel_faults
from nircam_flats.reference._arithmetic import NO_ANSWER

__all__ = ["RULES", "level_is_about_one", "violations"]

FAR = 2.0
"""Largest factor by which the level of a flat may differ from 1, to which flats are normalised."""
SAMPLED = 8
"""Every eighth pixel along each axis tells the level."""
#: What each of the three counts of `~nircam_flats.kernels.pixel_faults` breaks.
DEMANDS = (
    "data must be finite and positive everywhere",
    "err must be finite and not negative everywhere",
    f"pixels flagged NO_FLAT_FIELD must be 1.0 and flagged {' | '.join(DQ.names(NO_ANSWER))}",
)


def violations(flat):
    """Return what keeps ``flat`` from being written, a sentence each; an empty tuple if nothing does."""
    return tuple(chain.from_iterable(rule(flat) for rule in RULES))


def texts_are_given(flat):
    yield from text_faults("author", "AUTHOR", flat.author)
    yield from text_faults("description", "DESCRIP", flat.description)


def history_is_told(flat):
    if not any(flat.history):
        yield "history (HISTORY) must say how the flat was made; it is empty"


def pedigree_is_known(flat):
    return pedigree_faults(flat.pedigree)


def useafter_has_no_fraction(flat):
    return useafter_faults(flat.useafter)


def place_is_on_the_detector(flat):
    last = [first + size - 1 for first, size in zip(flat.corner, flat.data.shape[::-1], strict=True)]
    limits = flat.detector.shape[::-1]
    if min(flat.corner) < 1 or any(end > limit for end, limit in zip(last, limits, strict=True)):
        yield (
            f"corner (SUBSTRT1, SUBSTRT2) and shape must lie within the {limits[0]} x {limits[1]} pixels of "
            f"{flat.detector}; got {flat.corner} to {tuple(last)}"
        )
    if flat.subarray == "FULL" and tuple(flat.corner) != (1, 1):
        yield f"corner (SUBSTRT1, SUBSTRT2) of a full frame (SUBARRAY FULL) must be (1, 1); got {flat.corner}"


def level_is_about_one(flat):
    sample = np.s_[::SAMPLED, ::SAMPLED]
    usable = ~DQ.DO_NOT_USE.is_set(flat.dq[sample]) & np.isfinite(flat.data[sample])
    if usable.any():
        level = np.median(flat.data[sample][usable])
        if not 1 / FAR <= level <= FAR:
            yield (
                f"data must be about 1, as images are divided by it; the median of the usable pixels is {level:.3g}: "
                "divide data by it, and err if it was scaled too"
            )


def pixels_are_settled(flat):
    err = np.zeros_like(flat.data) if flat.err is None else flat.err
    counts, firsts, n_usable = pixel_faults(flat.data, err, flat.dq, np.uint32(DQ.NO_FLAT_FIELD), np.uint32(NO_ANSWER))
    if flat.err is None:
        yield "err must be given; it is missing"
    for demand, n_pixels, first in zip(DEMANDS, counts, firsts, strict=True):
        if n_pixels:
            y, x = divmod(int(first), flat.data.shape[1])
            yield f"{demand}; {n_pixels} pixels are not, the first at [y, x] = [{y}, {x}]; repaired() mends them"
    if not n_usable:
        yield "at least one pixel must be usable; none is"


RULES = (
    texts_are_given,
    history_is_told,
    pedigree_is_known,
    useafter_has_no_fraction,
    place_is_on_the_detector,
    level_is_about_one,  # before the pixels, which are mended when the level is right
    pixels_are_settled,
)
