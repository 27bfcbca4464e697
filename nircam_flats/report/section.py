"""What the report page is made of: sections that hold words, tables, pictures and further sections."""

import re
from base64 import b64encode
from collections.abc import Callable
from io import BytesIO

import numpy as np
from attrs import field, frozen
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from nircam_flats._fields import to_tuple
from nircam_flats._html import element

__all__ = ["Picture", "Section", "folded", "paragraph"]

DPI = 110
MOST_BYTES = 100 * 1024
N_COLOURS = 64
DEEPEST = 6


@frozen(kw_only=True)
class Picture:
    """A figure of the page.

    Attributes
    ----------
    draw
        ``draw(ax=axes)`` draws it, or ``draw(figure=figure)`` if it is wide; called when the page is made.
    alt
        What is seen on it, for those who cannot see it.
    caption
        What it shows, with units.
    size
        Width and height, inches.
    wide
        Whether it has axes of its own making, and the page to itself.
    """

    draw: Callable = field(repr=False)
    alt: str = field()
    caption: str = field()
    size: tuple = field(default=(4.6, 3.7))
    wide: bool = field(default=False)

    def png(self):
        """Return the figure as bytes of a PNG file, of 64 colours where all of them would take too much room.

        That is so for noise, which shows no steps; smooth shades do, and are small.
        """
        figure = Figure(figsize=self.size, layout="constrained", dpi=DPI)
        if self.wide:
            self.draw(figure=figure)
        else:
            self.draw(ax=figure.subplots())
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pixels = Image.fromarray(np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3]))
        whole = _encoded(pixels)
        if len(whole) <= MOST_BYTES:
            return whole
        return _encoded(pixels.quantize(N_COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE))

    def to_html(self):
        """Return the figure as an element that holds its own image."""
        data = b64encode(self.png()).decode("ascii")
        width, height = (round(side * DPI) for side in self.size)
        image = element("img", src=f"data:image/png;base64,{data}", alt=self.alt, width=width, height=height)
        return element("figure", image, element("figcaption", self.caption), class_="wide" if self.wide else None)


def _encoded(pixels):
    file = BytesIO()
    pixels.save(file, "PNG")
    return file.getvalue()


def _anchor(title):
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


@frozen(kw_only=True)
class Section:
    """A part of the page under a heading of its own.

    Attributes
    ----------
    title
        Its heading.
    body
        Contents as ``nircam_flats._html.joined`` takes them.
    pictures
        Each a `Picture`; they stand side by side where there is room.
    sections
        Further sections below this one.
    """

    title: str = field(converter=str)
    body: tuple = field(default=(), converter=lambda value: (value,) if isinstance(value, str) else tuple(value))
    pictures: tuple = field(default=(), converter=to_tuple)
    sections: tuple = field(default=(), converter=to_tuple)

    def to_html(self, *, level=2, within=""):
        """Return the section as an element, its heading of ``level``, its anchor after that of the one around it."""
        anchor = f"{within}{_anchor(self.title)}"
        pictures = element("div", [item.to_html() for item in self.pictures], class_="pictures")
        inner = [item.to_html(level=min(level + 1, DEEPEST), within=f"{anchor}-") for item in self.sections]
        heading = element(f"h{level}", self.title)
        return element("section", heading, self.body, pictures if self.pictures else None, inner, id=anchor)

    def contents(self, within=""):
        """Return the entry of the section in a table of contents, with the entries of those below it."""
        anchor = f"{within}{_anchor(self.title)}"
        inner = [item.contents(f"{anchor}-") for item in self.sections]
        link = element("a", self.title, href=f"#{anchor}")
        return element("li", link, element("ul", inner) if inner else None)


def paragraph(*contents, **attributes):
    """Return a paragraph."""
    return element("p", *contents, **attributes)


def folded(summary, *contents):
    """Return contents that are shown when ``summary`` is clicked on."""
    return element("details", element("summary", summary), contents)
