"""How every benchmark is run: baseline and ours in turn, on one core and on all, with memory, limits and first call.

A benchmark is a script that names its cases and hands them to `main`::

    def cases():
        yield Case(label="N = 20", prepare=prepare, baseline=plain, ours=fast, same=compare, n_bytes=count)

    if __name__ == "__main__":
        main("combination", __doc__, cases)

Each case runs in processes of its own, bound to the cores it may use, so that no thread pool, cache or peak of memory
of one leaks into the other.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

N_CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Case:
    """One comparison.

    ``prepare()`` returns the input; ``baseline(input)`` and ``ours(input)`` return results; ``same(theirs, ours)``
    returns a short text about how they agree, and raises where they do not; ``n_bytes(input)`` is what has to be read
    at least; ``target`` is the ratio to reach on all cores, if there is one.
    """

    label: str
    prepare: Callable
    baseline: Callable
    ours: Callable
    same: Callable
    n_bytes: Callable
    target: float | None = None
    baseline_repeats: int = 1
    repeats: int = 5


def main(title, doc, cases):
    """Run the benchmark from the command line; ``--json`` prints one JSON object per case."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object per case")
    parser.add_argument("--only", help="run the cases whose label contains this text")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    chosen = {case.label: case for case in cases() if options.only is None or options.only in case.label}
    if options.child:
        label, mode, n_cores = options.child
        print(json.dumps(_child(chosen[label], mode, int(n_cores))))
        return
    for case in chosen.values():
        result = {"benchmark": title, "case": case.label, "target": case.target} | _measure(case)
        print(json.dumps(result) if options.json else _text(result), flush=True)


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
    command = [sys.executable, os.path.abspath(sys.argv[0]), "--child", case.label, mode, str(n_cores)]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{case.label} ({mode}, {n_cores} cores) failed:\n{done.stderr}")
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
        seconds, theirs = _timed(case.baseline, data)
        theirs_s.append(seconds)
        runs = [_timed(case.ours, data) for _ in range(case.repeats)]
        ours_s += [run[0] for run in runs]
        ratios.append(seconds / statistics.median(run[0] for run in runs))
    return {
        "ratio": statistics.median(ratios),
        "baseline_s": statistics.median(theirs_s),
        "ours_s": statistics.median(ours_s),
        "same": case.same(theirs, runs[-1][1]),
        "limit_s": case.n_bytes(data) / memory_bandwidth(n_cores),
    }


def _timed(function, data):
    started = time.perf_counter()
    result = function(data)
    return time.perf_counter() - started, result


def peak_memory():
    """Return the largest resident size of this process so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def memory_bandwidth(n_cores):
    """Return how many bytes per second ``n_cores`` threads read from memory, measured now."""
    data = np.ones(32 << 20, np.float32)  # 128 MiB, beyond the caches
    parts = np.array_split(data, n_cores)
    with ThreadPoolExecutor(n_cores) as pool:
        times = [_timed(lambda parts: list(pool.map(np.max, parts)), parts)[0] for _ in range(7)]
    return data.nbytes / min(times)


def _text(result):
    lines = [f"{result['benchmark']}, {result['case']}"]
    for key, run in result.items():
        if key.startswith("cores_"):
            far = run["ours_s"] / run["limit_s"]
            lines.append(
                f"  {key.removeprefix('cores_')} cores: {run['ratio']:.1f} x  ({run['baseline_s']:.3f} s -> "
                f"{run['ours_s']:.4f} s; reading memory once takes {run['limit_s']:.4f} s, {far:.0f} x less)  "
                f"[{run['same']}]"
            )
    peaks = " -> ".join(f"{result[f'peak_{mode}'] / 2**30:.2f} GiB" for mode in ("baseline", "ours"))
    lines.append(f"  peak memory {peaks}; first call takes {result['first_call_s']:.1f} s more")
    return "\n".join(lines)
