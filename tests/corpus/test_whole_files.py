"""Files cut off, compressed, or not what they are called."""

import gzip

import numpy as np
import pytest

from .changes import BLOCK, sections_of
from .formats import FORMATS, REFUSED, SHAPE

EVERY = pytest.mark.parametrize("format", FORMATS.values(), ids=list(FORMATS))


def right(format):
    """What the undamaged file gives."""
    return REFUSED if format.kind == "rate" else {}


@EVERY
def test_undamaged(format, examine):
    examine(format, format.content, right(format), "as it was written")


def without(format):
    """What is read where extensions are missing, by their names; of all others it is refused."""
    alone = {
        "cal": dict.fromkeys(("err", "area", "var_poisson", "var_rnoise", "var_flat")),
        "FLAT": {"err": None, "dq": np.zeros(SHAPE, np.uint32)},
    }
    fields = {field.upper(): {field: value} for field, value in alone.get(format.kind.split()[-1], {}).items()}
    if format.kind in ("FLAT", "flight FLAT", "MASK"):
        fields["DQ_DEF"] = {}
    if format.kind == "flight FLAT":
        fields |= {name: {"provenance": None} for name in ("EXPOSURES", "HISTORY", "PHOTOMETRY")}
        fields |= {name: {"covariance": None} for name in ("MODES", "MISFIT", "OUTLIERS")}
    return fields


@EVERY
def test_truncated_at_every_block(format, examine):
    """A file that ends where an extension ends is a whole file, without those that follow."""
    content, fields = format.content, without(format)
    sections = sections_of(content)
    for size in [*range(0, len(content), BLOCK), *range(BLOCK // 2, len(content), BLOCK), len(content) - 1]:
        wanted = REFUSED
        lost = [name for name, start, _ in sections if start >= size]
        if size in [start for _, start, _ in sections] and set(lost) <= set(fields):
            wanted = {field: value for name in lost for field, value in fields[name].items()}
        examine(format, content[:size], wanted, f"first {size} of {len(content)} bytes")


@EVERY
def test_compressed(format, examine):
    packed = gzip.compress(format.content, 1)
    for name in (format.name, f"{format.name}.gz"):
        examine(format, packed, right(format), "gzip", name=name)
        for size in range(0, len(packed), max(len(packed) // 10, 1)):
            examine(format, packed[:size], REFUSED, f"first {size} bytes of {len(packed)}, gzip", name=name)
        examine(format, packed[:-8] + bytes(8), REFUSED, "gzip with another checksum", name=name)
    examine(format, format.content, right(format), "not compressed, but called so", name=f"{format.name}.gz")


@EVERY
def test_something_else(format, examine):
    noise = np.random.default_rng(1).bytes(20_000)
    others = {
        "noise": noise,
        "text": b"503 Service Unavailable\n" * 500,
        "zeros": bytes(BLOCK * 4),
        "PK": b"PK" + noise,
    }
    for what, content in others.items():
        examine(format, content, REFUSED, what)
    for other in FORMATS.values():
        if other.read != format.read:
            examine(format, other.content, REFUSED, f"a {other.kind}")
