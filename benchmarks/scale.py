"""What Dask costs, what it takes to add to a series, and what all of NIRCam would take.

    python benchmarks/scale.py                # 200 and 10 full frames; needs 20 GB of disk, a quarter of an hour

The whole job on one detector, from files to new flats, runs with one and two threads, and with one and two workers
of Dask, each a process of one thread, each time with an empty store in a process of its own. Wanted are: two workers
within 15 % of two threads and at least 1.8 x as fast as one (what two threads gain over one is what the second core of
the machine gives), the same results, and less than 1.5 GB in each worker. Then a series of all but 10 exposures is
made, and the 10 are added: wanted is less than 10 % of the time for all at once. At last the cost of all detectors and
filters, planned from the slopes.
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
"""What workers are told, as "Large campaigns" in the documentation says: Dask has them return the memory of each image
to the system, which takes its time to give it out again."""
PLANNED = 500
"""Exposures in each mode."""


@contextmanager
def executors(workers):
    """Context manager that yields an executor ('2 threads', '1 worker' of Dask) and their peaks of memory."""
    number, kind = workers.split()
    if kind.startswith("thread"):
        load_compiled()
        with ThreadPoolExecutor(int(number)) as pool:
            yield pool, lambda: [peak_memory()]
        return
    os.environ.update(KEEP_MEMORY)
    settings = {"n_workers": int(number), "threads_per_worker": 1, "dashboard_address": ":0"}
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


def summary(runs, few, n_few, n_exposures, series, n_added):
    """Return what was found, as sentences."""
    seconds = {what: run["seconds"] for what, run in runs.items()}
    threads = runs["2 threads"]
    more = seconds["2 workers"] / seconds["2 threads"] - 1
    faster = seconds["1 worker"] / seconds["2 workers"]
    same = len({run["digest"] for run in runs.values()}) == 1
    peak = max(runs[what]["peak"] for what in ("1 worker", "2 workers"))
    share = series["added"] / series["all"]
    sentences = [
        f"{n_exposures} exposures: {', '.join(f'{what} {value:.1f} s' for what, value in seconds.items())}; results "
        f"are {'the same' if same else 'NOT the same'}.",
        f"Two workers against two threads: {more:+.0%} (wanted: within {WITHIN:.0%}: {met(more <= WITHIN)}); against "
        f"one worker: {faster:.2f} x (wanted: {SPEEDUP} x: {met(faster >= SPEEDUP)}); two threads against one: "
        f"{seconds['1 thread'] / seconds['2 threads']:.2f} x.",
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

        def run(what, number):
            os.sync()
            found = spawn("--child", str(folder), str(number), what)
            print(what, number, json.dumps(found), flush=True)
            return found

        few = run("2 threads", options.few)
        runs = {what: run(what, n) for what in ("2 threads", "2 workers", "1 worker", "1 thread")}
        print("\n".join(summary(runs, few, options.few, n, run("series", n), N_ADDED)))


if __name__ == "__main__":
    main()
