"""Headers as nobody would write them, and bytes turned at random: what is read is what astropy reads there."""

import string
import warnings
from functools import cache

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .changes import CARD, cards_of, place_of, sections_of
from .formats import AS_ASTROPY, FORMATS

FUZZED = {
    "derandomize": True,  # the same files in each run
    "database": None,
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
}
VALUES = st.one_of(
    st.text(string.printable[:95], max_size=68),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.booleans(),
)
TEXTS = st.text(string.printable[:95], max_size=CARD)
RAW = st.one_of(TEXTS.map(str.encode), st.binary(max_size=CARD))


@cache
def _cards(kind):
    """Place and keyword of each card."""
    content = FORMATS[kind].content
    found = [(section, card.keyword) for section, card in cards_of(content, "PRIMARY", "SCI")]
    return [(place_of(content, *card), card[1]) for card in found]


def _fuzz(kind, data):
    """Return the file with up to four cards drawn: values, wild text, or bytes."""
    content = bytearray(FORMATS[kind].content)
    for place, keyword in data.draw(st.lists(st.sampled_from(_cards(kind)), min_size=1, max_size=4, unique=True)):
        value = data.draw(st.one_of(VALUES, RAW))
        if not isinstance(value, bytes):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = str(fits.Card(keyword, value)).encode("ascii")
        elif data.draw(st.booleans()):
            value = keyword.encode().ljust(8) + b"= " + value
        content[place : place + CARD] = value[:CARD].ljust(CARD)
    return bytes(content)


@pytest.mark.parametrize("kind", ["cal", "FLAT"])
def test_headers(kind, examine):
    @settings(max_examples=300, **FUZZED)
    @given(st.data())
    def check(data):
        examine(FORMATS[kind], _fuzz(kind, data), AS_ASTROPY, "fuzzed header")

    check()


@pytest.mark.parametrize("kind", ["cal", "FLAT", "MASK"])
def test_bytes(kind, examine):
    content = FORMATS[kind].content
    headers = np.concatenate([np.arange(start, stop) for _, start, stop in sections_of(content)])

    @settings(max_examples=150, **FUZZED)
    @given(st.lists(st.tuples(st.sampled_from(headers.tolist()), st.integers(0, 255)), min_size=1, max_size=20))
    def check(changes):
        changed = bytearray(content)
        for place, value in changes:
            changed[place] = value
        examine(FORMATS[kind], bytes(changed), AS_ASTROPY, f"bytes {changes}")

    check()
