"""The report page: all of a run is on it, in one file that asks for nothing and runs nothing."""

import re
from html.parser import HTMLParser

import attrs
import pytest

from nircam_flats import Exclusion, InvalidInputError
from nircam_flats.provenance import software_versions
from nircam_flats.report import Problem, Section, SkyFlatProgram, recovery_section, report_page, write_page

HOSTILE = "<img src=x onerror=alert(1)><script>alert('&')</script>\"'"
VOID = {"img", "link", "meta"}


class Page(HTMLParser):
    """The elements of a page, its text, and whether each that was opened was closed, in order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.shown, self.faults = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data):
        if "style" not in self.open:
            self.shown.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.shown).split())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def flawed(made, empty_figures):
    """What was made, and what went wrong beside it."""
    names = {HOSTILE: f"not FITS: {HOSTILE}", "b\udc80.fits": "by\x00tes"}
    left_out = [Exclusion(name=name, reason=reason) for name, reason in names.items()]
    problems = [Problem(what=f"NRCA1 {HOSTILE}", reason=f"lost & gone {HOSTILE}")]
    first = attrs.evolve(made.products[0], problems=problems)
    return attrs.evolve(made, products=[first, made.products[1]], problems=problems, left_out=left_out)


@pytest.fixture
def page(flawed):
    return Page(report_page(flawed))


def test_elements_are_closed_in_order(page):
    assert page.faults == []
    assert page.open == []


def test_hostile_names_are_text(page, flawed):
    assert page.all("script") == []
    assert [attributes for _, attributes in page.elements for name in attributes if name.startswith("on")] == []
    assert all(attributes["src"].startswith("data:image/png;base64,") for attributes in page.all("img"))
    assert page.text.count(HOSTILE) >= 5  # a name, its reason, what was not made and why, and once more at the detector
    report_page(flawed).encode("utf-8")
    assert "b\\udc80.fits" in page.text


def test_nothing_is_asked_for(page, flawed):
    text = report_page(flawed)
    links = [value for _, attributes in page.elements for name, value in attributes.items() if name in ("src", "href")]
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)
    (policy,) = (item["content"] for item in page.all("meta") if item.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_anchors_are_of_one_place_each(page):
    places = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(places) == len(set(places))
    assert {link["href"] for link in page.all("a")} <= {f"#{place}" for place in places}


def test_every_exposure_is_there_and_each_left_out_with_its_reason(page, flawed):
    for row in flawed.exposures[flawed.exposures["used"]]:
        assert row["name"] in page.text
    assert "2 of 26 exposures were left out." in page.text
    assert "not FITS: <img" in page.text
    assert "by\\x00tes" in page.text


def test_reasons_of_a_detector_stand_in_its_table_too(made, empty_figures):
    along, b1 = made.products
    exposures = b1.grey.exposures.copy()
    exposures["used"][3], exposures["reason"] = False, ["", "", "", "too < bright", *[""] * 8]
    changed = attrs.evolve(b1, grey=attrs.evolve(b1.grey, exposures=exposures))
    text = Page(report_page(attrs.evolve(made, products=[along, changed]))).text
    assert text.count("too < bright") == 2
    assert re.search(rf"4 {exposures['name'][3]} \S+ no \S+ too < bright", text)
    assert text.count("why not") == 1


def test_problems_are_shown(page, made, empty_figures):
    assert "1 thing asked for could not be made; all else was." in page.text
    assert "lost & gone" in page.text
    whole = Page(report_page(made)).text
    assert "Everything that was asked for was made." in whole
    assert "Not made" not in whole


def test_what_was_made_is_on_it(page, made):
    for item in made.products:
        row = item.summary
        for text in (row["detector"], f"{row['change']:.2%}", f"{row['fit_err']:.2%}", row["strategy"], item.policy):
            assert text in page.text
        for path, flat in item.files().items():
            if path.startswith("flats/"):
                assert path.removeprefix("flats/") in page.text
                assert flat.provenance.settings("correct the ground flat")["ground"] in page.text
    for name, number in software_versions():
        assert f"{name} {number}" in page.text
    for step in made.products[0].fit.history.steps:
        assert all(value in page.text for _, value in step.settings)


def test_figures_have_words(page, made):
    images = page.all("img")
    assert len(images) == 1 + sum(9 + len(item.by_filter) + len(item.dependences) for item in made.products)
    assert all(len(image["alt"]) > 10 for image in images)
    assert len(page.all("figcaption")) == len(images)


def test_notes_of_a_detector(made, empty_figures):
    noted = attrs.evolve(made.products[1], notes=["wisps in F200W are not separated"])
    page = Page(report_page(SkyFlatProgram(products=[noted], problems=[])))
    assert "Note: wisps in F200W are not separated" in page.text
    assert "Note:" not in Page(report_page(made)).text


def test_nothing_made_gets_a_page_too(tmp_path):
    problem = Problem(what="NRCA1 flats", reason="none is left")
    program = SkyFlatProgram(products=[], problems=[problem], left_out=[Exclusion(name="a.fits", reason="not FITS")])
    program.write(tmp_path)
    page = Page((tmp_path / "report.html").read_text())
    assert "Nothing was made. The next sections say why." in page.text
    assert "NRCA1 flats none is left" in page.text
    assert "a.fits not FITS" in page.text
    assert Page(report_page(SkyFlatProgram(products=[], problems=[]))).faults == []


def test_the_focal_plane_is_of_several_detectors(page, made):
    assert sum("where it lies on the sky" in image["alt"] for image in page.all("img")) == 1
    alone = Page(report_page(attrs.evolve(made, products=made.products[:1])))
    assert "Focal plane" not in alone.text


def test_further_sections_stand_before_the_detectors(made, empty_figures):
    page = report_page(made, sections=[Section(title="Wisps & claws", body="none")])
    assert page.index('<section id="checks"') < page.index('<section id="wisps-claws"') < page.index('<section id="nrc')


def test_the_truth_of_a_demo(made, empty_figures):
    rows = [("detector", "flat", "injected", "left"), ("NRCB1", "grey", "5.00%", "0.20%")]
    text = Page(report_page(made, sections=[recovery_section(rows)])).text
    assert "NRCB1 grey 5.00% 0.20%" in text
    assert "sky level: found / injected." in text


def test_is_not_replaced_unless_asked(made, tmp_path, empty_figures):
    write_page(made, tmp_path)
    before = (tmp_path / "report.html").read_bytes()
    with pytest.raises(InvalidInputError, match=r"report\.html: exists already"):
        write_page(made, tmp_path)
    write_page(made, tmp_path, overwrite=True)
    assert (tmp_path / "report.html").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_campaign_of_ten_detectors_stays_below_15_mb(made):
    size = len(report_page(attrs.evolve(made, products=made.products[:1])))
    assert 200_000 < size < 1_500_000
