"""Delivery of full-size flight flats against copying the same ground flats, both with a thread for each core.

Baseline: `shutil.copy` of 12 files of 2048 x 2048 px (SCI, ERR, DQ: 50 MB each). Ours: `FlatDelivery.from_ground` of
the same files: read, multiply, errors, flags, photometric shift, check, write, SHA-256 of what goes in and comes out.
Both write into an empty folder: until the files are on the disk (fsync), which 136 of them have to be in the end; the
same beside copies that are checked as the manifest checks ours, by the SHA-256 of both files, which alone takes longer
than a copy within memory; and as far as that memory. A ratio above 0.5 means less than twice the time.
"""

import atexit
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import attrs
import numpy as np
from _bench import Case, main
from astropy.table import QTable
from astropy.time import Time

from nircam_flats import DQ, FlatDelivery, FlatModelFit, FlatReference, SurfaceCovariance, imaging_modes
from nircam_flats.parallel import map_ordered
from nircam_flats.provenance import History

SHAPE = (2048, 2048)
N_FILES = 12


def prepare():
    rng = np.random.default_rng(1)
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    (folder / "ground").mkdir()
    dq = np.where(rng.random(SHAPE) < 0.003, np.uint32(DQ.NO_FLAT_FIELD | DQ.DO_NOT_USE | DQ.DEAD), np.uint32(0))
    dq[:4] = dq[-4:] = dq[:, :4] = dq[:, -4:] = DQ.NO_FLAT_FIELD | DQ.DO_NOT_USE | DQ.REFERENCE_PIXEL
    flat = FlatReference(
        data=np.where(dq == 0, rng.normal(1, 0.03, SHAPE), 1),
        err=np.full(SHAPE, 0.002),
        dq=dq,
        detector="B4",
        filter="F200W",
        author="nircam_flats",
        description="Ground flat of a benchmark",
        pedigree="GROUND",
        useafter="2014-10-01T00:00:00",
        history=("Invented",),
    )
    filters = [mode.filter for mode in imaging_modes() if mode.detector.name == "NRCB4"][:N_FILES]
    for i, filter in enumerate(filters):
        attrs.evolve(flat, filter=filter).write(folder / "ground" / f"ground_{i:02d}.fits")
    fit = FlatModelFit(
        detector="B4",
        filters=filters,
        surface=np.broadcast_to(np.linspace(0.97, 1.03, SHAPE[1]), SHAPE),
        residual=np.zeros(SHAPE),
        covariance=SurfaceCovariance(
            modes=rng.normal(0, 0.001, (16, 64, 64)), misfit=0.001, misfit_correlation=[1.0], shape=SHAPE, box_size=32
        ),
        strategy="invented",
        flat_names={filter.name: f"ground_{i:02d}.fits" for i, filter in enumerate(filters)},
        exposures=QTable({"name": [f"jw{i:02d}" for i in range(40)], "used": [True] * 40, "reason": [""] * 40}),
        first_date=Time("2022-04-28"),
        last_date=Time("2022-05-02"),
        history=History().then("invented"),
    )
    return SimpleNamespace(folder=folder, ground=sorted((folder / "ground").iterdir()), fit=fit)


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def settled(folder):
    """Wait until the files are on the disk."""
    for path in folder.iterdir():
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def copied(data):
    out = fresh(data.folder / "copies")
    return list(map_ordered(lambda path: shutil.copy(path, out), data.ground))


def copied_and_checked(data):
    def copy(path):
        target = shutil.copy(path, out)
        if len({hashlib.sha256(Path(one).read_bytes()).hexdigest() for one in (path, target)}) > 1:
            raise OSError(f"{target} is no copy of {path}")
        return target

    out = fresh(data.folder / "copies")
    return list(map_ordered(copy, data.ground))


def delivered(data):
    return FlatDelivery.from_ground(data.ground, data.fit, out=fresh(data.folder / "delivery"))


def on_disk(work, folder):
    """Return ``work`` followed by the wait for the disk."""

    def both(data):
        result = work(data)
        settled(data.folder / folder)
        return result

    return both


def agree(copies, delivery):
    wrong = delivery.verify()
    if wrong or len(delivery.made) != len(copies):
        raise AssertionError(wrong or f"{len(delivery.made)} files of {len(copies)}")
    return f"{len(delivery.made)} files verified"


def cases():
    common = {
        "prepare": prepare,
        "same": agree,
        "n_bytes": lambda data: sum(path.stat().st_size for path in data.ground),
        "baseline_repeats": 3,
        "repeats": 3,
    }
    yield Case(
        label=f"{N_FILES} files on the disk",
        baseline=on_disk(copied, "copies"),
        ours=on_disk(delivered, "delivery"),
        target=0.5,
        **common,
    )
    yield Case(
        label=f"{N_FILES} files on the disk, copies checked",
        baseline=on_disk(copied_and_checked, "copies"),
        ours=on_disk(delivered, "delivery"),
        target=0.5,
        **common,
    )
    yield Case(label=f"{N_FILES} files in memory", baseline=copied, ours=delivered, **common)


if __name__ == "__main__":
    main("delivery", __doc__, cases)
