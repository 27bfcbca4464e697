"""How every benchmark is run: baseline and ours in turn, on one core and on all, with memory, limits and first call.

A benchmark is a script that names its cases and hands them to `main`::

    def cases():
        yield Case(label="N = 20", prepare=prepare, baseline=plain, ours=fast, same=compare, n_bytes=count)

    if __name__ == "__main__":
        main("combination", __doc__, cases)

Each case runs in processes of its own, bound to the cores it may use, so that no thread pool, cache or peak of memory
of one leaks into the other. Files that several of them read lie in a `shared_folder`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

N_CORES = len(os.sched_getaffinity(0))
FOLDER = "NIRCAM_FLATS_BENCHMARKS"
"""Environment variable: where the files of the benchmarks are kept, instead of a temporary folder."""


@dataclass(frozen=True)
class Case:
    """One comparison.

    ``prepare()`` returns the input; ``baseline(input)`` and ``ours(input)`` return results; ``same(theirs, ours)``
    returns a short text about how they agree, and raises where they do not; ``n_bytes(input)`` is what has to be read
    at least; ``target`` is the ratio to reach on all cores, if there is one; ``files(input)`` are the files that the
    bytes come from, where they do: then the time to read them from the disk is told too; ``reset(input)`` is called
    before each run and not timed: it removes what runs before have left.
    """

    label: str
    prepare: Callable
    baseline: Callable
    ours: Callable
    same: Callable
    n_bytes: Callable
    target: float | None = None
    files: Callable | None = None
    reset: Callable = lambda data: None
    baseline_repeats: int = 1
    repeats: int = 5


def main(title, doc, cases):
    """Run the benchmark from the command line; ``--json`` prints one JSON object per case."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object per case")
    parser.add_argument("--only", help="run the cases whose label contains this text")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    for case in cases():  # one by one: what a generator holds open stays open meanwhile
        if options.child:
            label, mode, n_cores = options.child
            if case.label == label:
                print(json.dumps(_child(case, mode, int(n_cores))))
                return
        elif options.only is None or options.only in case.label:
            result = {"benchmark": title, "case": case.label, "target": case.target} | _measure(case)
            print(json.dumps(result) if options.json else _text(result), flush=True)


@contextmanager
def shared_folder(name, make):
    """Context manager that yields a folder filled by ``make(folder)`` once, for this process and its children.

    It is temporary, unless the environment variable NIRCAM_FLATS_BENCHMARKS names a folder for such folders.
    """
    kept = os.environ.get(FOLDER)
    with nullcontext(kept) if kept else tempfile.TemporaryDirectory(prefix="nircam_flats_benchmarks_") as place:
        folder = Path(place) / name
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=place) as unfinished:
                make(Path(unfinished) / name)
                (Path(unfinished) / name).rename(folder)
        os.environ[FOLDER] = place  # for the children
        try:
            yield folder
        finally:
            if not kept:
                del os.environ[FOLDER]


def _measure(case):
    result = {}
    for n_cores in sorted({1, N_CORES}):
        result[f"cores_{n_cores}"] = _spawn(case, "compare", n_cores)
    for mode in ("baseline", "ours"):
        result[f"peak_{mode}"] = _spawn(case, mode, N_CORES)["peak"]
    with tempfile.TemporaryDirectory() as folder:
        result["first_call_s"] = _spawn(case, "first", N_CORES, NUMBA_CACHE_DIR=folder)["first_s"]
    return result


def _spawn(case, mode, n_cores, **environment):
    return spawn("--child", case.label, mode, str(n_cores), **environment)


def spawn(*arguments, **environment):
    """Run this script again in a process of its own; returns the JSON object that it prints last."""
    command = [sys.executable, os.path.abspath(sys.argv[0]), *arguments]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _child(case, mode, n_cores):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n_cores])
    data = case.prepare()
    if mode == "first":
        return {"first_s": _timed(case.ours, data)[0] - _timed(case.ours, data)[0]}
    if mode in ("baseline", "ours"):
        before = peak_memory()
        getattr(case, mode)(data)
        return {"peak": peak_memory(), "before": before}
    case.ours(data)  # compiled code is loaded, pages are touched
    ratios, theirs_s, ours_s = [], [], []
    for _ in range(case.baseline_repeats):
        seconds, theirs = _run(case, case.baseline, data)
        theirs_s.append(seconds)
        runs = [_run(case, case.ours, data) for _ in range(case.repeats)]
        ours_s += [run[0] for run in runs]
        ratios.append(seconds / statistics.median(run[0] for run in runs))
    result = {
        "ratio": statistics.median(ratios),
        "baseline_s": statistics.median(theirs_s),
        "ours_s": statistics.median(ours_s),
        "same": case.same(theirs, runs[-1][1]),
        "limit_s": case.n_bytes(data) / memory_bandwidth(n_cores),
    }
    if case.files is not None:
        result["disk_s"] = case.n_bytes(data) / disk_bandwidth(case.files(data))
    return result


def _run(case, function, data):
    case.reset(data)
    return _timed(function, data)


def _timed(function, data):
    started = time.perf_counter()
    result = function(data)
    return time.perf_counter() - started, result


def peak_memory():
    """Return the largest resident size of this process so far, bytes.

    From the system's table of the process: what `resource.getrusage` says holds the peak of the parent as well.
    """
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024


def memory_bandwidth(n_cores):
    """Return how many bytes per second ``n_cores`` threads read from memory, measured now."""
    data = np.ones(32 << 20, np.float32)  # 128 MiB, beyond the caches
    parts = np.array_split(data, n_cores)
    with ThreadPoolExecutor(n_cores) as pool:
        times = [_timed(lambda parts: list(pool.map(np.max, parts)), parts)[0] for _ in range(7)]
    return data.nbytes / min(times)


def disk_bandwidth(paths, *, n_bytes=1 << 30):
    """Return how many bytes per second are read from the disk, measured on up to ``n_bytes`` of these files.

    The system is asked to forget what it holds of them. A disk that is itself a file of another machine may still be
    remembered there.
    """
    total, seconds = 0, 0.0
    for path in paths:
        if total >= n_bytes:
            break
        with open(path, "rb", buffering=0) as handle:
            os.fsync(handle.fileno())  # what is not written yet is not forgotten
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            started = time.perf_counter()
            while part := handle.read(16 << 20):
                total += len(part)
            seconds += time.perf_counter() - started
    return total / seconds


def _text(result):
    lines = [f"{result['benchmark']}, {result['case']}"]
    for key, run in result.items():
        if key.startswith("cores_"):
            far = run["ours_s"] / run["limit_s"]
            disk = f", the disk {run['disk_s']:.2f} s" if "disk_s" in run else ""
            lines.append(
                f"  {key.removeprefix('cores_')} cores: {run['ratio']:.1f} x  ({run['baseline_s']:.3f} s -> "
                f"{run['ours_s']:.4f} s; reading memory once takes {run['limit_s']:.4f} s, {far:.0f} x less{disk})  "
                f"[{run['same']}]"
            )
    peaks = " -> ".join(f"{result[f'peak_{mode}'] / 2**30:.2f} GiB" for mode in ("baseline", "ours"))
    lines.append(f"  peak memory {peaks}; first call takes {result['first_call_s']:.1f} s more")
    return "\n".join(lines)
