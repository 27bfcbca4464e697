"""Every header keyword missing, of another type, or absurd."""

import attrs
import pytest
from astropy.io import fits

from .changes import cards_of, edited, unsealed, with_card
from .formats import ANYTHING, AS_ASTROPY, FORMATS, REFUSED

CHANGES = ("missing", "of another type", "absurd")
NEEDED = (REFUSED, REFUSED, REFUSED)
LAYOUT = ("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "PCOUNT", "GCOUNT", "TFIELDS", "TTYPE", "TFORM", "TNULL", "TZERO")
LAYOUT += ("EXTNAME", "BSCALE", "BZERO", "TUNIT", "TDISP", "TSCAL", "TDIM", "EXTEND", "EXTVER")
"""What says where numbers are and how they are written, not what they mean."""


def optional(field, absurd=REFUSED, missing=None):
    """A keyword that may be missing; ``absurd`` is what its field is then, or REFUSED."""
    return {field: missing}, REFUSED, absurd if absurd is REFUSED else {field: absurd}


def _pointing(field):
    return {"pointing": attrs.evolve(FORMATS["cal"].value.pointing, **{field: None})}, REFUSED, REFUSED


def _step(keyword, status):
    steps = FORMATS["cal"].value.steps | {keyword: status}
    return {"_steps": tuple(item for item in steps.items() if item[1] is not None)}


def cal():
    """What must come of the three changes of each keyword of a ``_cal`` file; of all others, nothing."""
    primary = ("TELESCOP", "INSTRUME", "EXP_TYPE", "DETECTOR", "FILTER", "PUPIL", "SUBSTRT1", "SUBSTRT2")
    wanted = {("PRIMARY", keyword): NEEDED for keyword in primary}
    wanted["PRIMARY", "SUBARRAY"] = REFUSED, REFUSED, {"subarray": "ABSURD"}
    texts = {"PROGRAM": "program", "OBSERVTN": "observation", "VISIT": "visit", "VISITSTA": "visit_status"}
    texts["R_FLAT"] = "flat_name"
    wanted |= {("PRIMARY", keyword): optional(field, "ABSURD") for keyword, field in texts.items()}
    numbers = {"EXPSTART": "start", "EXPEND": "end", "EFFEXPTM": "exposure_time"}
    wanted |= {("PRIMARY", keyword): optional(field) for keyword, field in numbers.items()}
    for keyword in FORMATS["cal"].value.steps:
        missing = REFUSED if keyword in ("S_FLAT", "S_PHOTOM") else _step(keyword, None)
        wanted["PRIMARY", keyword] = missing, REFUSED, _step(keyword, "ABSURD")
    wanted |= {("SCI", keyword): NEEDED for keyword in ("BUNIT", "RA_REF", "DEC_REF", "ROLL_REF", "V2_REF", "V3_REF")}
    wanted |= {("SCI", keyword): NEEDED for keyword in ("V3I_YANG", "VPARITY")}
    wanted |= {("SCI", keyword): _pointing(keyword.lower()) for keyword in ("RA_V1", "DEC_V1", "PA_V3")}
    wanted["SCI", "PHOTMJSR"] = optional("photmjsr")
    return wanted


def flat():
    """The same of a FLAT file: real ones have faults, so that little is needed."""
    wanted = {("PRIMARY", keyword): NEEDED for keyword in ("DETECTOR", "FILTER", "PUPIL")}
    wanted |= {("PRIMARY", keyword): ({}, REFUSED, REFUSED) for keyword in ("INSTRUME", "REFTYPE")}
    wanted["PRIMARY", "SUBSTRT1"] = {}, REFUSED, {"corner": (-999999, 1)}  # `check` names it
    wanted["PRIMARY", "SUBSTRT2"] = {}, REFUSED, {"corner": (1, -999999)}
    wanted["PRIMARY", "DATAMODL"] = {}, REFUSED, {}
    texts = {"AUTHOR": "author", "DESCRIP": "description", "PEDIGREE": "pedigree", "USEAFTER": "useafter"}
    wanted |= {("PRIMARY", keyword): optional(field, "ABSURD") for keyword, field in texts.items()}
    wanted["PRIMARY", "SUBARRAY"] = optional("subarray", "ABSURD", missing="FULL")
    return wanted


def flight_flat():
    """The same with provenance and covariance: tables that are not as they were written are a fault, and not used."""
    lost, told = ({"covariance": None},) * 3, ({"provenance": ANYTHING},) * 3
    wanted = flat() | {("MODES", "BOXSIZE"): lost, ("MISFIT", "MISFIT"): lost}
    wanted |= {("EXPOSURES", keyword): told for keyword in ("FIRSTDAT", "LASTDATE")}
    return wanted | {("PHOTOMETRY", keyword): told for keyword in ("MEAN", "MEDIAN", "SCATTER")}


def mask():
    """The same of a MASK file."""
    return {
        ("PRIMARY", "REFTYPE"): NEEDED,
        ("PRIMARY", "DETECTOR"): NEEDED,
        ("PRIMARY", "INSTRUME"): ({}, REFUSED, REFUSED),
    }


def product(**more):
    """The same of a product, by keyword of the primary header."""
    wanted = {"PRODUCT": NEEDED, "DETECTOR": NEEDED} | more
    return {("PRIMARY", keyword): outcomes for keyword, outcomes in wanted.items()}


def of_exposures(**more):
    """The same of a product made of exposures, whose dates it knows."""
    return product(FIRSTDAT=optional("first_date"), LASTDATE=optional("last_date"), **more)


def fit():
    """The same of a fit, which has a covariance besides."""
    needed = {("MODES", "BOXSIZE"): NEEDED, ("MISFIT", "MISFIT"): NEEDED}
    return of_exposures() | needed


TABLES = {
    "cal": cal,
    "FLAT": flat,
    "flight FLAT": flight_flat,
    "MASK": mask,
    "DeltaSkyflat": of_exposures,
    "FilterDependence": of_exposures,
    "FlatModelFit": fit,
    "DeadPixelMap": lambda: of_exposures(THRESH=NEEDED),
    "WispTemplate": lambda: product(FILTER=NEEDED, PUPIL=NEEDED, BUNIT=NEEDED, AMPERR=NEEDED),
}


def changed(card):
    """The card of each of `CHANGES`."""
    keyword, value = card.keyword, card.value
    other = 12.5 if isinstance(value, str) else "absurd"
    absurd = {str: "ABSURD", bool: value != True, int: -999999, float: -1e30}[type(value)]  # noqa: E712
    return dict(zip(CHANGES, (None, fits.Card(keyword, other), fits.Card(keyword, absurd)), strict=True))


@pytest.mark.parametrize("kind", TABLES)
def test_every_keyword(kind, examine):
    format, wanted = FORMATS[kind], TABLES[kind]()
    content = unsealed(format.content)
    found = list(cards_of(content))
    for section, card in found:
        outcomes = wanted.pop((section, card.keyword), ({}, {}, {}))
        if card.keyword.rstrip("0123456789") in LAYOUT:
            if kind not in ("cal", "FLAT"):
                continue
            outcomes = (AS_ASTROPY,) * 3
        for (change, new), outcome in zip(changed(card).items(), outcomes, strict=True):
            examine(
                format, with_card(content, section, card.keyword, new), outcome, f"{section} {card.keyword} {change}"
            )
    assert not wanted, "keywords that the file should have"


@pytest.mark.parametrize(
    "kind", [kind for kind in FORMATS if kind not in ("cal", "rate", "FLAT", "flight FLAT", "MASK")]
)
def test_a_product_that_was_changed(kind, examine):
    """Products have checksums: whatever was changed since they were written, they say so."""
    format = FORMATS[kind]
    for section, card in cards_of(format.content):
        if card.keyword in ("CHECKSUM", "DATASUM", "EXTEND") or card.keyword.rstrip("0123456789") in LAYOUT:
            continue
        new = changed(card)["absurd"]
        examine(format, with_card(format.content, section, card.keyword, new), REFUSED, f"{section} {card.keyword}")
    for place in range(100, len(format.content), 1999):
        byte = format.content[place] ^ 0x10
        damaged = format.content[:place] + bytes([byte]) + format.content[place + 1 :]
        examine(format, damaged, REFUSED, f"one bit of byte {place}")
    resealed = edited(format.content, lambda hdus: hdus[0].header.set("NOTE", "mine"), checksum=True)
    examine(format, resealed, {}, "a keyword added, with checksum=True")
    examine(format, unsealed(format.content), {}, "no checksums")


@pytest.mark.parametrize("kind", ["cal", "FLAT", "MASK"])
def test_a_card_that_says_nothing(kind, examine):
    """Neither text nor number: read where the keyword does not matter, refused where it does."""
    format = FORMATS[kind]
    for section, card in cards_of(format.content, "PRIMARY", "SCI"):
        garbled = f"{card.keyword:8}= 'no end \\ 1 2".encode()
        examine(format, with_card(format.content, section, card.keyword, garbled), AS_ASTROPY, f"{section} {card}")
