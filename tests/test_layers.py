"""The package is a stack of rows: a module imports only from rows above its own, or from its own subpackage.

The table stands in docs/explanation/architecture.md; this is the same table for the machine.
"""

import ast
import re
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest

import nircam_flats

PACKAGE = Path(nircam_flats.__file__).parent

ROWS = (
    ("exceptions", "_html"),
    ("kernels",),
    ("_fields", "_files", "_keywords", "_strategy", "provenance", "parallel"),
    ("instrument",),
    ("exposure",),
    ("masks",),
    ("skyflat",),
    ("fit",),
    ("reference", "defects", "scattered", "background"),
    ("validation",),
    ("plotting", "simulation"),
    ("report",),
    ("recipes",),
    ("testing",),
)
ROW_OF = {unit: row for row, units in enumerate(ROWS) for unit in units}

UNIT_OF_FILE = {"__main__": "recipes"}  # the command is the other half of the recipes: one unit
NAMES = {"PIL": "pillow"}  # of packages that are imported under another one
EXTRAS = {"stdatamodels", "jwst", "reproject", "distributed"}


def unit_of(module):
    """Return the row-table unit of a dotted module name inside the package, '' for the package itself."""
    parts = module.split(".")
    return UNIT_OF_FILE.get(parts[1], parts[1]) if len(parts) > 1 else ""


def imported_modules(node, units):
    """Return the names that an import statement asks for; a unit taken from the root is the unit itself."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if node.level:
        return ["." * node.level + (node.module or "")]
    if node.module == "nircam_flats":
        names = [alias.name for alias in node.names]
        return [f"nircam_flats.{name}" if name in units else "nircam_flats" for name in names]
    return [node.module]


def imports_of(tree):
    """Yield each import statement of a module with the name of the function it stands in, None at the top."""

    def walk(node, function):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                yield child, function
            inside = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
            yield from walk(child, inside)

    yield from walk(tree, None)


def faults(source, unit):
    """Return what is wrong with the imports of a module of ``unit``, as texts."""
    found = []
    for node, function in imports_of(ast.parse(source)):
        for module in imported_modules(node, ROW_OF):
            where = f"line {node.lineno}: import of {module}"
            root = module.split(".")[0]
            if root in EXTRAS:
                if function is None:
                    found.append(f"{where}: an optional extra is imported where it is used, inside a function")
            elif function == "plot" and unit_of(module) == "plotting":
                pass
            elif function is not None:
                found.append(f"{where} inside {function}(): imports stand at the top")
            elif root == "":
                found.append(f"{where}: imports are absolute")
            elif root == "nircam_flats":
                other = unit_of(module)
                if other == "":
                    found.append(f"{where}: modules of the package do not import from its front door")
                elif other != unit and ROW_OF[other] >= ROW_OF[unit]:
                    found.append(f"{where}: row {ROW_OF[other]} is not above row {ROW_OF[unit]}")
    return found


def modules():
    """Return (path relative to the package, unit) of each module but the front door."""
    paths = sorted(PACKAGE.rglob("*.py"))
    relative = [path.relative_to(PACKAGE) for path in paths if path != PACKAGE / "__init__.py"]
    return [(path, path.parts[0].removesuffix(".py")) for path in relative]


@pytest.mark.parametrize(("path", "unit"), modules(), ids=[str(path) for path, _ in modules()])
def test_imports_go_up_the_table(path, unit):
    unit = UNIT_OF_FILE.get(unit, unit)
    assert unit in ROW_OF, f"{unit} has no row: add it to the table here and in docs/explanation/architecture.md"
    assert faults((PACKAGE / path).read_text(), unit) == []


def test_the_modules_were_found():
    found = {UNIT_OF_FILE.get(unit, unit) for _, unit in modules()}
    assert {"exceptions", "instrument", "testing"} <= found


def test_the_documented_table_is_this_one():
    page = Path(__file__).parents[1] / "docs" / "explanation" / "architecture.md"
    row, documented = None, {}
    for line in page.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 3:
            row = int(cells[0]) if cells[0].isdigit() else row
            units = re.findall(r"`(\w+)(?:/|\.py)`", cells[1])
            documented |= {UNIT_OF_FILE.get(unit, unit): row for unit in units}
    built = {UNIT_OF_FILE.get(unit, unit) for _, unit in modules()}
    assert {unit: documented.get(unit) for unit in built} == {unit: ROW_OF.get(unit) for unit in built}
    assert {unit: ROW_OF.get(unit) for unit in documented} == documented


def test_third_party_imports_are_declared_dependencies():
    declared = {re.match(r"[\w.-]+", text)[0].lower().replace("-", "_") for text in requires("nircam_flats")}
    known = declared | EXTRAS | set(sys.stdlib_module_names) | {"nircam_flats"}
    wanted = {
        module.split(".")[0]
        for path, _ in modules()
        for node, _ in imports_of(ast.parse((PACKAGE / path).read_text()))
        for module in imported_modules(node, ROW_OF)
    }
    assert sorted(name for name in wanted if NAMES.get(name, name.lower()) not in known) == []


@pytest.mark.parametrize(
    ("source", "unit"),
    [
        ("from nircam_flats.instrument import Detector", "exposure"),
        ("import nircam_flats.exceptions", "_fields"),
        ("from nircam_flats import provenance", "instrument"),
        ("from nircam_flats.skyflat._store import Store", "skyflat"),
        ("from nircam_flats.recipes import sky_flat_program", "recipes"),
        ("def plot(self):\n    from nircam_flats.plotting import show_flat", "skyflat"),
        ("class A:\n    def plot(self):\n        from nircam_flats import plotting", "fit"),
        ("def from_datamodel(cls):\n    from stdatamodels.jwst import datamodels", "exposure"),
    ],
)
def test_allowed_imports_pass(source, unit):
    assert faults(source, unit) == []


@pytest.mark.parametrize(
    ("source", "unit", "text"),
    [
        ("from nircam_flats.skyflat import DeltaSkyflat", "masks", "row 6 is not above row 5"),
        ("import nircam_flats.fit.surface", "kernels", "row 7 is not above row 1"),
        ("from nircam_flats import plotting", "instrument", "row 10 is not above row 3"),
        ("from nircam_flats._files import atomic_path", "_fields", "row 2 is not above row 2"),
        ("from nircam_flats.background import JBTBackground", "scattered", "row 8 is not above row 8"),
        ("from nircam_flats import Detector", "exposure", "front door"),
        ("import nircam_flats as nf", "recipes", "front door"),
        ("from ._store import Store", "skyflat", "imports are absolute"),
        ("from . import _store", "skyflat", "imports are absolute"),
        ("def read(cls):\n    from astropy.io import fits", "exposure", "inside read"),
        ("def show(self):\n    from nircam_flats import plotting", "fit", "inside show"),
        ("def plot(self):\n    from nircam_flats.fit import Surface", "masks", "inside plot"),
        ("def plot(self):\n    import matplotlib", "masks", "inside plot"),
        ("if True:\n    import reproject", "validation", "optional extra"),
        (
            "try:\n    from nircam_flats.report import page\nexcept ImportError:\n    page = None",
            "fit",
            "row 11",
        ),
    ],
)
def test_forbidden_imports_are_found(source, unit, text):
    (fault,) = faults(source, unit)
    assert text in fault
