"""Run all benchmarks and write RESULTS.md.

    python benchmarks/run.py                            # an hour; needs 20 GB of disk
    python benchmarks/run.py --only source_mask polynomial

A benchmark that fails is told in the table, and makes the exit status 1; the others run all the same. One that needs
files which are not there is told, too, and is no failure.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from _bench import N_CORES
from scaling import summary

FOLDER = Path(__file__).parent
BASELINES = {
    "combine": "`astropy.stats.sigma_clipped_stats(axis=0)`",
    "source_mask": "astropy `convolve`, photutils `Background2D` and `detect_sources`",
    "clipped_median": "`astropy.stats.sigma_clipped_stats`",
    "polynomial": "`astropy.modeling` `LinearLSQFitter`",
    "whole_job": "`benchmarks/plain.py`",
    "delivery": "`shutil.copy`",
    "claws": "`jwst_rogue_path_tool` 1.1.0",
    "scaling": "the first run",
}
PACKAGES = ("nircam_flats", "numpy", "scipy", "numba", "astropy", "photutils", "bottleneck")
COLUMNS = (
    "benchmark",
    "baseline",
    "target",
    "1 core",
    f"{N_CORES} cores",
    "seconds",
    "peak memory",
    "first call",
    "limit",
    "above it",
    "agreement",
)
NOTES = f"""\
Ratios are baseline / ours, medians of runs in turn in one process. *seconds* (baseline → ours) and *peak memory* of
the process (baseline → ours; input included) are those on {N_CORES} cores. *first call* is what compiling adds when
nothing is cached. *limit* is the time to read the input once from memory (and from disk, where there are files),
measured in the same run; *above it* is how many times longer ours takes than reading from memory."""


def run(name):
    """Run a benchmark; return its rows, and why it failed or None."""
    command = [sys.executable, str(FOLDER / f"{name}.py"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    failure = None
    if done.returncode or not rows:
        lines = done.stderr.strip().splitlines()
        failure = lines[-1] if lines else f"exit status {done.returncode}, no result"
    return rows, failure


def document(results):
    """Return RESULTS.md; ``results`` is a dict from benchmark to its rows and failure."""
    parts = ["# Results of the benchmarks", setup(), comparisons(results), NOTES]
    rows, failure = results.get("scaling", ([], None))
    if rows or failure:
        parts += ["## Growth with the number of exposures", growth(rows, failure)]
    parts.append("How accurate the flats are is told in [ACCURACY.md](ACCURACY.md).")
    return "\n\n".join(parts) + "\n"


def setup():
    """Return machine, versions and date as a list."""
    versions = ", ".join(f"{name} {version_of(name)}" for name in PACKAGES)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return "\n".join(
        (
            f"- Date: {datetime.now(UTC):%Y-%m-%d}",
            f"- Machine: {cpu_model()}, {N_CORES} cores, {memory:.0f} GiB of memory, {platform.system()}",
            f"- Versions: Python {platform.python_version()}, {versions}",
        )
    )


def version_of(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


def cpu_model():
    """Return the name of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def comparisons(results):
    """Return the table of ratios."""
    lines = [[*COLUMNS], ["---"] * len(COLUMNS)]
    for name, (rows, failure) in results.items():
        if name != "scaling":
            lines += [(left_out if "skipped" in row else comparison)(row, BASELINES[name]) for row in rows]
            if failure:
                lines.append(failed(name, BASELINES[name], failure))
    return table(lines)


def comparison(row, baseline):
    one, many = row["cores_1"], row[f"cores_{N_CORES}"]
    target = row["target"]
    missed = target is not None and many["ratio"] < target
    disk = f", disk {seconds(many['disk_s'])}" if "disk_s" in many else ""
    return [
        f"{row['benchmark']}, {row['case']}",
        baseline,
        "" if target is None else f"{target:g} x",
        f"{one['ratio']:.1f} x",
        f"{many['ratio']:.1f} x{' (missed)' if missed else ''}",
        f"{seconds(many['baseline_s'])} → {seconds(many['ours_s'])}",
        f"{row['peak_baseline'] / 1e9:.2f} → {row['peak_ours'] / 1e9:.2f} GB",
        seconds(max(row["first_call_s"], 0)),
        f"{seconds(many['limit_s'])}{disk}",
        f"{many['ours_s'] / many['limit_s']:.1f} x",
        many["same"],
    ]


def left_out(row, baseline):
    return [row["benchmark"], baseline, *[""] * (len(COLUMNS) - 3), f"not run: {row['skipped']}"]


def failed(name, baseline, failure):
    return [name, baseline, *[""] * (len(COLUMNS) - 3), f"**failed**: {failure}"]


def growth(rows, failure):
    """Return the table of `scaling.py` and what follows from it."""
    titles = ("exposures", "first run", "per exposure", "second run", "ratio", "peak memory", "store", "limit")
    lines = [titles, ["---"] * len(titles)]
    lines += [
        [
            str(row["exposures"]),
            seconds(row["first_s"]),
            seconds(row["first_s"] / row["exposures"]),
            seconds(row["warm_s"]),
            f"{row['ratio']:.1f} x",
            f"{row['peak_first'] / 1e9:.2f}, {row['peak_warm'] / 1e9:.2f} GB",
            f"{row['stored'] / 1e9:.2f} GB",
            f"{seconds(row['limit_s'])}, disk {seconds(row['disk_s'])}",
        ]
        for row in rows
    ]
    parts = [table(lines), "\n".join(f"- {sentence}" for sentence in summary(rows))] if rows else []
    return "\n\n".join([*parts, *([f"**failed**: {failure}"] if failure else [])])


def table(lines):
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def seconds(value):
    return f"{value:.3g} s" if value >= 1 else f"{1e3 * value:.3g} ms"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=BASELINES, default=list(BASELINES), help="run these")
    parser.add_argument("--out", type=Path, default=FOLDER / "RESULTS.md", help="file to write")
    options = parser.parse_args(arguments)
    results = {}
    for name in options.only:
        print(f"{name} ...", file=sys.stderr, flush=True)
        results[name] = run(name)
        options.out.write_text(document(results))
    failures = [f"{name}: {failure}" for name, (_, failure) in results.items() if failure]
    print(options.out.read_text())
    print("\n".join(failures), file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
