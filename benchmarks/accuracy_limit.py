"""How well can a few exposures tell a flat at all?  Ours beside the best linear estimate there is.

    python benchmarks/accuracy_limit.py
    python benchmarks/accuracy_limit.py --seeds 1 2 3

Flats as in the table `flats` of ``accuracy_decomposition.py`` (NRCB4, F115W and F200W, 6 dithers each, wisps of 15 to
20 % of the sky), peak to peak of new flat / true flat in 64 x 64 boxes, per cent. ``ours`` is the flat as the main job
makes it, ``known`` the same where the wisps are known exactly. ``best`` and ``best known`` start from the same delta
skyflats, but know what no observer does: how true flats vary (drawn from the simulator, the part that the filters share
and the part that they do not), and how boxes err (white noise, and stripes that amplifiers share and do not, the same
all over the detector), which is measured against the truth of all flats of the run. From that they make the linear
estimate of the smallest mean square error, of both filters together. A bound that ``best`` misses as often as ``ours``
does is one of the data.
"""

import argparse
import time

import numpy as np
from accuracy_decomposition import ASKED, DETECTOR, FILTERS, SEEDS, campaign, injected_light, median_of, show

import nircam_flats as nf
from nircam_flats.instrument.detector import N_AMPLIFIERS
from nircam_flats.kernels import box_medians
from nircam_flats.recipes import masked_frames
from nircam_flats.simulation._random import smooth_field
from nircam_flats.simulation.response import PATTERN

BOX, N_BOXES = 64, 32
N_DRAWS = 6000
COMMON = {"peak_to_peak": (0.060, 0.068), "non_cubic": (0.0025, 0.0045)}
"""Ranges from which `DetectorChange.draw` draws what all filters share."""
OF_FILTER = {"peak_to_peak": (PATTERN, PATTERN), "non_cubic": (0.05 * PATTERN, 0.05 * PATTERN)}
FREE = 1.0
"""Variance of the level of a flat, which is a convention."""


def flats_of(seed):
    """Return for each filter the boxes of the truth, of both delta skyflats, and of both surfaces over the truth."""
    program, exposures = campaign(seed)
    frames = masked_frames(exposures)
    for name in FILTERS:
        of_filter = frames.where(filter=name)
        separated = nf.SkyDecomposition.from_frames(of_filter).delta
        known = nf.DeltaSkyflat.from_frames(of_filter.minus(injected_light(program, name, frames)))
        response = program.truth(DETECTOR).delta(name)
        good = separated.good & np.isfinite(response)
        truth = boxes_of(median_of(response, good), good)
        yield {
            "seed": seed,
            "filter": name,
            "truth": truth,
            "deltas": [boxes_of(delta.data, good) for delta in (separated, known)],
            "departures": [
                boxes_of(nf.FlatModelFit.from_delta(delta, n_replicates=0).surface / response, good)
                for delta in (separated, known)
            ],
        }


def boxes_of(image, good):
    boxes, _, _ = box_medians(np.where(good, image, np.nan).astype(np.float32), BOX)
    return boxes / np.nanmedian(boxes)


def prior(rng, ranges):
    """Covariance of a field of the simulator between boxes."""
    shape = (2 * N_BOXES, 2 * N_BOXES)
    draws = []
    for _ in range(N_DRAWS):
        settings = {name: rng.uniform(*limits) for name, limits in ranges.items()}
        field = smooth_field(rng, shape, **settings).reshape(N_BOXES, 2, N_BOXES, 2).mean(axis=(1, 3))
        draws.append((field - field.mean()).ravel())
    return np.cov(draws, rowvar=False)


def covariance_of(errors):
    """Covariance of the errors of boxes: their own variance, and what boxes of an amplifier, and of others, share.

    ``errors`` has the shape (flats, boxes in y, boxes in x), NaN where unmeasured. What is shared depends on the
    distance in rows.
    """
    amplifier = np.arange(N_BOXES) * N_AMPLIFIERS // N_BOXES
    same = amplifier[:, None] == amplifier
    measured = np.isfinite(errors).astype(float)
    errors = np.nan_to_num(errors)
    within, between = np.zeros(N_BOXES), np.zeros(N_BOXES)
    for lag in range(N_BOXES):
        rows = slice(None, N_BOXES - lag), slice(lag, None)
        sums = np.einsum("nyi,nyj->ij", errors[:, rows[0]], errors[:, rows[1]])
        means = sums / np.maximum(np.einsum("nyi,nyj->ij", measured[:, rows[0]], measured[:, rows[1]]), 1)
        within[lag], between[lag] = means[same & ~np.eye(N_BOXES, dtype=bool)].mean(), means[~same].mean()
    own = np.sum(errors**2) / measured.sum() - within[0]
    y, x = np.divmod(np.arange(N_BOXES**2), N_BOXES)
    lags = np.abs(y[:, None] - y)
    covariance = np.where(same[x[:, None], x], within[lags], between[lags]) + own * np.eye(N_BOXES**2)
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.maximum(values, 0.01 * own)) @ vectors.T


def best(deltas, common, of_filter, noise):
    """Return the linear estimate of smallest mean square error of the flats of a detector, from all its filters."""
    n = len(deltas)
    truth = np.kron(np.ones((n, n)), common) + np.kron(np.eye(n), of_filter + FREE)
    values = np.concatenate([delta.ravel() - 1 for delta in deltas])
    measured = np.isfinite(values)
    seen = (truth + np.kron(np.eye(n), noise))[np.ix_(measured, measured)]
    estimate = 1 + truth[:, measured] @ np.linalg.solve(seen, values[measured])
    return estimate.reshape(n, N_BOXES, N_BOXES)


def measured_beside_corners(boxes):
    """Without the corners, where the simulated flats have patches that no prior of a smooth field knows."""
    boxes = boxes.copy()
    boxes[[0, 0, -1, -1], [0, -1, 0, -1]] = np.nan
    return boxes


def span(boxes):
    return 100 * (np.nanmax(boxes) - np.nanmin(boxes))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    options = parser.parse_args()
    started = time.perf_counter()
    flats = [flat for seed in options.seeds for flat in flats_of(seed)]
    rng = np.random.default_rng(1)
    common, of_filter = prior(rng, COMMON), prior(rng, OF_FILTER)
    rows = [{"seed": flat["seed"], "filter": flat["filter"]} for flat in flats]
    for number, name in enumerate(("", " known")):
        deltas = [measured_beside_corners(flat["deltas"][number]) for flat in flats]
        noise = covariance_of(np.array([delta / flat["truth"] - 1 for delta, flat in zip(deltas, flats, strict=True)]))
        for start in range(0, len(flats), len(FILTERS)):
            of_seed = slice(start, start + len(FILTERS))
            estimates = best(deltas[of_seed], common, of_filter, noise)
            for row, flat, estimate in zip(rows[of_seed], flats[of_seed], estimates, strict=True):
                row[name.strip() or "ours"] = span(flat["departures"][number])
                row[f"best{name}"] = span(estimate / flat["truth"])
    print(f"\nlimit: {DETECTOR}, six dithers, peak to peak, per cent")
    show(rows)
    for name in ("ours", "best", "known", "best known"):
        spans = np.array([row[name] for row in rows])
        print(
            f"{name}: at most {ASKED} in {np.sum(spans <= ASKED)} of {len(spans)}, mean {spans.mean():.3f}, 95 % are "
            f"below {np.percentile(spans, 95):.3f}, worst {spans.max():.3f}"
        )
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
