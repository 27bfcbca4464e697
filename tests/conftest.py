"""What all tests share."""

import os
from base64 import b64decode
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import attrs
import numpy as np
import pytest
from astropy import units as u
from matplotlib.figure import Figure

from nircam_flats import Pointing, recipes
from nircam_flats.report import DetectorProducts, Picture
from nircam_flats.simulation import Effects, SimulatedProgram

PIXEL = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg==")
"""A PNG file of one pixel."""
PLANES = ("data", "err", "n_used", "influences", "surface", "residual", "dq")
"""Of the images of products."""


@pytest.fixture(scope="session")
def real_data():
    """The folder of real files beside the checkout, or where NIRCAM_FLATS_REAL_DATA says."""
    default = Path(__file__).resolve().parents[2] / "shared" / "real"
    folder = Path(os.environ.get("NIRCAM_FLATS_REAL_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"needs the real files, which are not at {folder}; NIRCAM_FLATS_REAL_DATA can say where they are")
    return folder


@pytest.fixture(scope="session")
def pointing_at():
    """A pointing at a right ascension and, if it matters, a roll: ``pointing_at(ra, roll=30)``, degrees."""

    def make(ra, roll=30):
        angles = {"ra_ref": ra, "dec_ref": 2, "roll_ref": roll, "v3_idl_y_angle": 0}
        places = {"v2_ref": 0 * u.arcsec, "v3_ref": -500 * u.arcsec}
        return Pointing(**{name: value * u.deg for name, value in angles.items()}, **places)

    return make


@pytest.fixture(scope="session")
def program():
    """A simulated campaign of two detectors, two filters each, 6 exposures in each, without what fills small frames."""
    effects = attrs.evolve(Effects(), large_galaxy=False, saturated_star=False, persistence=False)
    return SimulatedProgram(detectors=["B1", "ALONG"], shape=(128, 128), seed=5, effects=effects)


@pytest.fixture(scope="session")
def campaign(program, tmp_path_factory):
    """The files of `program`: only to be read."""
    return program.write(tmp_path_factory.mktemp("campaign"))


@pytest.fixture(scope="session")
def made(campaign):
    """What the recipe makes of `campaign`: a `SkyFlatProgram`."""
    return recipes.sky_flat_program(campaign.exposures, campaign.ground_flats)


@pytest.fixture(scope="session")
def assert_same_planes():
    """Demands that two products hold the same images, bit for bit: ``assert_same_planes(one, other, name)``."""

    def same(one, other, name):
        for plane in PLANES:
            if hasattr(other, plane):
                found, expected = getattr(one, plane), getattr(other, plane)
                np.testing.assert_array_equal(found, expected, err_msg=f"{name} {plane}")

    return same


@pytest.fixture(scope="session")
def assert_same_pixels(assert_same_planes):
    """Demands that two `DetectorProducts` hold the same files with the same images, bit for bit."""

    def same(one, other):
        assert list(one.files()) == list(other.files())
        for name, product in one.files().items():
            assert_same_planes(other.files()[name], product, name)

    return same


@pytest.fixture
def empty_figures(monkeypatch):
    """Figures are saved empty: drawing them takes longer than the whole recipe on small frames."""
    monkeypatch.setattr(DetectorProducts, "figure", lambda self: Figure())
    monkeypatch.setattr(Picture, "png", lambda self: PIXEL)


class RunsAtOnce(Executor):
    """Runs each call where it is submitted."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@pytest.fixture(scope="session")
def run_elsewhere():
    """Executors of three kinds: in turn, threads, another process."""
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        yield RunsAtOnce(), threads, processes
