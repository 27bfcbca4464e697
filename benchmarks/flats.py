"""How right are the new flats?  Policies, small scales and errors against injected truth, full frames.

    python benchmarks/flats.py                          # all tables; an hour
    python benchmarks/flats.py --only policies multiscale
    python benchmarks/flats.py --only policies --seeds 301 --counts 2 4

smooth      What smooth strategies leave of the noiseless response of a filter: peak to peak and rms over the medians of
            64 x 64 boxes of fitted / true, per cent.
strategies  For 2 to 40 exposures of each of two filters: the error of the surface that is fitted to each filter by
            itself (rms as in the next table), by strategy.
policies    For 2 to 40 exposures of each of two filters: the error of the surface of each filter (rms over the medians
            of 64 x 64 boxes of fitted / true response, filters and seeds, per cent) by policy, where the filters differ
            and where they are the same. Last, the error of `Shrunk` over that of the best of the other two, and the
            largest such ratio of a single seed: there it also depends on which of the two had luck.
flats       New flat / true flat in 64 x 64 boxes, peak to peak, per cent, by policy, 20 exposures of each filter; the
            robust width of (new - true) / err over good pixels; and how the error that the fit claims compares with
            the one seen, both for the scatter and the misfit of it.
multiscale  `MultiScale` on 40 exposures of NRCALONG: the response to the injected crosshatch, and the error of the
            surface at the scale of pixels (robust width, per cent), all of it and what is left where the crosshatch is
            taken out, beside those of its smooth base alone.

A perfect grey flat leaves the difference between a filter and the mean: the column "grey is off by" tells it.
"""

import argparse
import time
from functools import partial
from itertools import product

import attrs
import numpy as np
from accuracy import in_memory, pull_of_fit, response, robust_width
from astropy.table import Table

import nircam_flats as nf
from nircam_flats.fit.model import default_strategy
from nircam_flats.kernels import box_medians, mesh_range
from nircam_flats.recipes import masked_frames
from nircam_flats.report import peak_to_peak
from nircam_flats.simulation import Effects, SimulatedProgram

DETECTORS = ("NRCB4", "NRCALONG")
COUNTS = (2, 4, 6, 10, 20, 40)
PER_FILTER = 20
"""Exposures of each filter in the tables of one number."""
PER_POINTING = 5
DEAD = 0.5
SEEDS = (301, 302)
STRATEGIES = (nf.Polynomial2D(), nf.MedianFilter.of_report(), nf.MedianFilter(), nf.MedianFilter(filter_size=12))
POLICIES = {"grey": nf.Grey(), "per filter": nf.PerFilter(), "shrunk": nf.Shrunk()}


def campaign(detector, seed, n, *, differ=True):
    """Return a simulated program without wisps, and at least ``n`` exposures of each of its two filters in memory."""
    program = SimulatedProgram(
        detectors=detector,
        n_pointings=max(2, -(-n // PER_POINTING)),
        n_dithers=PER_POINTING,
        seed=seed,
        effects=attrs.evolve(Effects(), wisps=False, filter_dependence=differ),
    )
    return program, in_memory(program, spread(program.n_exposures)[:n])


def spread(n):
    """Return the numbers of the exposures, one of each pointing first."""
    return sorted(range(n), key=lambda index: (index % PER_POINTING, index))


def deltas(exposures):
    """Return the delta skyflats of a set of exposures: grey, and by filter."""
    frames = masked_frames(exposures)
    by_filter = {item.name: nf.DeltaSkyflat.from_frames(frames.where(filter=item)) for item in frames.filters}
    return nf.DeltaSkyflat.from_frames(frames), by_filter


def departure(surface, truth, good):
    """Return fitted / true response less 1 over the medians of 64 x 64 boxes, NaN where there is no good pixel."""
    boxes = box_medians(np.where(good, surface / truth, np.nan).astype(np.float32), 64)[0]
    return boxes / np.nanmedian(boxes) - 1


def rms(values):
    return float(np.sqrt(np.nanmean(np.square(values))))


def rms_of(errors):
    """Root mean square over the seeds, the first axis."""
    return np.sqrt(np.mean(errors**2, axis=0))


def errors_of_policies(detector, seed, n, differ):
    """Return the error of each policy in one campaign, an array."""
    program, exposures = campaign(detector, seed, n, differ=differ)
    truth = program.truth(detector)
    grey, by_filter = deltas(exposures)
    errors = []
    for policy in POLICIES.values():
        fits = policy(grey, by_filter)
        errors.append(rms([departure(fits[key].surface, truth.delta(key), by_filter[key].good) for key in by_filter]))
    return np.array(errors)


def policies(seeds, counts):
    """Print the table of policies."""
    rows = []
    for differ, detector, n in product((True, False), DETECTORS, counts):
        errors = np.array([errors_of_policies(detector, seed, n, differ) for seed in seeds])
        together = rms_of(errors)
        rows.append(
            {"detector": detector, "filters": "differ" if differ else "same", "exposures": n}
            | dict(zip(POLICIES, 100 * together, strict=True))
            | {"shrunk / best": together[2] / min(together[:2])}
            | {"of one seed": np.max(errors[:, 2] / np.min(errors[:, :2], axis=1))}
        )
    show(f"Policies: rms error of a filter's surface, {len(seeds)} seeds, per cent", rows)
    worst = max(rows, key=lambda row: row["shrunk / best"])
    print(f"Worst of shrunk / best: {worst['shrunk / best']:.2f} ({worst['detector']}, {worst['exposures']} exposures)")


def smooth(seeds):
    """Print the table of what strategies leave without noise."""
    rows = []
    for detector, seed in product(DETECTORS, seeds):
        program, _ = campaign(detector, seed, 0)
        filter = program.filters_of(detector)[0].name
        truth = program.truth(detector).delta(filter)
        good = np.isfinite(truth) & (truth > DEAD)
        truth = truth / np.median(truth[good])
        for strategy in STRATEGIES:
            left = departure(strategy(truth, None, good), truth, good)
            row = {"detector": detector, "seed": seed, "filter": filter, "strategy": str(strategy)}
            rows.append(row | {"peak to peak": 100 * mesh_range(left), "rms": 100 * rms(left)})
    show("Smooth strategies without noise, per cent", rows)


def strategies(seeds, counts):
    """Print the table of strategies with noise."""
    rows = []
    for detector, n in product(DETECTORS, counts):
        errors = np.array([errors_of_strategies(detector, seed, n) for seed in seeds])
        names = map(str, STRATEGIES)
        rows.append({"detector": detector, "exposures": n} | dict(zip(names, 100 * rms_of(errors), strict=True)))
    show(f"Strategies: rms error of a filter's surface, {len(seeds)} seeds, per cent", rows)


def errors_of_strategies(detector, seed, n):
    """Return the error of each strategy in one campaign, an array."""
    program, exposures = campaign(detector, seed, n)
    truth = program.truth(detector)
    _, by_filter = deltas(exposures)
    return np.array(
        [
            rms([departure(strategy(d.data, d.err, d.good), truth.delta(key), d.good) for key, d in by_filter.items()])
            for strategy in STRATEGIES
        ]
    )


def flats(seeds):
    """Print the table of new flats."""
    rows = []
    for detector in DETECTORS:
        for seed in seeds:
            program, exposures = campaign(detector, seed, PER_FILTER)
            truth = program.truth(detector)
            grey, by_filter = deltas(exposures)
            for strategy in (default_strategy(detector), nf.MultiScale(base=default_strategy(detector))):
                for name, policy in POLICIES.items():
                    fits = policy(grey, by_filter, partial(nf.FlatModelFit.from_delta, strategy=strategy))
                    rows += [
                        flat_row(program, truth, name, strategy, fits[key], by_filter[key], truth.grey(), key)
                        for key in by_filter
                    ]
    show(f"New flats, {PER_FILTER} exposures of each filter, per cent", rows)


def flat_row(program, truth, policy, strategy, fit, delta, grey_truth, filter):
    detector = delta.detector.name
    new = program.ground_flat(detector, filter).corrected_by(fit)
    with np.errstate(divide="ignore"):  # pixels dead from the beginning, which are not good
        ratio = new.data / truth.flight_flat(filter)
    good = delta.good & (new.dq == 0) & np.isfinite(ratio)
    ratio = ratio / np.median(ratio[good])
    pull = ((ratio - 1) * new.data / new.err)[good]
    judged = grey_truth if policy == "grey" else truth.delta(filter)
    judged = judged / np.median(judged[delta.good])
    off = truth.delta(filter) / grey_truth
    return {
        "detector": detector,
        "seed": program.seed,
        "filter": filter,
        "strategy": type(strategy).__name__,
        "policy": policy,
        "peak to peak": 100 * peak_to_peak(ratio, good),
        "grey is off by": 100 * peak_to_peak(off, delta.good & np.isfinite(off)),
        "width": robust_width(pull),
        "claim": 100 * np.median(fit.covariance.err()),
        "seen": 100 * rms(departure(fit.surface, judged, delta.good)),
        "seen / claimed": pull_of_fit(fit, judged, delta.good),
    }


def multiscale(seeds):
    """Print the table of small scales."""
    rows = []
    for seed in seeds:
        program, exposures = campaign("NRCALONG", seed, PER_FILTER)
        truth = program.truth("NRCALONG")
        delta = nf.DeltaSkyflat.from_frames(masked_frames(exposures))
        judged = truth.grey()
        good = delta.good & np.isfinite(judged)
        judged = judged / np.median(judged[good])
        pattern = np.where(good, truth.crosshatch, 0)
        for strategy in (default_strategy("NRCALONG"), nf.MultiScale(base=default_strategy("NRCALONG"))):
            surface = strategy(delta.data, delta.err, delta.good)
            left = np.where(good, surface / judged, 1)
            left = left / np.median(left[good]) - 1
            slope = (left * pattern).sum() / (pattern**2).sum()
            smooth = default_strategy("NRCALONG")(judged, delta.err, good)
            rows.append(
                {
                    "seed": seed,
                    "strategy": type(strategy).__name__,
                    "crosshatch": 100 * pattern[good].std(),
                    "response": response(surface / smooth, judged / smooth, truth.crosshatch, good),
                    "error": 100 * robust_width(left[good]),
                    "error without crosshatch": 100 * robust_width((left - slope * pattern)[good]),
                    "noise of the stack": 100 * np.median(delta.err[good]),
                }
            )
    show(f"Small scales, NRCALONG, {2 * PER_FILTER} exposures, per cent", rows)


def show(title, rows):
    table = Table(rows=rows)
    for name in table.colnames:
        if table[name].dtype.kind == "f":
            table[name].info.format = ".3f"
    print(f"\n{title}\n" + "\n".join(table.pformat(max_lines=-1, max_width=-1)), flush=True)


def main():
    tables = ("smooth", "strategies", "policies", "flats", "multiscale")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=tables, default=tables, help="print these tables")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="other seeds")
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="other numbers of exposures")
    options = parser.parse_args()
    started = time.perf_counter()
    if "smooth" in options.only:
        smooth(options.seeds)
    if "strategies" in options.only:
        strategies(options.seeds, options.counts)
    if "policies" in options.only:
        policies(options.seeds, options.counts)
    if "flats" in options.only:
        flats(options.seeds)
    if "multiscale" in options.only:
        multiscale(options.seeds)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
