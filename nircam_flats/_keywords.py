"""Keywords that every reference file has: what CRDS demands of their values (crds 14.0, ``all_all``)."""

import re
from datetime import datetime
from typing import Any

from astropy.time import Time

from nircam_flats.exceptions import InvalidInputError

__all__ = ["pedigree_faults", "text_faults", "useafter_faults", "useafter_of"]

UNDATED = ("GROUND", "MODEL", "DUMMY", "SIMULATION")
DATED = ("INFLIGHT", "MODEL")
DATE, TIME = "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"


def text_faults(name: str, keyword: str, value: Any) -> Any:
    """Yield a sentence if ``value`` is no text for ``keyword``."""
    if not value:
        yield f"{name} ({keyword}) must be given; it is missing"
    elif not re.fullmatch(r"[ -~]+", str(value)):
        yield f"{name} ({keyword}) must be printable ASCII text, as FITS demands; got {value!r}"


def pedigree_faults(value: Any) -> Any:
    """Yield a sentence if ``value`` is no PEDIGREE."""
    words = str(value or "").split()
    if len(words) == 1:
        valid = words[0].upper() in UNDATED
    else:
        valid = len(words) == 3 and words[0].upper() in DATED and _in_order(*words[1:])
    if not valid:
        yield (
            "pedigree (PEDIGREE) must be 'INFLIGHT YYYY-MM-DD YYYY-MM-DD', with the first and the last date, "
            f"or one of {', '.join(UNDATED)}; got {value!r}"
        )


def useafter_faults(value: Any) -> Any:
    """Yield a sentence if ``value`` is no USEAFTER."""
    if not _is_date(value or "", TIME):
        yield f"useafter (USEAFTER) must be YYYY-MM-DDTHH:MM:SS, without a fraction; got {value!r}"


def useafter_of(value: Any, needs: str) -> str:
    """Return a date as keyword USEAFTER has it, without a fraction; ``needs`` begins what is raised if it is none."""
    try:
        return Time(value).utc.strftime(TIME)
    except (ValueError, TypeError) as error:
        raise InvalidInputError(f"{needs} useafter as a date, YYYY-MM-DDTHH:MM:SS; got {value!r}") from error


def _is_date(text, layout):
    try:
        return datetime.strptime(text, layout).strftime(layout) == text
    except ValueError:
        return False


def _in_order(first, last):
    return _is_date(first, DATE) and _is_date(last, DATE) and first <= last
