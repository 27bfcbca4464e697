"""HTML made of elements: whatever is not an element already is text, and is escaped. There is no other way in.

Also the card that stands for an object in a notebook.
"""

import html
import re

import attrs
import numpy as np

__all__ = ["Html", "ShowsCard", "element", "joined", "table"]

VOID = {"br", "img", "link", "meta"}
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
LONGEST = 300
"""Characters of a value on a card."""
SHOWN = 8
"""Members of a sequence that are told one by one; of more, their number."""
CARD_STYLE = (
    "font: 13px/1.4 system-ui, sans-serif; border: 1px solid #8888; border-radius: 6px; padding: 0.5em 0.8em; "
    "display: inline-block; max-width: 100%; overflow-x: auto"
)


class Html(str):
    """Text that is HTML: made by the functions of this module, and never escaped again."""

    __slots__ = ()


def _escaped(content):
    """Return content as HTML, a text; what no page may hold (control characters, half pairs) is told by its code."""
    if isinstance(content, Html):
        return content
    text = str(content).encode("utf-8", "backslashreplace").decode("utf-8")
    return html.escape(CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text))


def joined(*contents):
    """Return contents one after another: `Html` as it is, anything else escaped, sequences opened, None left out."""
    parts = []
    for content in contents:
        if isinstance(content, list | tuple):
            parts.append(joined(*content))
        elif content is not None:
            parts.append(_escaped(content))
    return Html("".join(parts))


def element(tag, *contents, **attributes):
    """Return an element with its contents (see `joined`).

    ``class_`` stands for the attribute class, ``aria_label`` for aria-label; an attribute that is None or False is left
    out, one that is True stands without a value.

    Examples
    --------
    >>> from nircam_flats._html import element
    >>> element("p", element("b", "F200W"), " < 1 %", class_="note")
    '<p class="note"><b>F200W</b> &lt; 1 %</p>'
    """
    told = ""
    for name, value in attributes.items():
        name = name.rstrip("_").replace("_", "-")
        if value is True:
            told += f" {name}"
        elif value is not None and value is not False:
            told += f' {name}="{_escaped(value)}"'
    opened = f"<{tag}{told}>"
    return Html(opened if tag in VOID else f"{opened}{joined(*contents)}</{tag}>")


def table(columns, rows, *, caption, numbers=(), words=()):
    """Return a table that scrolls within its own box where the page is narrower.

    Parameters
    ----------
    columns
        Headings.
    rows
        A sequence of contents for each; the first cell of a row is its heading.
    caption
        What the table shows.
    numbers, words
        Headings of the columns of numbers, which are aligned to the right, and of those of long texts, whose lines are
        broken.
    """
    kinds = ["number" if name in numbers else "words" if name in words else None for name in columns]
    heads = [element("th", name, scope="col", class_=kind) for name, kind in zip(columns, kinds, strict=True)]
    body = []
    for row in rows:
        first, *others = zip(row, kinds, strict=True)
        cells = [element("td", cell, class_=kind) for cell, kind in others]
        body.append(element("tr", element("th", first[0], scope="row", class_=first[1]), cells))
    made = element("table", element("thead", element("tr", heads)), element("tbody", body), aria_label=caption)
    box = element("div", made, class_="scroll", tabindex=0, role="region", aria_label=caption)
    return joined(element("p", caption, class_="caption"), box)


class ShowsCard:
    """Mix-in for attrs classes: in a notebook the object is a card, a table of the fields that its repr tells."""

    __slots__ = ()

    def _repr_html_(self):
        rows = [
            (item.name.lstrip("_"), _told(item, getattr(self, item.name)))
            for item in attrs.fields(type(self))  # type: ignore[arg-type]  # of the class it is mixed in
            if item.repr
        ]
        cells = [
            element(
                "tr",
                element("th", name, scope="row", style="text-align: left; vertical-align: top; padding-right: 1em"),
                element("td", value, style="text-align: left"),
            )
            for name, value in rows
        ]
        heading = element("strong", type(self).__name__)
        return str(element("div", heading, element("table", cells, style="margin: 0.3em 0 0"), style=CARD_STYLE))


def _told(item, value):
    """Return the value of a field as a text for a card."""
    if isinstance(value, np.ndarray) and value.ndim and not hasattr(value, "unit"):
        return _array_told(value)
    if isinstance(value, list | tuple) and len(value) > SHOWN and not callable(item.repr):
        return f"{len(value)} × {type(value[0]).__name__}"
    if isinstance(value, ShowsCard) and type(value).__str__ is object.__str__ and not callable(item.repr):
        return type(value).__name__  # it has a card of its own
    text = item.repr(value) if callable(item.repr) else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def _array_told(array):
    """Return kind, size and range of an array as a text."""
    text = f"{array.dtype}, {' × '.join(map(str, array.shape))}"
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    if not finite.size:
        return f"{text}, no values"
    if array.dtype.kind == "b":
        return f"{text}, {np.count_nonzero(array)} true"
    lost = f", {array.size - finite.size} not finite" if finite.size < array.size else ""
    return f"{text}, {finite.min():.6g} to {finite.max():.6g}{lost}"
