"""Compiled code is kept where it can be, and runs where nothing can be written."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nircam_flats

PROGRAM = """
import nircam_flats
print(nircam_flats.__file__)
print(nircam_flats.kernels.clipped_statistics([1.0, 2.0, 3.0])[0])
"""


@pytest.fixture
def installation(tmp_path):
    """A copy of the package in which no cache can be made, not even by root: its place is taken by a file."""
    package = tmp_path / "site" / "nircam_flats"
    shutil.copytree(Path(nircam_flats.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in [package, *(path for path in package.rglob("*") if path.is_dir())]:
        (folder / "__pycache__").touch()
    return package


def run(installation, **environment):
    unwritable = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"), os.devnull)
    keep = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=keep | unwritable | {"PYTHONPATH": str(installation.parent)} | environment,
        cwd=installation.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [str(installation / "__init__.py"), "2.0"]


def test_nothing_can_be_written(installation):
    run(installation)


def test_the_folder_of_the_environment(installation, tmp_path):
    run(installation, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    assert list((tmp_path / "cache").rglob("*clip_sorted*.nbi"))
