"""Delivery of full-size flight flats against copying the same ground flats, both with a thread for each core.

Baseline: `shutil.copy` of ground flats of 2048 x 2048 px (SCI, ERR, DQ: 50 MB each). Ours: `FlatDelivery.from_ground`
of the same files: read, multiply, errors, flags, photometric shift, check, write, SHA-256 of what goes in and comes
out. Both write into an empty folder, after what runs before wrote is removed: all 136, read from the disk, until they
are on the disk (fsync); 12 of them beside copies that are checked as the manifest checks ours, by the SHA-256 of both
files; and 12 within memory. A ratio above 0.5 means less than twice the time.
"""

import atexit
import hashlib
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import attrs
import numpy as np
from _bench import FOLDER, Case, main
from astropy.table import QTable
from astropy.time import Time

from nircam_flats import DQ, FlatDelivery, FlatModelFit, FlatReference, SurfaceCovariance, imaging_modes
from nircam_flats.parallel import map_ordered
from nircam_flats.provenance import History

SHAPE = (2048, 2048)
N_FILES = 12


def prepare(n_files):
    rng = np.random.default_rng(1)
    folder = Path(tempfile.mkdtemp(dir=os.environ.get(FOLDER)))
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
    modes = imaging_modes()[:n_files]
    ground = [folder / "ground" / f"ground_{i:03d}.fits" for i in range(len(modes))]

    def write(mode, path):
        attrs.evolve(flat, detector=mode.detector, filter=mode.filter).write(path)

    list(map_ordered(lambda item: write(*item), list(zip(modes, ground, strict=True))))
    covariance = SurfaceCovariance(
        modes=rng.normal(0, 0.001, (16, 64, 64)), misfit=0.001, misfit_correlation=[1.0], shape=SHAPE, box_size=32
    )
    surface = np.broadcast_to(np.linspace(0.97, 1.03, SHAPE[1]), SHAPE)
    fits = []
    for detector in dict.fromkeys(mode.detector for mode in modes):
        own = {
            mode.filter.name: path.name for mode, path in zip(modes, ground, strict=True) if mode.detector == detector
        }
        fits.append(
            FlatModelFit(
                detector=detector,
                filters=list(own),
                surface=surface,
                residual=np.zeros(SHAPE),
                covariance=covariance,
                strategy="invented",
                flat_names=own,
                exposures=QTable({"name": [f"jw{i:02d}" for i in range(40)], "used": [True] * 40, "reason": [""] * 40}),
                first_date=Time("2022-04-28"),
                last_date=Time("2022-05-02"),
                history=History().then("invented"),
            )
        )
    return SimpleNamespace(folder=folder, ground=ground, fits=fits)


def fresh(data):
    return Path(tempfile.mkdtemp(dir=data.folder, prefix="made_"))


def remove_made(data):
    for folder in data.folder.glob("made_*"):
        shutil.rmtree(folder)


def copied(data):
    out = fresh(data)
    return list(map_ordered(lambda path: Path(shutil.copy(path, out)), data.ground))


def copied_and_checked(data):
    def copy(path):
        target = Path(shutil.copy(path, out))
        if len({hashlib.sha256(one.read_bytes()).hexdigest() for one in (path, target)}) > 1:
            raise OSError(f"{target} is no copy of {path}")
        return target

    out = fresh(data)
    return list(map_ordered(copy, data.ground))


def delivered(data):
    return FlatDelivery.from_ground(data.ground, data.fits, out=fresh(data))


def on_disk(work, *, cold=False):
    """Return ``work`` followed by the wait until its files are on the disk; ``cold``: those read are not in memory."""

    def both(data):
        if cold:
            settle(data.ground, os.POSIX_FADV_DONTNEED)
        result = work(data)
        settle(result if isinstance(result, list) else result.folder.iterdir(), os.POSIX_FADV_NORMAL)
        return result

    return both


def settle(paths, advice):
    """Wait until files are on the disk, and tell the system what to do with what it holds of them."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, advice)
        os.close(handle)


def agree(copies, delivery):
    wrong = delivery.verify()
    if wrong or len(delivery.made) != len(copies):
        raise AssertionError(wrong or f"{len(delivery.made)} files of {len(copies)}")
    return f"{len(delivery.made)} files verified"


def cases():
    common = {
        "same": agree,
        "reset": remove_made,
        "n_bytes": lambda data: sum(path.stat().st_size for path in data.ground),
    }
    yield Case(
        label=f"{len(imaging_modes())} files from disk to disk",
        prepare=partial(prepare, len(imaging_modes())),
        baseline=on_disk(copied, cold=True),
        ours=on_disk(delivered, cold=True),
        target=0.5,
        files=lambda data: data.ground,
        repeats=1,
        **common,
    )
    common |= {"prepare": partial(prepare, N_FILES), "baseline_repeats": 3, "repeats": 3}
    yield Case(
        label=f"{N_FILES} files on the disk, copies checked",
        baseline=on_disk(copied_and_checked),
        ours=on_disk(delivered),
        target=0.5,
        **common,
    )
    yield Case(label=f"{N_FILES} files in memory", baseline=copied, ours=delivered, **common)


if __name__ == "__main__":
    main("delivery", __doc__, cases)
