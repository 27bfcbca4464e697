"""Workers of Dask give the same answer; what happens if they die; the command with ``--scheduler``."""

import os
import signal
import subprocess
import sys

import cloudpickle
import pytest

from nircam_flats import (
    DeltaSkyflat,
    ExposureSet,
    FlatReference,
    MaskStrategy,
    NormalizedFrames,
    Segmentation,
    WorkerError,
    recipes,
)
from nircam_flats.__main__ import main
from nircam_flats.simulation import SimulatedProgram
from nircam_flats.testing import assert_same

distributed = pytest.importorskip("distributed", reason="needs the extra 'distributed'")
dask = pytest.importorskip("dask")
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests


@pytest.fixture(scope="module")
def cluster():
    """Two workers on this machine, processes of one thread."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(cluster):
    with distributed.Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def program():
    """A detector with wisps, so that all that workers do is done."""
    return SimulatedProgram(detectors="B4", shape=(128, 128), n_pointings=2, n_dithers=2, seed=5)


@pytest.fixture(scope="module")
def files(program, tmp_path_factory):
    return program.write(tmp_path_factory.mktemp("campaign"))


@pytest.fixture(scope="module")
def expected(files):
    """What threads make of it."""
    return recipes.sky_flat_detector(ExposureSet.read(files.exposures), files.ground_flats)


class DiesOnce(MaskStrategy):
    """Segmentation, but the first worker that gets here dies; or each of them."""

    def __init__(self, flag, *, always=False):
        self.flag = flag
        self.always = always

    def find(self, data, good):
        if self.always or not self.flag.exists():
            self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Segmentation().find(data, good)


def test_the_whole_recipe(files, expected, client, tmp_path):
    products = recipes.sky_flat_detector(
        ExposureSet.read(files.exposures, executor=client.get_executor()),
        files.ground_flats,
        executor=client.get_executor(),
        store=tmp_path / "store",
    )
    for name in ("grey", "by_filter", "fit", "flats", "dead", "decompositions", "dependences"):
        assert_same(getattr(products, name), getattr(expected, name))
    assert sorted(item.name for item in (tmp_path / "store").iterdir()) == ["frames", "index", "models", "pixels"]


def test_without_a_store_there_is_a_temporary_folder(files, client):
    exposures = ExposureSet.read(files.exposures)
    settings = {"executor": client.get_executor()}
    found = DeltaSkyflat.from_exposures(exposures, **settings)
    assert_same(found.data, DeltaSkyflat.from_exposures(exposures).data)


def test_the_command(files, expected, cluster, tmp_path, monkeypatch, empty_figures):
    """Paths given relative to this folder are found by workers that began in another."""
    monkeypatch.chdir(files.folder)
    arguments = ["run", "cal/*_cal.fits", "--ground-flats", "ground_flats", "--out", str(tmp_path / "new")]
    arguments += ["--scheduler", cluster.scheduler_address, "--store", os.path.relpath(tmp_path / "store")]
    assert main(arguments) == 0
    for name, flat in expected.flats.items():
        assert_same(FlatReference.read(tmp_path / "new" / "flats" / f"nrcb4_{name.lower()}_flat.fits").data, flat.data)


IMPATIENT = """
import sys
import distributed
from nircam_flats import __main__ as command

command.PATIENCE = 1
if sys.argv[-1] != "scheduler without workers":
    sys.exit(command.main(sys.argv[1:]))
with distributed.LocalCluster(n_workers=0, dashboard_address=":0") as empty:
    sys.exit(command.main([*sys.argv[1:-1], empty.scheduler_address]))
"""
"""The command, in a process of its own: a client that found no scheduler leaves loops behind that stall the next."""


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("tcp://127.0.0.1:1", "needed the address of a Dask scheduler that answers; got tcp://127.0.0.1:1"),
        ("no address", "needed the address of a Dask scheduler that answers; got no address"),
        ("scheduler without workers", "needed a scheduler with workers; got tcp://127.0.0.1"),
    ],
)
def test_the_command_without_workers(files, tmp_path, address, told):
    arguments = ["run", *map(str, files.exposures), "--ground-flats", str(files.folder / "ground_flats")]
    arguments += ["--out", str(tmp_path / "new"), "--scheduler", address]
    done = subprocess.run(
        [sys.executable, "-c", IMPATIENT, *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 2
    assert told in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_worker_that_dies_is_replaced(files, client, tmp_path):
    exposures = ExposureSet.read(files.exposures)
    frames = NormalizedFrames.from_exposures(
        exposures, masks=DiesOnce(tmp_path / "died"), executor=client.get_executor(), store=tmp_path / "store"
    )
    assert (tmp_path / "died").exists()
    plain = NormalizedFrames.from_exposures(exposures, masks=Segmentation())
    for one, other in zip(frames.frames, plain.frames, strict=True):
        assert_same(one.values, other.values)
    assert_same(DeltaSkyflat.from_frames(frames).data, DeltaSkyflat.from_frames(plain).data)


def test_workers_that_die_always(files, client, tmp_path):
    """The executor gives up, the error says so, and what had been written serves the next run."""
    exposures = ExposureSet.read(files.exposures)
    masks, store = DiesOnce(tmp_path / "died", always=True), tmp_path / "store"
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),  # else the cluster may run out of workers
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as mortal,
        distributed.Client(mortal) as other,
        pytest.raises(WorkerError, match=r"mask NRCB4: the workers were lost \(KilledWorker.*serves the next run"),
    ):
        NormalizedFrames.from_exposures(exposures, masks=masks, executor=other.get_executor(), store=store)
    frames = NormalizedFrames.from_exposures(exposures, executor=client.get_executor(), store=store)
    assert len(frames) == len(exposures)
