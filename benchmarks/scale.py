"""What Dask costs, what it takes to add to a series, and what all of NIRCam would take.

    python benchmarks/scale.py                # 200 and 10 full frames; needs 20 GB of disk, some ten minutes

The whole job on one detector, from files to new flats, runs with two threads, and with one and two workers of Dask,
each a process of one thread, each time with an empty store in a process of its own. Wanted are: two workers within 15 %
of two threads and at least 1.8 x as fast as one, the same results, and less than 1.5 GB in each worker. Then a series
of all but 10 exposures is made, and the 10 are added: wanted is less than 10 % of the time for all at once. At last the
cost of all detectors and filters, planned from the slopes.
"""

import argparse
import json
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from _bench import peak_memory, shared_folder, spawn
from astropy import units as u
from distributed import Client, LocalCluster
from scaling import chosen, digest_of, load_compiled, simulate

import nircam_flats as nf

N_EXPOSURES, N_ADDED, N_FEW = 200, 10, 20
N_EPOCHS = 20
WITHIN, SPEEDUP, MEMORY, ADDING = 0.15, 1.8, 1.5e9, 0.1
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(2**28), "MALLOC_MMAP_THRESHOLD_": str(2**25)}
"""What workers are told, as "Large campaigns" in the documentation says: Dask has them return each image's memory to the
system, which takes longer to give it out again than the arithmetic."""
PLANNED = 500
"""Exposures in each mode."""


@contextmanager
def executors(workers):
    """Context manager that yields an executor ('threads', or a number of workers of Dask) and their peaks of memory."""
    if workers == "threads":
        load_compiled()
        with ThreadPoolExecutor(2) as pool:
            yield pool, lambda: [peak_memory()]
        return
    os.environ.update(KEEP_MEMORY)
    settings = {"n_workers": int(workers), "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**settings) as cluster, Client(cluster) as client:
        load_compiled()
        client.run(load_compiled)
        yield client.get_executor(), lambda: list(client.run(peak_memory).values())


def bytes_read():
    """Return how many bytes this process has read so far, from disk or from what the system keeps of it."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["rchar"])


def run_job(folder, n_exposures, workers):
    """Make the flats of ``n_exposures`` with an empty store; returns what it took, and a digest of the result."""
    paths = chosen(folder, n_exposures)
    with executors(workers) as (executor, peaks), tempfile.TemporaryDirectory(dir=folder) as store:
        started, cpu, read = time.perf_counter(), time.process_time(), bytes_read()
        exposures = nf.ExposureSet.read(paths, executor=executor)
        products = nf.recipes.sky_flat_detector(exposures, folder / "ground_flats", executor=executor, store=store)
        return {
            "seconds": time.perf_counter() - started,
            "cpu": time.process_time() - cpu,
            "read": bytes_read() - read,
            "stored": sum(path.stat().st_size for path in Path(store).rglob("*") if path.is_file()),
            "peak": max(peaks()),
            "digest": digest_of(products),
        }


def run_series(folder, n_exposures, n_added):
    """Make a series of all exposures, and one of the others to which ``n_added`` are added; returns the seconds."""
    load_compiled()
    members = nf.ExposureSet.read(chosen(folder, n_exposures + n_added)).members
    members = sorted(members, key=lambda member: member.start.mjd)
    exposures = nf.ExposureSet.from_exposures(members)
    length = (members[-1].start - members[0].start).to(u.day) / N_EPOCHS
    seconds = {}
    with tempfile.TemporaryDirectory(dir=folder) as store, tempfile.TemporaryDirectory(dir=folder) as other:
        make = partial(nf.SkyflatSeries.from_exposures, length=length)
        shorter = make(exposures[:n_exposures], store=store)
        started = time.perf_counter()
        longer = shorter.add(exposures[n_exposures:])
        seconds["added"] = time.perf_counter() - started
        started = time.perf_counter()
        series = make(exposures, store=other)
        seconds["all"] = time.perf_counter() - started
        nf.testing.assert_same(longer.epochs, series.epochs)
        seconds["epochs"] = len(series)
    return seconds


def met(value):
    return "met" if value else "not met"


def summary(threads, one, two, few, n_few, n_exposures, series, n_added):
    """Return what was found, as sentences."""
    more, faster = two["seconds"] / threads["seconds"] - 1, one["seconds"] / two["seconds"]
    same = len({run["digest"] for run in (threads, one, two)}) == 1
    peak = max(one["peak"], two["peak"])
    share = series["added"] / series["all"]
    sentences = [
        f"{n_exposures} exposures: two threads {threads['seconds']:.1f} s, one worker {one['seconds']:.1f} s, two "
        f"workers {two['seconds']:.1f} s; results are {'the same' if same else 'NOT the same'}.",
        f"Two workers against two threads: {more:+.0%} (wanted: within {WITHIN:.0%}: {met(more <= WITHIN)}); against "
        f"one worker: {faster:.2f} x (wanted: {SPEEDUP} x: {met(faster >= SPEEDUP)}).",
        f"Peak memory of a worker: {peak / 1e9:.2f} GB (wanted: below {MEMORY / 1e9} GB: {met(peak < MEMORY)}).",
        f"Adding {n_added} exposures to a series of {n_exposures} ({series['epochs']} epochs): {series['added']:.1f} "
        f"s, {share:.1%} of {series['all']:.1f} s for all (wanted: below {ADDING:.0%}: {met(share < ADDING)}).",
    ]
    slopes = {
        name: (threads[name] - few[name]) / (n_exposures - n_few) for name in ("cpu", "read", "stored", "seconds")
    }
    n_modes = len(nf.imaging_modes())
    n_images = n_modes * PLANNED
    n_filters = len({mode.filter for mode in nf.imaging_modes()})
    hours, n_read, n_stored = (n_images * slopes[name] for name in ("cpu", "read", "stored"))
    sentences += [
        f"From {n_few} to {n_exposures} exposures each takes {slopes['cpu']:.2f} s of CPU, {slopes['read'] / 1e6:.0f} "
        f"MB read (disk and cache) and {slopes['stored'] / 1e6:.0f} MB of store.",
        f"Planned for {len(nf.Detector.all())} detectors, {n_filters} filters and {PLANNED} exposures: {n_images} "
        f"images in {n_modes} modes, {hours / 3600:.0f} CPU-hours, {n_read / 1e12:.1f} TB read, a store of "
        f"{n_stored / 1e12:.2f} TB.",
        "Assumed: a detector sees the filters of its channel, every image is a full frame, costs grow as they were "
        "measured on NRCB1, one store for all; detectors with wisps take longer.",
    ]
    return sentences


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exposures", type=int, default=N_EXPOSURES, help="another number of exposures")
    parser.add_argument("--few", type=int, default=N_FEW, help="the number that slopes are measured from")
    parser.add_argument("--size", type=int, default=2048, help="rows and columns of a frame")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        folder, n_exposures, what = options.child
        made = run_series if what == "series" else partial(run_job, workers=what)
        settings = {"n_added": N_ADDED} if what == "series" else {}
        print(json.dumps(made(Path(folder), int(n_exposures), **settings)))
        return
    n, shape = options.exposures, (options.size, options.size)
    make = partial(simulate, n_exposures=n + N_ADDED, shape=shape)
    with shared_folder(f"scale_{n + N_ADDED}_{options.size}", make) as folder:
        runs = {}
        for what, number in (("few", options.few), ("threads", n), ("2", n), ("1", n), ("series", n)):
            os.sync()
            runs[what] = spawn("--child", str(folder), str(number), "threads" if what == "few" else what)
            print(what, json.dumps(runs[what]), flush=True)
        two, one, few, series = runs["2"], runs["1"], runs["few"], runs["series"]
        print("\n".join(summary(runs["threads"], one, two, few, options.few, n, series, N_ADDED)))


if __name__ == "__main__":
    main()
