"""Sections of the report page and their pictures."""

import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from nircam_flats._html import element
from nircam_flats.report import Picture, Section


def opened(picture):
    return Image.open(io.BytesIO(picture.png()))


class TestPicture:
    def test_shows_what_is_drawn_on_it(self):
        picture = Picture(draw=lambda ax: ax.set_facecolor("red"), alt="a", caption="c", size=(2, 1))
        shown = opened(picture).convert("RGB")
        assert shown.size == (220, 110)
        assert shown.getpixel((110, 50)) == (255, 0, 0)

    def test_a_wide_one_is_a_figure_of_its_own(self, monkeypatch):
        wide = Picture(draw=lambda figure: figure.set_facecolor("red"), alt="", caption="", size=(2, 1), wide=True)
        assert opened(wide).convert("RGB").getpixel((0, 0)) == (255, 0, 0)
        assert wide.to_html().startswith('<figure class="wide"><img')

    def test_noise_has_fewer_colours_smooth_shades_have_all(self):
        noise = np.random.default_rng(1).random((256, 256))
        of = {
            name: Picture(draw=lambda ax, data=data: ax.imshow(data), alt="a", caption="c")
            for name, data in {"noise": noise, "smooth": np.indices((256, 256))[0]}.items()
        }
        assert opened(of["noise"]).mode == "P"
        assert opened(of["smooth"]).mode == "RGB"
        assert all(len(picture.png()) < 200_000 for picture in of.values())

    def test_element_holds_its_image(self):
        made = Picture(draw=lambda ax: None, alt='a "map" <b>', caption="b [%]", size=(2, 1)).to_html()
        assert made.startswith('<figure><img src="data:image/png;base64,iVBORw0KGgo')
        assert 'alt="a &quot;map&quot; &lt;b&gt;" width="220" height="110"><figcaption>b [%]</figcaption>' in made

    def test_the_same_drawing_gives_the_same_bytes(self):
        picture = Picture(draw=lambda ax: ax.plot([1, 2]), alt="a", caption="c")
        assert picture.png() == picture.png()


class TestSection:
    @pytest.fixture
    def section(self):
        inner = Section(title="New flats & more", body="text < 1")
        return Section(title="NRCB1", body=(element("p", "a"), "b"), sections=[inner])

    def test_headings_go_down_with_the_sections(self, section):
        outer = ET.fromstring(section.to_html())
        assert outer.get("id") == "nrcb1"
        assert [item.tag for item in outer] == ["h2", "p", "section"]
        inner = outer[2]
        assert inner.get("id") == "nrcb1-new-flats-more"
        assert (inner[0].tag, inner[0].text, inner[0].tail) == ("h3", "New flats & more", "text < 1")

    def test_contents_lead_to_the_anchors(self, section):
        entry = ET.fromstring(section.contents())
        assert [link.get("href") for link in entry.iter("a")] == ["#nrcb1", "#nrcb1-new-flats-more"]
        assert len(ET.fromstring(Section(title="a").contents())) == 1

    def test_pictures_stand_in_a_box_of_their_own(self, monkeypatch):
        monkeypatch.setattr(Picture, "png", lambda self: b"")
        picture = Picture(draw=None, alt="", caption="")
        assert Section(title="a", pictures=[picture] * 3).to_html().count("<figure>") == 3
        assert "pictures" not in Section(title="a").to_html()
