"""Elements of HTML: what is no element is escaped; cards of objects."""

import xml.etree.ElementTree as ET

import attrs
import numpy as np
import pytest
from astropy import units as u

from nircam_flats import Exclusion, ExposureSet
from nircam_flats._fields import image, quantity
from nircam_flats._html import Html, ShowsCard, element, joined, table

HOSTILE = "<script>alert('a & \"b\"')</script>"


class TestElement:
    def test_contents_and_attributes(self):
        made = element(
            "p", "a", element("b", 1), ["c", ("d", None)], class_="note", aria_label="x", hidden=True, id=None
        )
        assert made == '<p class="note" aria-label="x" hidden>a<b>1</b>cd</p>'
        assert isinstance(made, Html)

    def test_void_elements_are_not_closed(self):
        assert element("img", src="data:,", alt="") == '<img src="data:," alt="">'

    def test_everything_else_is_escaped(self):
        made = element("p", HOSTILE, title=HOSTILE)
        parsed = ET.fromstring(made)
        assert (parsed.text, parsed.get("title"), len(parsed)) == (HOSTILE, HOSTILE, 0)
        assert "<script" not in made

    def test_what_no_page_may_hold_is_told(self):
        assert joined("a\x00\x1b\udc80\tb\n") == "a\\x00\\x1b\\udc80\tb\n"
        joined("\udc80").encode("utf-8")


class TestTable:
    def test_rows_and_kinds(self):
        made = table(("a", "b", "c"), [("x", 1, HOSTILE)], caption="what", numbers=("b",), words=("c",))
        caption, box = ET.fromstring(f"<div>{made}</div>")
        assert caption.text == box.get("aria-label") == "what"
        (head,), (row,) = box[0]
        assert [(cell.tag, cell.get("class"), cell.text) for cell in head] == [
            *(("th", None, "a"), ("th", "number", "b"), ("th", "words", "c"))
        ]
        assert [(cell.tag, cell.get("scope"), cell.get("class"), cell.text) for cell in row] == [
            *(("th", "row", None, "x"), ("td", None, "number", "1"), ("td", None, "words", HOSTILE))
        ]

    def test_rows_of_another_length_are_refused(self):
        with pytest.raises(ValueError, match="zip"):
            table(("a", "b"), [("x",)], caption="")


@attrs.frozen(kw_only=True, eq=False)
class Thing(ShowsCard):
    data: np.ndarray = image()
    flags: np.ndarray = image(bool)
    level: u.Quantity = quantity(u.MJy / u.sr)
    name: str = attrs.field()
    parts: tuple = attrs.field(default=())
    hidden: str = attrs.field(default="secret", repr=False)
    _own: int = attrs.field(default=3)


def card_of(thing):
    heading, rows = ET.fromstring(thing._repr_html_())
    return heading.text, {row[0].text: row[1].text for row in rows}


class TestCard:
    def test_fields_are_told_as_repr_tells_them(self):
        data = np.array([[1, 2.5, np.nan], [np.inf, 0.5, 1]])
        thing = Thing(data=data, flags=data > 1, level=0.25 * u.MJy / u.sr, name=HOSTILE, parts=(thing_of(),) * 9)
        assert card_of(thing) == (
            "Thing",
            {
                "data": "float32, 2 × 3, 0.5 to 2.5, 2 not finite",
                "flags": "bool, 2 × 3, 2 true",
                "level": "0.25 MJy / sr",
                "name": HOSTILE,
                "parts": "9 × Thing",
                "own": "3",
            },
        )

    def test_no_values_and_long_texts(self):
        thing = thing_of(data=np.full((2, 2), np.nan), name="x" * 1000)
        _, told = card_of(thing)
        assert told["data"] == "float32, 2 × 2, no values"
        assert told["name"] == "x" * 300 + " ..."

    def test_objects_of_the_library_have_one(self, made):
        products = made.products[1]
        for item in (made, products, products.grey, products.fit, products.flats["F200W"], products.detector):
            name, told = card_of(item)
            assert name == type(item).__name__
            assert told
        assert card_of(products.grey)[1]["data"].startswith("float32, 128 × 128, ")
        assert card_of(made)[1]["products"] == "<2 detectors>"
        assert (card_of(products)[1]["grey"], card_of(products)[1]["detector"]) == ("DeltaSkyflat", "NRCB1")

    def test_of_what_was_left_out(self):
        item = Exclusion(name=HOSTILE, reason="no & yes")
        assert card_of(item)[1] == {"name": HOSTILE, "path": "None", "reason": "no & yes"}
        assert "9 × Exclusion" in ExposureSet(members=(), excluded=[item] * 9)._repr_html_()


def thing_of(**changes):
    data = np.ones((2, 2))
    return Thing(**{"data": data, "flags": data > 1, "level": 1 * u.MJy / u.sr, "name": "a"} | changes)
