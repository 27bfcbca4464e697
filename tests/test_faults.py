"""What happens to long jobs: kills, files that go, two jobs on one store, damage: the same answer or a clear error."""

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from nircam_flats import (
    DeltaSkyflat,
    ExposureSet,
    FlatModelFit,
    InvalidInputError,
    MaskStrategy,
    NormalizedFrames,
    Segmentation,
    StorageError,
    recipes,
)
from nircam_flats.simulation import SimulatedProgram
from nircam_flats.testing import assert_same


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    program = SimulatedProgram(
        detectors="B1", filters=("F150W", "F200W"), shape=(128, 128), n_pointings=2, n_dithers=2, seed=5
    )
    return program.write(tmp_path_factory.mktemp("campaign"))


@pytest.fixture(scope="module")
def expected(files):
    return recipes.sky_flat_detector(ExposureSet.read(files.exposures), files.ground_flats)


def same(found, expected):
    for name in ("grey", "by_filter", "fit", "flats", "dead", "dependences"):
        assert_same(getattr(found, name), getattr(expected, name))


def job(files, store):
    return recipes.sky_flat_detector(ExposureSet.read(files.exposures), files.ground_flats, store=store)


JOB = (
    "import sys, nircam_flats as nf;"
    "nf.recipes.sky_flat_detector(nf.ExposureSet.read(sys.argv[3:]), sys.argv[2], store=sys.argv[1])"
)


def test_kills_are_survived(monkeypatch, tmp_path):
    """A few of the kills of benchmarks/faults.py."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    import faults

    (tmp_path / "kills").mkdir()
    files = faults.simulate(tmp_path / "campaign", shape=(96, 96), n_pointings=1, n_dithers=3)
    survived, struck = faults.survive(files, tmp_path / "kills", 3)
    assert survived == struck.total() == 3


def test_two_jobs_on_one_store(files, expected, tmp_path):
    """Threads of one process, then processes, at once and from nothing."""
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(lambda _: job(files, tmp_path / "threads"), range(2)):
            same(found, expected)
    store = tmp_path / "processes"
    command = [sys.executable, "-c", JOB, store, files.folder / "ground_flats", *files.exposures]
    with subprocess.Popen(command) as other, subprocess.Popen(command) as third:
        while not (store / "pixels").exists() and other.poll() is None:
            time.sleep(0.01)
        same(job(files, store), expected)
    assert (other.returncode, third.returncode) == (0, 0)
    same(job(files, store), expected)


class Removing(MaskStrategy):
    """Segmentation that removes a file when it is first asked."""

    def __init__(self, path):
        self.path = path

    def find(self, data, good):
        self.path.unlink(missing_ok=True)
        return Segmentation().find(data, good)


@pytest.mark.parametrize("stored", [True, False])
def test_a_file_that_goes_in_mid_run(files, tmp_path, stored):
    """It costs that exposure only, which is named; the rest is as if it had never been there."""
    paths = [Path(shutil.copy(path, tmp_path)) for path in files.exposures]
    settings = {"store": tmp_path / "store"} if stored else {}
    with ThreadPoolExecutor(1) as one_by_one:
        frames = NormalizedFrames.from_exposures(
            ExposureSet.read(paths), masks=Removing(paths[-1]), executor=one_by_one, **settings
        )
    (left_out,) = frames.excluded
    assert left_out.path == paths[-1]
    assert "needed" in left_out.reason
    others = NormalizedFrames.from_exposures(ExposureSet.read(paths[:-1]), masks=Segmentation())
    assert_same(DeltaSkyflat.from_frames(frames).data, DeltaSkyflat.from_frames(others).data)


def test_a_file_that_went_between_two_runs(files, tmp_path):
    """What the store has of it is not used: nobody can say whether it was the same file."""
    paths = [Path(shutil.copy(path, tmp_path)) for path in files.exposures]
    exposures = ExposureSet.read(paths)
    NormalizedFrames.from_exposures(exposures, store=tmp_path / "store")
    paths[2].unlink()
    frames = NormalizedFrames.from_exposures(exposures, store=tmp_path / "store")
    (left_out,) = frames.excluded
    assert left_out.path == paths[2]


@pytest.mark.parametrize("folder", ["pixels", "frames"])
def test_a_store_that_goes_in_mid_run(files, tmp_path, folder):
    """Frames cannot be combined without it: an error that names the file, and another run makes all again."""
    exposures = ExposureSet.read(files.exposures)
    frames = NormalizedFrames.from_exposures(exposures, store=tmp_path)
    expected = DeltaSkyflat.from_frames(frames)
    shutil.rmtree(tmp_path / folder)
    with pytest.raises(StorageError, match=f"{tmp_path / folder}.*cannot be read any more"):
        DeltaSkyflat.from_frames(frames)
    again = NormalizedFrames.from_exposures(exposures, store=tmp_path)
    assert_same(DeltaSkyflat.from_frames(again).data, expected.data)


@pytest.mark.parametrize("cls", [DeltaSkyflat, FlatModelFit])
def test_damaged_products_are_refused(files, expected, tmp_path, cls):
    """Cut short at 12 places, or emptied."""
    product = expected.grey if cls is DeltaSkyflat else expected.fit
    product.write(tmp_path / "whole.fits")
    content = (tmp_path / "whole.fits").read_bytes()
    for length in np.linspace(0, len(content) - 2880, 12).astype(int):
        (tmp_path / "cut.fits").write_bytes(content[:length])
        with pytest.raises(InvalidInputError, match=r"cut\.fits"):
            cls.read(tmp_path / "cut.fits")
