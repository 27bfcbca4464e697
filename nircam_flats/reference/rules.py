"""What CRDS and the pipeline demand of a FLAT reference file, rule by rule.

A rule is a function that takes a `~nircam_flats.FlatReference` and yields a sentence for each way in which
the flat breaks it. Sources: the CRDS rules for NIRCam FLAT files (crds 14.0, ``all_all``, ``nircam_all`` and
``nircam_flat``) and the pipeline's flat-field step (jwst 3.0), which applies a negative value with its sign,
makes zeros of what an infinite one divides, without a flag, and loses a pixel whose ERR is NaN.
"""

import re
from datetime import datetime
from itertools import chain

import numpy as np

from nircam_flats.instrument import DQ
from nircam_flats.reference._arithmetic import NO_ANSWER, err_known, value_known

__all__ = ["RULES", "violations"]

UNDATED = ("GROUND", "MODEL", "DUMMY", "SIMULATION")
DATED = ("INFLIGHT", "MODEL")


def violations(flat):
    """Return what keeps ``flat`` from being written, a sentence each; an empty tuple if nothing does."""
    return tuple(chain.from_iterable(rule(flat) for rule in RULES))


def texts_are_given(flat):
    for name, keyword in (("author", "AUTHOR"), ("description", "DESCRIP")):
        value = getattr(flat, name)
        if not value:
            yield f"{name} ({keyword}) must be given; it is missing"
        elif not re.fullmatch(r"[ -~]+", value):
            yield f"{name} ({keyword}) must be printable ASCII text, as FITS demands; got {value!r}"


def history_is_told(flat):
    if not any(flat.history):
        yield "history (HISTORY) must say how the flat was made; it is empty"


def pedigree_is_known(flat):
    words = (flat.pedigree or "").split()
    if len(words) == 1:
        valid = words[0].upper() in UNDATED
    else:
        valid = len(words) == 3 and words[0].upper() in DATED and _in_order(*words[1:])
    if not valid:
        yield (
            "pedigree (PEDIGREE) must be 'INFLIGHT YYYY-MM-DD YYYY-MM-DD', with the first and the last date, "
            f"or one of {', '.join(UNDATED)}; got {flat.pedigree!r}"
        )


def useafter_has_no_fraction(flat):
    if not _is_date(flat.useafter or "", "%Y-%m-%dT%H:%M:%S"):
        yield f"useafter (USEAFTER) must be YYYY-MM-DDTHH:MM:SS, without a fraction; got {flat.useafter!r}"


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


def values_are_positive(flat):
    wrong = ~value_known(flat.data)
    if wrong.any():
        yield f"data must be finite and positive everywhere; {_pixels(wrong)}; repaired() flags them"


def errors_are_known(flat):
    if flat.err is None:
        yield "err must be given; it is missing"
        return
    wrong = ~err_known(flat.err)
    if wrong.any():
        yield f"err must be finite and not negative everywhere; {_pixels(wrong)}; repaired() flags them"


def no_answer_is_one_and_flagged(flat):
    wrong = DQ.NO_FLAT_FIELD.is_set(flat.dq) & ((flat.data != 1) | ~DQ.DO_NOT_USE.is_set(flat.dq))
    if wrong.any():
        yield (
            f"pixels flagged NO_FLAT_FIELD must be 1.0 and flagged {' | '.join(DQ.names(NO_ANSWER))}; "
            f"{_pixels(wrong)}; repaired() sets both"
        )


def something_is_usable(flat):
    if not flat.good.any():
        yield "at least one pixel must be usable; none is"


RULES = (
    texts_are_given,
    history_is_told,
    pedigree_is_known,
    useafter_has_no_fraction,
    place_is_on_the_detector,
    values_are_positive,
    errors_are_known,
    no_answer_is_one_and_flagged,
    something_is_usable,
)


def _pixels(wrong):
    y, x = np.argwhere(wrong)[0]
    return f"{np.count_nonzero(wrong)} pixels are not, the first at [y, x] = [{y}, {x}]"


def _is_date(text, layout):
    try:
        return datetime.strptime(text, layout).strftime(layout) == text
    except ValueError:
        return False


def _in_order(first, last):
    return _is_date(first, "%Y-%m-%d") and _is_date(last, "%Y-%m-%d") and first <= last
