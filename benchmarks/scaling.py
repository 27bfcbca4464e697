"""How time and memory of the whole job grow with the number of exposures, and what a warm store saves.

    python benchmarks/scaling.py              # 18, 60 and 200 full frames; needs 20 GB of disk

For each number the job runs from files to new flats, on all cores, each time in a process of its own: first with an
empty store, then three times with what the first run left there, of which the median counts. The results must be
identical. Wanted are: seconds that grow
linearly, peaks of memory of first runs below 2 GB and within 10 % of each other, and a second run at least 5 times as
fast.
"""

import argparse
import hashlib
import json
import os
import shutil
import statistics
import tempfile
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import attrs
import numpy as np
from _bench import N_CORES, disk_bandwidth, memory_bandwidth, peak_memory, shared_folder, spawn

import nircam_flats as nf
from nircam_flats.parallel import map_ordered
from nircam_flats.simulation import Effects, SimulatedProgram

COUNTS = (18, 60, 200)
SPEEDUP = 5
MEMORY = 2e9
SPREAD = 0.1
PER_POINTING = 6
WARM_RUNS = 3


def simulate(folder, n_exposures, **settings):
    """Write exposures of one detector in two filters, only with the planes that flats are made of, and their flats."""
    n_pointings = -(-n_exposures // PER_POINTING)
    program = SimulatedProgram(
        **{"detectors": "NRCB1", "n_pointings": n_pointings, "n_dithers": PER_POINTING // 2, "seed": 12} | settings
    )
    for name in ("cal", "ground_flats"):
        (folder / name).mkdir(parents=True)
    size = 24 * int(np.prod(program.shape)) * n_exposures  # of files, and a store of up to four images for each
    free = shutil.disk_usage(folder).free
    if free < size:
        raise SystemExit(
            f"{folder}: {n_exposures} exposures and their store need {size / 1e9:.0f} GB of disk; {free / 1e9:.0f} GB "
            "are free; the environment variable NIRCAM_FLATS_BENCHMARKS may name another folder"
        )
    for mode in program.modes():
        flat = program.ground_flat(*mode)
        flat.write(folder / "ground_flats" / flat.name)

    def write(mode_and_index):
        mode, index = mode_and_index
        exposure = program.exposure(*mode, index)
        exposure = attrs.evolve(exposure, err=None, area=None, var_poisson=None, var_rnoise=None, var_flat=None)
        exposure.write(folder / "cal" / f"{exposure.name}_cal.fits")

    jobs = [(mode, index) for index in range(program.n_exposures) for mode in program.modes()]
    for _ in map_ordered(write, jobs, stage="simulate"):
        pass


def chosen(folder, n_exposures):
    """Return that many files; their names are in order of pointing, filter and dither, so both filters have as many."""
    return sorted((folder / "cal").iterdir())[:n_exposures]


def run_job(folder, n_exposures, store):
    """Make the flats of ``n_exposures``; returns the seconds, those of the system, the peak of memory and a digest."""
    load_compiled()
    started, system = time.perf_counter(), os.times().system
    exposures = nf.ExposureSet.read(chosen(folder, n_exposures))
    products = nf.recipes.sky_flat_detector(exposures, folder / "ground_flats", store=store)
    with tempfile.TemporaryDirectory(dir=folder) as out:
        for name, flat in products.flats.items():
            flat.write(Path(out) / f"{name}_flat.fits")
    seconds = time.perf_counter() - started
    system = os.times().system - system
    return {"seconds": seconds, "system": system, "peak": peak_memory(), "digest": digest_of(products)}


def digest_of(products):
    """Return a text that stands for the delta skyflat and the fit of a detector."""
    images = (products.grey.data, products.grey.err, products.fit.surface, products.fit.err)
    return hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest()


def run_alone(folder, n_exposures, store):
    """Run the job in a process of its own, on a disk that has nothing left to write."""
    os.sync()
    return spawn("--child", str(folder), str(n_exposures), store)


def load_compiled():
    """Run a tiny job, so that loading the compiled code is not counted."""
    effects = attrs.evolve(Effects.none(), noise=True)
    program = SimulatedProgram(detectors="NRCB1", shape=(128, 128), effects=effects)
    flats = [program.ground_flat(*mode) for mode in program.modes()]
    nf.recipes.sky_flat_detector(nf.ExposureSet.from_exposures(program.exposures()), flats)


def measure(folder, n_exposures):
    """Run the job, and on the store that it leaves again, in processes of their own, and return a row of results."""
    with tempfile.TemporaryDirectory(dir=folder) as store:
        first, *warm = (run_alone(folder, n_exposures, store) for _ in range(1 + WARM_RUNS))
        n_stored = sum(path.stat().st_size for path in Path(store).rglob("*") if path.is_file())
    if {run["digest"] for run in warm} != {first["digest"]}:
        raise SystemExit(f"{n_exposures} exposures: the second run, on a warm store, gave another result")
    paths = chosen(folder, n_exposures)
    n_bytes = sum(8 * int(np.prod(member.shape)) for member in nf.ExposureSet.read(paths))
    warm_s = statistics.median(run["seconds"] for run in warm)
    return {
        "benchmark": "scaling",
        "exposures": n_exposures,
        "first_s": first["seconds"],
        "warm_s": warm_s,
        "warm_system_s": statistics.median(run["system"] for run in warm),
        "ratio": first["seconds"] / warm_s,
        "peak_first": first["peak"],
        "peak_warm": max(run["peak"] for run in warm),
        "stored": n_stored,
        "limit_s": n_bytes / memory_bandwidth(N_CORES),
        "disk_s": n_bytes / disk_bandwidth(paths),
    }


def summary(rows):
    """Return the slopes and whether what is wanted was reached, as sentences."""
    rows = sorted(rows, key=lambda row: row["exposures"])
    slopes = ", ".join(f"{row['first_s'] / row['exposures']:.2f} at {row['exposures']}" for row in rows)
    sentences = [f"Seconds per exposure: {slopes}."]
    if len(rows) > 1:
        added = ", ".join(
            f"{(b['first_s'] - a['first_s']) / (b['exposures'] - a['exposures']):.2f} from {a['exposures']} to "
            f"{b['exposures']}"
            for a, b in pairwise(rows)
        )
        sentences.append(f"Seconds for each exposure more: {added}.")
    peaks = [row["peak_first"] for row in rows]
    spread = max(peaks) / min(peaks) - 1
    met = "met" if max(peaks) < MEMORY and spread <= SPREAD else "not met"
    sentences.append(
        f"Peak memory of the first run: at most {max(peaks) / 1e9:.2f} GB, {100 * spread:.0f} % apart "
        f"(wanted: below {MEMORY / 1e9:.0f} GB and within {100 * SPREAD:.0f} %: {met}); of the second run: at most "
        f"{max(row['peak_warm'] for row in rows) / 1e9:.2f} GB."
    )
    least = min(row["ratio"] for row in rows)
    met = "met" if least >= SPEEDUP else "not met"
    sentences.append(f"A second run on a warm store is at least {least:.1f} x as fast (wanted: {SPEEDUP} x: {met}).")
    return sentences


def text(row):
    """Return a row of results as a line."""
    return (
        f"{row['exposures']} exposures: first {row['first_s']:.1f} s, {row['first_s'] / row['exposures']:.2f} s each, "
        f"peak {row['peak_first'] / 1e9:.2f} GB; warm {row['warm_s']:.1f} s ({row['ratio']:.1f} x; of the system, on "
        f"any core, {row['warm_system_s']:.1f} s), peak "
        f"{row['peak_warm'] / 1e9:.2f} GB; store {row['stored'] / 1e9:.2f} GB; reading once: memory "
        f"{row['limit_s']:.2f} s, disk {row['disk_s']:.2f} s"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object per number of exposures")
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="other numbers of exposures")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        folder, n_exposures, store = options.child
        print(json.dumps(run_job(Path(folder), int(n_exposures), Path(store))))
        return
    rows = []
    with shared_folder(f"scaling_{max(options.counts)}", partial(simulate, n_exposures=max(options.counts))) as folder:
        for n_exposures in options.counts:
            rows.append(measure(folder, n_exposures))
            print(json.dumps(rows[-1]) if options.json else text(rows[-1]), flush=True)
    if not options.json:
        print("\n".join(summary(rows)))


if __name__ == "__main__":
    main()
