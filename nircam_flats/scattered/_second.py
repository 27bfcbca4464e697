"""Is there a second light, whose strengths vary independently of the first?  Frames that were held out decide."""

from itertools import combinations

import numpy as np
from scipy.ndimage import median_filter

from nircam_flats.scattered._separation import (
    OUTLIER,
    SecondLight,
    denoised,
    factors_of,
    halves,
    lines,
    planes,
    second_strengths,
)

__all__ = ["second_light"]

MIN_FRAMES = 5
ROUNDS = 5


def second_light(regression, light, outline):
    if len(regression.values) < MIN_FRAMES or not outline.any():
        return None
    values, t = regression.values, regression.strengths - 1
    weights = _all_weights(regression)
    stat = held_out(values, weights, t, light, outline)
    second_light.stat = stat
    b, err, pattern = found = _fitted(values, weights, t, light, outline)
    second_light.pair = _without_two(b, err, t)
    second_light.b = b, err
    return None


def _all_weights(regression):
    """Weights of all boxes but those that differ from their neighbours: what is wider may be light."""
    model = regression.mean + (regression.strengths - 1)[:, None, None] * np.nan_to_num(regression.slope)
    sigma = regression.scatter[:, None, None]
    seen = (regression.values != 0) & np.isfinite(model)
    residual = np.where(seen, regression.values - model, 0.0)
    alike = np.abs(residual - median_filter(residual, (1, 3, 3))) < OUTLIER * sigma
    return np.where(seen & alike, 1 / sigma**2, 0.0)


def _pattern(values, weights, t, outline):
    """What varies most beside lines against ``t``, by alternating least squares: a mesh, smoothed."""
    level, slope, _, _ = lines(values, weights, t)
    residual = np.where((weights > 0) & outline & np.isfinite(slope), values - level - t[:, None, None] * slope, 0.0)
    smooth = median_filter(np.nan_to_num(residual), (1, 3, 3))[:, outline] * np.sqrt(weights[:, outline])
    b = np.linalg.svd(smooth, full_matrices=False)[0][:, 0]
    for _ in range(ROUNDS):
        _, beside = planes(values, weights, t, b)
        mesh = np.where(outline, denoised(*beside), 0.0)
        b, norm = factors_of(np.nan_to_num(residual), weights, mesh)
        b = b / max(b.std(), 1e-300)
    return b, mesh


def _fitted(values, weights, t, light, outline):
    b, mesh = _pattern(values, weights, t, outline)
    level, slope, _, _ = lines(values, weights, t)
    residual = np.where((weights > 0) & np.isfinite(slope), values - level - t[:, None, None] * slope, 0.0)
    b, err = second_strengths(np.nan_to_num(residual), weights, light, mesh)
    return b, err, mesh


def held_out(values, weights, t, light, outline):
    gains, shown = [], []
    for j in range(len(values)):
        kept = np.arange(len(values)) != j
        _, mesh = _pattern(values[kept], weights[kept], t[kept], outline)
        level, _, level_err, _ = lines(values[kept], weights[kept], t[kept] - t[j])
        known = (weights[j] > 0) & np.isfinite(level_err)
        departure = np.where(known, values[j] - level, 0.0)
        weight = np.where(known, 1 / (1 / np.where(known, weights[j], 1.0) + level_err**2), 0.0) * outline
        gains.append([_gain(departure, weight, light, mesh, a, c) for a, c in ((0, 1), (1, 0))])
    return np.array(gains)  # frames, halves, boxes


def _gain(departure, weight, light, mesh, fitted, predicted):
    both = halves(light.shape)
    factor, _ = factors_of(departure[None], (weight * both[fitted])[None], mesh, light)
    w = weight * both[predicted]
    def without(one):
        return one - np.sum(w * one * light) / max(np.sum(w * light**2), 1e-300) * light
    own, left = without(mesh), without(departure)
    return w * (2 * factor[0] * own * left - (factor[0] * own) ** 2)


def _without_two(b, err, t):
    best = np.inf
    for pair in combinations(range(len(b)), 2):
        kept = ~np.isin(np.arange(len(b)), pair)
        design = np.column_stack([np.ones(kept.sum()), t[kept]]) / err[kept, None]
        left = np.linalg.lstsq(design, b[kept] / err[kept], rcond=None)[1]
        best = min(best, float(left[0]) if len(left) else 0.0)
    return best
