"""Kill the whole job at random moments, and see whether the next run still gives the same flats.

    python benchmarks/faults.py               # 50 kills of small frames, a few minutes

The job is `recipes.sky_flat_program` with a store, in a process that is killed (SIGKILL) at a moment drawn from the
whole of its run. What it had written must be whole, and a second run, on the same store and folder, must give what an
undisturbed one gives, bit by bit. The kills are told by the stage that they struck.
"""

import argparse
import random
import signal
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

from astropy.io import fits
from matplotlib.figure import Figure

import nircam_flats as nf
from nircam_flats import parallel, report
from nircam_flats.simulation import SimulatedProgram

N_KILLS = 50
PRODUCTS = ("grey", "by_filter", "fit", "flats", "dead", "dependences")


@contextmanager
def empty_figures():
    """Context manager in which figures are saved empty: to draw them takes longer than all else of small frames."""
    drawn = report.DetectorProducts.figure
    report.DetectorProducts.figure = lambda products: Figure(figsize=(1, 1))
    try:
        yield
    finally:
        report.DetectorProducts.figure = drawn


def simulate(folder, **settings):
    """Write a small campaign of one detector in two filters; returns its files."""
    program = SimulatedProgram(**{"detectors": "B1", "filters": ("F150W", "F200W"), "seed": 5} | settings)
    return program.write(folder)


def job(files, place):
    """Make the flats of the campaign in the folders ``out`` and ``store`` of ``place``."""
    exposures = nf.ExposureSet.read(files.exposures)
    with empty_figures():
        return nf.recipes.sky_flat_program(
            exposures, files.folder / "ground_flats", out=place / "out", store=place / "store", overwrite=True
        )


def watched_job(files, place):
    """Do the job, and write to the file ``stages`` what it is doing."""

    def tell(stage):
        with open(place / "stages", "a") as handle:
            handle.write(f"{stage}\n")

    bar = parallel.tqdm
    parallel.tqdm = lambda *args, desc="", **options: tell(desc) or bar(*args, desc=desc, **options)
    write = report.DetectorProducts.write
    report.DetectorProducts.write = lambda *args, **options: tell("write products") or write(*args, **options)
    tell("begin")
    job(files, place)
    tell("end")


def stage_of(place):
    """Return what the job did last, without the name of the detector."""
    path = place / "stages"
    lines = [line for line in path.read_text().splitlines() if line] if path.exists() else []
    return " ".join(word for word in lines[-1].split()[:2] if not word.startswith("NRC")) if lines else "start"


def kill_once(files, place, delay):
    """Kill the job after ``delay`` seconds; returns the stage that was struck, None if it was done before."""
    process = get_context("fork").Process(target=watched_job, args=(files, place))
    process.start()
    process.join(delay)
    process.kill()
    process.join()
    return stage_of(place) if process.exitcode == -signal.SIGKILL else None


def check(files, place, expected):
    """Run the job again and raise unless it gives what is expected; products written before the kill must be whole.

    A file that was being written has a hidden name of its own, and is none.
    """
    for path in place.rglob("out/**/[!.]*.fits"):
        with fits.open(path) as hdus:
            hdus.verify("exception")
    (products,) = job(files, place).products
    for name in PRODUCTS:
        nf.testing.assert_same(getattr(products, name), getattr(expected, name))
    for name, flat in expected.flats.items():
        written = nf.FlatReference.read(place / "out" / "flats" / f"nrcb1_{name.lower()}_flat.fits")
        nf.testing.assert_same(written.data, flat.data)


def survive(files, folder, n_kills, seed=1):
    """Kill ``n_kills`` jobs; returns how many were survived, and a `Counter` of the stages that were struck."""
    place = folder / "undisturbed"
    place.mkdir()
    (expected,) = job(files, place).products
    (folder / "timed").mkdir()
    started = time.perf_counter()
    job(files, folder / "timed")
    duration = time.perf_counter() - started
    rng, struck, survived = random.Random(seed), Counter(), 0
    while struck.total() < n_kills:
        place = Path(tempfile.mkdtemp(dir=folder))
        stage = kill_once(files, place, rng.uniform(0, duration))
        if stage is None:
            continue
        struck[stage] += 1
        try:
            check(files, place, expected)
            survived += 1
        except (nf.FlatsError, AssertionError, OSError) as error:
            print(f"killed in {stage}: {type(error).__name__}: {error}", flush=True)
    return survived, struck


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=N_KILLS, help="another number of kills")
    parser.add_argument("--size", type=int, default=128, help="rows and columns of a frame")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nircam_flats_faults_") as folder:
        files = simulate(Path(folder) / "campaign", shape=(options.size,) * 2, n_pointings=2, n_dithers=2)
        survived, struck = survive(files, Path(folder), options.kills)
    for stage, count in struck.most_common():
        print(f"{count:4} killed in: {stage}")
    verdict = "met" if survived == options.kills else "not met"
    print(f"{survived} of {options.kills} kills survived (wanted: all: {verdict})")


if __name__ == "__main__":
    main()
