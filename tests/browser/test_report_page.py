"""The report page in a real browser, as wide as a desktop and as narrow as a phone.

Needs Debian's packages chromium and chromium-driver. Where CI is set they must be there; elsewhere the tests are
skipped without them.
"""

import json
import os
import shutil
from base64 import b64decode
from itertools import pairwise
from pathlib import Path

import pytest

from nircam_flats import recipes
from nircam_flats.report import write_page
from nircam_flats.simulation import SimulatedProgram

pytestmark = pytest.mark.browser
WIDTHS = {"desktop": (1280, 900, False), "phone": (390, 844, True)}
FLAGS = (
    *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run"),
    *("disable-background-networking", "disable-component-update", "disable-sync"),
)
TOO_WIDE = """
const width = document.documentElement.clientWidth;
return [...document.body.querySelectorAll("*")].filter(
  (item) => item.getBoundingClientRect().right > width + 1 && !item.closest(".scroll table")
).map((item) => item.outerHTML.slice(0, 200));
"""
FILL = "return [...document.images].map((item) => [item.alt, item.naturalWidth, item.complete]);"
HEADINGS = 'return [...document.querySelectorAll("h1, h2, h3, h4")].map((item) => [+item.tagName[1], item.innerText]);'
DANGLING = """
return [...document.querySelectorAll('a[href^="#"]')].map((item) => item.getAttribute("href").slice(1))
  .filter((name) => !document.getElementById(name));
"""


@pytest.fixture(scope="module")
def programs():
    """The paths of the browser and of its driver."""
    found = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in found:
        reason = "needs Debian's packages chromium and chromium-driver: apt-get install chromium chromium-driver"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a run of two detectors, of which an exposure, a file and a ground flat could not be used."""
    folder = tmp_path_factory.mktemp("campaign")
    simulated = SimulatedProgram(detectors=["B1", "ALONG"], shape=(256, 256), n_dithers=2, seed=3)
    files = simulated.write(folder / "input")
    (folder / "a <b>file<\\b> that is none_cal.fits").write_text("not FITS")
    missing = next(path for path in files.ground_flats if "9020" in path.name)
    missing.unlink()
    paths = [*files.exposures, *folder.glob("*_cal.fits")]
    with pytest.warns(Warning, match="cannot be used"):
        program = recipes.sky_flat_program(paths, files.folder / "ground_flats")
    assert program.problems
    write_page(program, folder)
    return folder / "report.html"


@pytest.fixture(scope="module", params=WIDTHS)
def browser(request, programs, page, tmp_path_factory):
    """A browser that shows the page, its windows of one of the widths."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=programs[1]))
    try:
        width, height, mobile = WIDTHS[request.param]
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        driver.name_of_width, driver.width = request.param, width
        driver.get("about:blank")
        driver.get_log("performance")  # what the first page of the browser itself asked for
        driver.get(page.as_uri())
        yield driver
    finally:
        driver.quit()


def unfold(browser, shown):
    browser.execute_script(
        "document.querySelectorAll('details').forEach((item) => { item.open = arguments[0]; });", shown
    )


def test_nothing_goes_wrong_and_nothing_leaves_the_machine(browser, page):
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert page.as_uri() in asked
    assert [url for url in asked if url != page.as_uri() and not url.startswith("data:")] == []


def test_every_figure_is_loaded(browser):
    images = browser.execute_script(FILL)
    assert len(images) >= 2 * 8
    assert [alt for alt, width, complete in images if not (width > 100 and complete and alt)] == []


@pytest.mark.parametrize("shown", [False, True], ids=["folded", "unfolded"])
def test_nothing_is_wider_than_the_window(browser, shown):
    unfold(browser, shown)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= browser.width
    assert browser.execute_script(TOO_WIDE) == []
    boxes = (
        "return [...document.querySelectorAll('.scroll')].filter((item) => item.scrollWidth > item.clientWidth).length"
    )
    assert browser.execute_script(boxes) > 0 or browser.name_of_width == "desktop"


def test_headings_are_in_order(browser):
    headings = browser.execute_script(HEADINGS)
    levels = [level for level, _ in headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert {"Summary", "Not made", "Exposures left out", "Checks", "NRCALONG", "NRCB1"} <= {
        text for _, text in headings
    }
    assert browser.execute_script("return document.documentElement.lang") == "en"
    assert browser.title.startswith("NIRCam sky flats: NRCALONG, NRCB1")


def test_the_contents_lead_somewhere(browser):
    assert browser.execute_script(DANGLING) == []
    assert browser.execute_script("return document.querySelectorAll('nav a').length") > 10


def test_names_are_text(browser):
    assert "a <b>file<\\b> that is none_cal.fits" in browser.find_element("tag name", "main").text
    assert browser.execute_script("return document.querySelectorAll('main b').length") == 0


def test_screenshots_can_be_taken(browser, tmp_path_factory):
    folder = Path(os.environ.get("NIRCAM_FLATS_SCREENSHOTS", tmp_path_factory.mktemp("screenshots")))
    unfold(browser, False)
    height = browser.execute_script("return document.documentElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": browser.width, "height": height, "scale": 1}
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    path = folder / f"report_{browser.name_of_width}.png"
    path.write_bytes(b64decode(shot["data"]))
    print(f"screenshot: {path}")
    assert path.stat().st_size > 50_000
