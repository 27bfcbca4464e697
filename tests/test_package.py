"""The package as installed: what is tested is what users get."""

import json
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import nircam_flats

CHECKOUT = Path(__file__).resolve().parents[1]


def test_the_installed_package_is_the_one_under_test():
    installed = distribution("nircam_flats")
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    editable = origin.get("dir_info", {}).get("editable", False)
    expected = CHECKOUT if editable else Path(installed.locate_file(""))
    assert Path(nircam_flats.__file__).resolve() == (expected / "nircam_flats" / "__init__.py").resolve()


def test_data_files_are_installed():
    declared = sorted(path.name for path in (CHECKOUT / "nircam_flats").rglob("data/*") if path.is_file())
    installed = sorted(path.name for path in Path(nircam_flats.__file__).parent.rglob("data/*") if path.is_file())
    assert installed == declared
    assert "detectors.ecsv" in installed


def test_the_public_names_exist_and_are_sorted():
    assert len(set(nircam_flats.__all__)) == len(nircam_flats.__all__)
    for name in nircam_flats.__all__:
        assert getattr(nircam_flats, name) is not None


def test_versions_agree():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert distribution("nircam_flats").version == project["version"]
    assert f"version: {project['version']}\n" in (CHECKOUT / "CITATION.cff").read_text()
    assert f"## {project['version']} " in (CHECKOUT / "CHANGELOG.md").read_text()
