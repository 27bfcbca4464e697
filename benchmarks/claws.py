"""Claw forecasts against the published tool: same flux, same clean ranges, how much faster, how near the packaged fit.

    python benchmarks/claws.py --reference real/claws

``--reference`` is a folder with the published maps, and with the pointings, the flux and the clean ranges of one
observation as jwst_rogue_path_tool 1.1.0 gives them; by default ``claws`` in the folder that NIRCAM_FLATS_REAL_DATA
names, or in ``../shared/real`` beside the checkout. Where that tool is installed (pip install --no-deps
jwst_rogue_path_tool, and pandas), it is run on the same observation, up to the flux; else the times quoted are those
that were measured elsewhere.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import types
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import attrs
import numpy as np
from _bench import N_CORES, memory_bandwidth, peak_memory, spawn
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table

from nircam_flats import ClawForecast, ClawSusceptibilityZone, PlannedPointing, ZodiacalBackground

TOOL = "jwst_rogue_path_tool"
QUOTED = (12.0, 54.0)
"""Seconds that the published tool takes for one observation, as users report."""
QUOTED_PEAK = 2e9
"""Bytes that it needs at least, as users report."""
SHARED = Path(__file__).parents[2] / "shared" / "real"
FILTERS = ("F150W", "F200W")
LIMITS = [9.5, 12.5] * u.DN / u.ks
OBSERVATION = 5


def pointings_of(folder):
    """Return the pointings of the observation."""
    return [
        PlannedPointing(
            ra=row["ra_deg"] * u.deg,
            dec=row["dec_deg"] * u.deg,
            v2=row["v2_arcsec"] * u.arcsec,
            v3=row["v3_arcsec"] * u.arcsec,
        )
        for row in Table.read(folder / "peer_obs5_pointings.csv")
    ]


def zones_of(folder):
    """Return the published zones."""
    return [ClawSusceptibilityZone.read(folder, module) for module in "AB"]


def runs_below(flux, limits):
    """Return first and last whole degree of each run below the limits: the rule of the published tool.

    It judges the mean over the exposures in one module, and knows no circle.
    """
    clear = np.flatnonzero((flux < limits[:, np.newaxis]).all(axis=0))
    return [[int(run[0]), int(run[-1])] for run in np.split(clear, np.flatnonzero(np.diff(clear) > 1) + 1)]


def worst_departure(exact, fitted):
    """Return the largest relative departure where the flux is above 10 % of its peak, angles last."""
    bright = exact > 0.1 * exact.max(axis=-1, keepdims=True)
    return float(np.abs(fitted[bright] / exact[bright] - 1).max())


def departures_of_fields(zones, n_fields, seed=3):
    """Return the worst departure of the packaged zones in each of many random fields, in either module."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(n_fields):
        place = SkyCoord(rng.uniform(0, 360), np.degrees(np.arcsin(rng.uniform(-1, 1))), unit="deg")
        target = PlannedPointing.from_sky(place, "B5")
        exact, fitted = (ClawForecast.from_pointings(target, "F200W", zones=item).flux for item in (zones, None))
        found.append(worst_departure(exact, fitted))
    return np.array(found)


def share_above(part, filter, n_fields=200, seed=4):
    """Return the share of random fields at a random roll whose claws exceed a part of the sky, by module."""
    rng, targets, skies = np.random.default_rng(seed), [], []
    model = ZodiacalBackground(any_angle=True)
    for _ in range(n_fields):
        place = SkyCoord(rng.uniform(0, 360), np.degrees(np.arcsin(rng.uniform(-1, 1))), unit="deg")
        (target,) = PlannedPointing.from_sky(place, "B5")
        targets.append(attrs.evolve(target, roll=rng.uniform(0, 360) * u.deg))
        skies.append(model.predict(place, "2026-05-01", filter).to_value(u.MJy / u.sr))
    found = ClawForecast.from_pointings(targets, filter, angles=0 * u.deg).predicted
    found["part"] = found["brightness"].to_value(u.MJy / u.sr) / np.array(skies)[found["pointing"]]
    return {module: float(np.mean(found["part"][found["module"] == module] > part)) for module in "AB"}


def timed_forecast(folder, n_cores=N_CORES):
    """Return seconds of a forecast and of clear ranges, medians of runs after a first, and the peak of memory."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n_cores])
    pointings, zones = pointings_of(folder), zones_of(folder)
    times = []
    for _ in range(8):
        started = time.perf_counter()
        forecast = ClawForecast.from_pointings(pointings, FILTERS, zones=zones)
        between = time.perf_counter()
        forecast.claw_free_angles(dict(zip(FILTERS, LIMITS, strict=True)))
        times.append((between - started, time.perf_counter() - between))
    forecast_s, ranges_s = (statistics.median(column) for column in zip(*times[1:], strict=True))
    return {"forecast_s": forecast_s, "ranges_s": ranges_s, "first_s": times[0][0], "peak": peak_memory()}


def timed_tool():
    """Run the published tool up to the flux (what follows needs a network) and return its seconds and peak."""
    background = types.ModuleType("jwst_backgrounds")
    background.jbt = types.ModuleType("jwst_backgrounds.jbt")
    sys.modules |= {"jwst_backgrounds": background, "jwst_backgrounds.jbt": background.jbt}
    claws = __import__(f"{TOOL}.detect_claws", fromlist=["aptProgram"])
    claws.aptProgram._aptProgram__find_background_thresholds = lambda self: None
    records = files(TOOL) / "data" / "APT_test_4RPtool.records.json"
    started = time.perf_counter()
    claws.aptProgram(str(records), usr_defined_obs=[OBSERVATION]).run()
    return {"tool_s": time.perf_counter() - started, "peak": peak_memory()}


def against_the_tool(folder, forecast):
    """Return how far our flux is off that of the tool, relative, and whether the clean ranges are the same."""
    peer = Table.read(folder / "peer_rpt_1.1.0_obs5_v3pa_flux.csv")
    theirs = np.array([peer[f"dn_pix_ks_CLEAR+{name}_B"] for name in FILTERS]) * u.DN / u.ks
    expected = json.loads((folder / "published_clawfree_ranges_obs5.json").read_text())["ranges_0p1_min"]
    ours = forecast.mean_flux[1]
    return float(np.abs(ours / theirs - 1).max()), runs_below(ours, LIMITS) == expected


def run_tool(folder):
    """Return seconds and peak of the published tool where it is installed and runs, else None."""
    try:
        return spawn("--child", "tool", "--reference", str(folder)) if find_spec(TOOL) else None
    except (SystemExit, subprocess.SubprocessError) as error:
        print(f"the published tool does not run here: {error}", file=sys.stderr)


def row(folder):
    """Return the row of the table of results; the time of the tool is quoted where it is not installed."""
    needed = [folder / "rogue_path_nrca.fits", folder / "peer_rpt_1.1.0_obs5_v3pa_flux.csv"]
    missing = [str(path) for path in needed if not path.exists()]
    if missing:
        return {"benchmark": "claws", "skipped": f"needs {', '.join(missing)}; NIRCAM_FLATS_REAL_DATA says where"}
    forecast = ClawForecast.from_pointings(pointings_of(folder), FILTERS, zones=zones_of(folder))
    departure, alike = against_the_tool(folder, forecast)
    if departure > 1e-6 or not alike:
        raise SystemExit(f"flux departs by {departure:.1e} from that of the tool, or clean ranges do")
    tool = run_tool(folder)
    theirs = tool or {"tool_s": QUOTED[0], "peak": QUOTED_PEAK}
    cores = {n: spawn("--child", "ours", "--cores", str(n), "--reference", str(folder)) for n in sorted({1, N_CORES})}
    found = {
        "benchmark": "claws",
        "case": "one observation, 360 angles",
        "target": 100,
        "peak_baseline": theirs["peak"],
        "peak_ours": cores[N_CORES]["peak"],
        "first_call_s": cores[N_CORES]["first_s"],
    }
    same = f"flux within {departure:.0e}, the same clean ranges; the baseline is {'measured' if tool else 'quoted'}"
    n_bytes = sum(path.stat().st_size for path in folder.glob("rogue_path_nrc*.fits"))
    for n, own in cores.items():
        found[f"cores_{n}"] = {
            "ratio": theirs["tool_s"] / own["forecast_s"],
            "baseline_s": theirs["tool_s"],
            "ours_s": own["forecast_s"],
            "limit_s": n_bytes / memory_bandwidth(n),
            "same": same,
        }
    return found


def report(folder, n_fields):
    """Print everything."""
    zones = zones_of(folder)
    forecast = ClawForecast.from_pointings(pointings_of(folder), FILTERS, zones=zones)
    departure, alike = against_the_tool(folder, forecast)
    print(f"flux of {forecast.mean_flux[1].size} angles and filters: within {departure:.1e} (wanted: 1e-6)")
    print(f"10 % clean ranges by the rule of the tool: {'the same' if alike else 'differ'}")
    clear = forecast.claw_free_angles(dict(zip(FILTERS, LIMITS, strict=True)))
    print(f"clear in every exposure, filter and module: {clear}")
    packaged = ClawForecast.from_pointings(pointings_of(folder), FILTERS)
    for m, module in enumerate(forecast.modules):
        worst = worst_departure(forecast.mean_flux[m].value, packaged.mean_flux[m].value)
        print(f"packaged fit, module {module}: flux within {100 * worst:.1f} % above 10 % of its peak (wanted: 15 %)")
    if n_fields:
        found = departures_of_fields(zones, n_fields)
        worst, usual = 100 * found.max(), 100 * np.median(found)
        print(f"packaged fit, {n_fields} random fields: within {worst:.1f} %, median {usual:.1f} %")
    for filter in FILTERS:
        shares = share_above(0.1, filter)
        told = ", ".join(f"{share:.0%} in module {module}" for module, share in shares.items())
        print(f"random fields whose claws exceed a tenth of the sky in {filter}: {told}")
    own = spawn("--child", "ours", "--reference", str(folder))
    print(f"ours: {own['forecast_s']:.3f} s for 360 angles (wanted: 0.3 s), first call {own['first_s']:.1f} s")
    print(f"clear ranges: {own['ranges_s']:.3f} s; peak of memory {own['peak'] / 1e6:.0f} MB (wanted: 500 MB)")
    tool = run_tool(folder)
    if tool:
        ratio = tool["tool_s"] / own["forecast_s"]
        print(f"published tool: {tool['tool_s']:.1f} s, {tool['peak'] / 1e6:.0f} MB; ours is {ratio:.0f} x as fast")
    else:
        print(f"published tool: not measured here; {QUOTED[0]:g} to {QUOTED[1]:g} s where it was (quoted)")


def main():
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    real = Path(os.environ.get("NIRCAM_FLATS_REAL_DATA", SHARED))
    parser.add_argument(
        "--reference", type=Path, default=real / "claws", help="folder of the published maps and numbers"
    )
    parser.add_argument("--json", action="store_true", help="print the row of the table of results as a JSON object")
    parser.add_argument("--fields", type=int, default=60, help="random fields to try the packaged fit in")
    parser.add_argument("--child", choices=("ours", "tool"), help=argparse.SUPPRESS)
    parser.add_argument("--cores", type=int, default=N_CORES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child == "ours":
        print(json.dumps(timed_forecast(options.reference, options.cores)))
    elif options.child == "tool":
        print(json.dumps(timed_tool()))
    elif options.json:
        print(json.dumps(row(options.reference)))
    else:
        report(options.reference, options.fields)


if __name__ == "__main__":
    main()
