"""How accurate are the flats?  Simulated campaigns with known truth, full frames.

    python benchmarks/accuracy.py             # ten seeds, 12 and 18 exposures, NRCB4 (no wisps) and NRCALONG
    python benchmarks/accuracy.py --masks     # the candidates for the mask, on the seeds used for tuning

For each campaign three things are made: the literal recipe of the report (JWST-STScI-008304), ours, and the noise
limit: the same strategy fitted to the grey truth plus white noise as small as the errors claim.  Printed are

surface     peak to peak of 64 x 64-box medians of (fitted surface / grey truth), every box, per cent
excess      that minus what the same strategy leaves when fitted to the noiseless grey truth
delta       the same for the delta skyflat itself, not fitted
sky         worst ratio of measured to injected sky level, minus one, per cent
response    of the delta skyflat to the injected crosshatch (LW), 1 is perfect
width       robust width of (delta - truth) / err over good pixels, 1 is honest
claim       median of the error that the fit claims for means over boxes (which pixels share), per cent
pull        rms of (fitted surface / grey truth - 1) / that error in 64 x 64 boxes, 1 is honest; below each table that
            of all boxes of all seeds

The seeds of the first table were never used while tuning (1 to 24 and 101 to 110 were).
"""

import argparse
import time
from collections import defaultdict

import attrs
import numpy as np
from astropy.table import Table

import nircam_flats as nf
from nircam_flats.fit.model import default_strategy
from nircam_flats.kernels import box_medians
from nircam_flats.parallel import map_ordered
from nircam_flats.recipes import masked_frames
from nircam_flats.report import peak_to_peak
from nircam_flats.simulation import Effects, SimulatedProgram

DETECTORS = ("NRCB4", "NRCALONG")
SEEDS = range(201, 211)
TUNING_SEEDS = (1, 2, 3)
N_POINTINGS = {12: 2, 18: 3}


def campaign(detector, seed, n_exposures):
    """Return a simulated program of one detector, two filters, three dithers, and its exposures in memory."""
    program = SimulatedProgram(
        detectors=detector,
        n_pointings=N_POINTINGS[n_exposures],
        n_dithers=3,
        seed=seed,
        effects=attrs.evolve(Effects(), wisps=False),
    )
    return program, in_memory(program, range(program.n_exposures))


def in_memory(program, indices):
    """Return these exposures of each filter: only data and flags, which are all that flats are made of."""

    def light(job):
        exposure = program.exposure(*job)
        return attrs.evolve(exposure, err=None, area=None, var_poisson=None, var_rnoise=None, var_flat=None)

    jobs = [(*mode, index) for mode in program.modes() for index in indices]
    return nf.ExposureSet.from_exposures(map_ordered(light, jobs))


def measure(program, frames, *, balance=True, n_replicates=16, strategy=None):
    """Return the figures of merit of a set of frames as a dict; the strategy is by default that of the main job."""
    detector = program.detectors[0]
    strategy = default_strategy(detector) if strategy is None else strategy
    truth = program.truth(detector)
    grey_truth = truth.grey()
    delta = nf.DeltaSkyflat.from_frames(frames, balance=balance)
    fit = nf.FlatModelFit.from_delta(delta, n_replicates=n_replicates, strategy=strategy)
    good = delta.good & np.isfinite(grey_truth)
    grey_truth = grey_truth / np.median(grey_truth[good])

    ideal = strategy(grey_truth, delta.err, good)
    rng = np.random.default_rng(program.seed)
    noisy = grey_truth + delta.err * rng.standard_normal(grey_truth.shape, np.float32)
    noisy = strategy(noisy, delta.err, good)
    left = 100 * peak_to_peak(ideal / grey_truth, good)
    surface = 100 * peak_to_peak(fit.surface / grey_truth, good)
    pull = ((delta.data / np.median(delta.data[good]) - grey_truth) / delta.err)[good]
    return {
        "surface": surface,
        "excess": surface - left,
        "perfect": left,
        "limit": 100 * peak_to_peak(noisy / grey_truth, good) - left,
        "delta": 100 * peak_to_peak(delta.data / grey_truth, good),
        "sky": 100 * worst_level(program, frames, good),
        "response": response(delta.data / fit.surface, grey_truth / ideal, truth.crosshatch, good),
        "width": robust_width(pull),
        "claim": 100 * np.median(fit.covariance.err()),
        "pull": pull_of_fit(fit, grey_truth, good),
        "masked": 100 * np.mean([frame.level.masked_fraction for frame in frames.frames]),
    }


def robust_width(values):
    """Return the standard deviation that the median absolute deviation stands for: dead pixels do not count."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def pull_of_fit(fit, truth, good):
    """Return the rms of (fitted surface / truth - 1) / claimed error over the medians of 64 x 64 boxes."""
    departure = np.where(good, fit.surface / truth, np.nan)
    departure = departure / np.nanmedian(departure) - 1
    medians = [box_medians(np.asarray(item, np.float32), 64)[0] for item in (departure, fit.covariance.err())]
    return float(np.sqrt(np.nanmean((medians[0] / medians[1]) ** 2)))


def worst_level(program, frames, good):
    """Return the largest departure of a measured from an injected sky level, relative."""
    detector = program.detectors[0]
    truth = program.truth(detector)
    injected = {}
    for filter in program.filters_of(detector):
        scale = np.median(truth.delta(filter)[good])
        for index in range(program.n_exposures):
            injected[program.exposure_name(detector, filter, index)] = truth.sky(filter, index) * scale
    ratios = [(frame.level.value * frame.level.unit / injected[frame.name]).to_value("") for frame in frames.frames]
    return max(ratios, key=lambda ratio: abs(ratio - 1)) - 1


def response(found, truth, crosshatch, good):
    """Return the slope of ``found`` against the injected crosshatch, relative to that of ``truth``; NaN without one."""
    pattern = (crosshatch[good] - crosshatch[good].mean()).astype(float)
    if not pattern.any():
        return np.nan
    return float((pattern * found[good]).sum() / (pattern * truth[good]).sum())


def strategy_of_report(detector):
    """Return what the report fits to the delta skyflats of the detector's channel."""
    return nf.Polynomial2D() if nf.Detector.get(detector).channel == "SW" else nf.MedianFilter.of_report()


def literal_frames(exposures):
    """The frames of the report: one pass, its mask."""
    return nf.NormalizedFrames.from_exposures(exposures, masks=nf.Segmentation.of_report())


def main_table(seeds, *, detectors, numbers, literally):
    """Print literal recipe, ours and noise limit, worst and median over the seeds, and the pull of all together."""
    for n_exposures in numbers:
        for detector in detectors:
            rows = {"literal": [], "ours": []} if literally else {"ours": []}
            for seed in seeds:
                program, exposures = campaign(detector, seed, n_exposures)
                if literally:
                    literal = {"balance": False, "n_replicates": 0, "strategy": strategy_of_report(detector)}
                    rows["literal"].append(measure(program, literal_frames(exposures), **literal))
                rows["ours"].append(measure(program, masked_frames(exposures)))
            print(f"\n{detector}, {n_exposures} exposures, {len(seeds)} seeds ({min(seeds)}-{max(seeds)})")
            print(summary(rows))
            pulls = np.array([row["pull"] for row in rows["ours"]])
            low, high = np.percentile(pulls, (10, 90))
            print(f"pull of all, ours: {np.sqrt(np.mean(pulls**2)):.3f}; of 80 % of the seeds: {low:.3f} to {high:.3f}")


def summary(rows):
    """Return a table with the median and the worst of each figure for each recipe."""
    lines = []
    for name, results in rows.items():
        table = Table(rows=results)
        for label, choose in (("median", np.median), ("worst", worst)):
            lines.append({"recipe": name, "of seeds": label} | {key: choose(table[key]) for key in table.colnames})
    table = Table(rows=lines)
    for key in table.colnames[2:]:
        table[key].info.format = ".3f"
    return "\n".join(table.pformat(max_width=-1))


def worst(values):
    """The value farthest from where it should be: 1 for ratios, 0 for the rest."""
    target = 1.0 if values.name in ("width", "response", "pull") else 0.0
    return values[np.argmax(np.abs(values - target))]


def mask_table(seeds):
    """Print every candidate for the mask: large-scale residual, response at small scales, bias of the sky level."""
    ours = {
        f"three passes, {n_sigma} sigma, grown {grow} px": nf.Segmentation(n_sigma=n_sigma, grow=grow)
        for n_sigma in (1.0, 1.5, 3.0)
        for grow in (0, 4, 8)
    }
    for detector in DETECTORS:
        rows = defaultdict(list)
        for seed in seeds:
            program, exposures = campaign(detector, seed, 12)

            def score(name, frames, *, balance=True, rows=rows, program=program):
                rows[name].append(measure(program, frames, balance=balance, n_replicates=0))

            literal = literal_frames(exposures)
            score("report, literally", literal, balance=False)
            score("report, balanced", literal)
            local = nf.Segmentation.for_first_pass()
            score("one pass, local background", nf.NormalizedFrames.from_exposures(exposures, masks=local))
            for name, mask in ours.items():
                score(name, masked_frames(exposures, masks=mask))
            score("default, not balanced", masked_frames(exposures), balance=False)
        print(f"\n{detector}, 12 exposures, seeds {', '.join(map(str, seeds))} (tuning)")
        print(summary(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masks", action="store_true", help="compare masks instead, on the tuning seeds")
    parser.add_argument("--seeds", type=int, nargs="+", help="other seeds")
    parser.add_argument("--detectors", nargs="+", default=DETECTORS, help="only these")
    parser.add_argument("--exposures", type=int, nargs="+", choices=N_POINTINGS, default=N_POINTINGS, help="only these")
    parser.add_argument("--ours", action="store_true", help="without the literal recipe")
    options = parser.parse_args()
    started = time.perf_counter()
    if options.masks:
        mask_table(options.seeds or TUNING_SEEDS)
    else:
        settings = {"detectors": options.detectors, "numbers": options.exposures, "literally": not options.ours}
        main_table(options.seeds or SEEDS, **settings)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
