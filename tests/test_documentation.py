"""What the pages say of the library is so, as far as that can be told without building them."""

import ast
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import nircam_flats as nf
from nircam_flats.simulation import SimulatedProgram

TOP = Path(__file__).parents[1]
PAGES = [TOP / "README.md", *sorted(TOP.glob("docs/**/*.md"))]
PAGES = [page for page in PAGES if "_build" not in page.parts and "gallery" not in page.parts]
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
NAME = re.compile(r"\bnf((?:\.\w+)+)")
STAGE = re.compile(r"STAGES = \((.*?)\)", re.DOTALL)


def test_there_are_pages():
    assert len(PAGES) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_what_a_page_names_exists(page):
    for path in NAME.findall(page.read_text()):
        found = nf
        for name in path.strip(".").split("."):
            found = getattr(found, name)  # names the page's mistake


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_code_on_a_page_is_python(page):
    for code in PYTHON.findall(page.read_text()):
        ast.parse(code)


def test_the_page_on_strategies_runs(tmp_path, monkeypatch):
    program = SimulatedProgram(detectors="B4", shape=(96, 96), n_pointings=2, n_dithers=2)
    for kind, made in (
        ("cal", program.exposures()),
        ("flats", [program.ground_flat(*mode) for mode in program.modes()]),
    ):
        (tmp_path / kind).mkdir()
        for item in made:
            item.write(tmp_path / kind / (item.name if kind == "flats" else f"{item.name}_cal.fits"))
    monkeypatch.chdir(tmp_path)
    page = ModuleType("page")  # whose classes can be pickled
    monkeypatch.setitem(sys.modules, "page", page)
    for code in PYTHON.findall((TOP / "docs" / "howto" / "strategies.md").read_text()):
        exec(code, vars(page))
    assert page.program.products
    assert page.parts.identifiability.gauge == "FaintestIs(degree=3, n=1, part=0.2)"


def test_the_numbers_of_the_literal_recipe_are_those_of_the_benchmark():
    page = (TOP / "docs" / "explanation" / "literal_recipe.md").read_text()
    printed = (TOP / "benchmarks" / "ACCURACY.md").read_text()
    known = {f"{abs(float(number)):.2f}" for number in re.findall(r"-?\d+\.\d{3}", printed)}
    rows = [line for line in page.splitlines() if line.startswith("| NRC")]
    quoted = [number for row in rows for number in re.findall(r"\d+\.\d\d", row)]
    assert len(quoted) == 4 * len(rows) > 0
    assert set(quoted) <= known


def test_each_stage_of_the_gallery_has_a_place_and_a_header():
    stages = ast.literal_eval(f"({STAGE.search((TOP / 'docs' / 'conf.py').read_text()).group(1)})")
    folders = {path.name for path in (TOP / "examples").iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert folders <= set(stages)
    assert all((TOP / "examples" / stage / "GALLERY_HEADER.rst").is_file() for stage in stages)
