"""How strong a pattern of light is in an image: robust least squares, and an error that counts shared noise."""

import numpy as np
from attrs import frozen

from nircam_flats.exceptions import FitError
from nircam_flats.kernels import (
    autocorrelated,
    box_medians,
    box_sums,
    clipped_statistics,
    expand_mesh,
    fill_mesh,
    segment_moments,
    segment_pulls,
)

__all__ = ["Strength", "fit_strength", "noise_of"]

N_AMPLIFIERS = 4
BOX = 16
"""Side of the boxes in which the residual is compared with itself, pixels."""
N_SIGMA, MAX_ITERATIONS = 3.0, 10
LEAST_SEEN = 0.02
KEPT_VARIANCE = 0.9733
"""Variance of a normal distribution cut at 3 sigma."""


@frozen
class Strength:
    """What `fit_strength` found: the factor of the pattern and its error, sky, reduced chi2, degrees of freedom."""

    value: float
    err: float
    sky: float
    chi2: float
    n_dof: int


def noise_of(data, err, good):
    """Return 1 sigma of each pixel: ``err`` smoothed over boxes, or one scatter for all if it is None.

    The error of a single pixel goes with the chance of its own photons: weights made of it would favour the faint.
    """
    if err is not None:
        medians, _, _ = box_medians(np.where(good, err, np.float32(np.nan)), 2 * BOX)
        if (medians > 0).any():
            return np.maximum(expand_mesh(fill_mesh(medians), 2 * BOX, data.shape), np.nanmin(medians))
    scatter = clipped_statistics(np.where(good, data, np.float32(np.nan)))[2]
    return np.full(data.shape, scatter, np.float32)


def fit_strength(data, noise, pattern, used, *, rows, place):
    """Fit ``data = sky + value * pattern`` where ``used``.

    Parameters
    ----------
    data, noise
        Image and its 1 sigma, pixel by pixel.
    pattern
        Image of the pattern, finite.
    used
        Boolean image: pixels to fit.
    rows
        Whether each row of each amplifier (a quarter of the columns) has a level of its own, instead of one sky.
    place
        Begin of the texts of errors.

    Raises
    ------
    FitError
        If the pixels used show too little of the pattern to tell it from the sky.

    Notes
    -----
    Levels are taken out of data and pattern exactly, by their weighted means; what is left is a line through the
    origin. Pixels more than 3 sigma from it, with sigma their noise times the scatter of all, are left out in turns.
    """
    data, noise, pattern = (np.asarray(image, np.float32) for image in (data, noise, pattern))
    power, seen = (np.sum(image**2, dtype=np.float64) for image in (pattern, pattern[used]))
    if not seen > LEAST_SEEN * power:
        raise FitError(
            f"{place} needs pixels that show the wisp and are not masked; those left hold {seen / power:.1%} of its "
            f"power ({LEAST_SEEN:.0%} are needed): mask less of it, or leave the exposure out"
        )
    kept = used
    for _ in range(MAX_ITERATIONS):
        line = _Line.through(data, noise, pattern, kept, rows)
        if not line.curvature > 1e-3 * line.power:
            raise FitError(f"{place} cannot tell the wisp from the levels of sky and rows in the pixels that are left")
        pull = segment_pulls(data, pattern, noise, used, line.levels, line.value)
        scale = clipped_statistics(np.where(kept, pull, np.float32(np.nan)))[2] / np.sqrt(KEPT_VARIANCE)
        now = np.abs(pull) <= N_SIGMA * scale
        if np.array_equal(now, kept):
            break
        kept = now
    residual = np.where(kept, pull * noise, np.float32(0)).astype(np.float64)
    amplifier = np.arange(data.shape[1]) * line.levels.shape[1] // data.shape[1]
    flat_pattern = pattern - line.pattern_levels[:, amplifier]
    influence = np.where(kept, flat_pattern / noise.astype(np.float64) ** 2, 0.0) / line.curvature
    n_dof = int(max(np.count_nonzero(kept) - line.n_levels - 1, 1))
    return Strength(
        value=float(line.value),
        err=float(np.sqrt(_variance(influence, residual, kept))),
        sky=line.sky,
        chi2=float(np.sum(pull[kept].astype(np.float64) ** 2) / n_dof / KEPT_VARIANCE),
        n_dof=n_dof,
    )


@frozen
class _Line:
    """The line ``data = level + value * pattern`` that fits best, with one level or one for each row and amplifier."""

    value: float
    curvature: float
    power: float
    levels: np.ndarray
    pattern_levels: np.ndarray
    n_levels: int
    sky: float

    @classmethod
    def through(cls, data, noise, pattern, kept, rows):
        sums = segment_moments(data, pattern, noise, kept, N_AMPLIFIERS if rows else 1)
        shape = sums.shape[1:]
        if not rows:
            sums = sums.sum(axis=1, keepdims=True)
        w, wd, wp, wpp, wpd = sums
        mean, mean_pattern = (np.divide(item, w, out=np.zeros_like(w), where=w > 0) for item in (wd, wp))
        curvature = np.sum(wpp - wp * mean_pattern)
        value = np.sum(wpd - wd * mean_pattern) / curvature if curvature > 0 else 0.0
        levels = mean - value * mean_pattern
        return cls(
            value=value,
            curvature=curvature,
            power=np.sum(wpp),
            levels=np.ascontiguousarray(np.broadcast_to(levels, shape)),
            pattern_levels=np.broadcast_to(mean_pattern, shape),
            n_levels=int(np.count_nonzero(w)),
            sky=float(np.sum(w * levels) / np.sum(w)),
        )


def _variance(influence, residual, kept):
    """Variance of ``sum(influence * noise)``, with the noise correlated as the residual is with itself.

    In boxes: the autocovariance of the residual, by distance along rows and columns, summed with the autocorrelation
    of the influence. What pixels of a box do not share is counted pixel by pixel.
    """
    white = np.mean(residual[kept] ** 2) / KEPT_VARIANCE
    n, total, pull = (box_sums(item, BOX) for item in (kept.astype(float), residual, influence))
    pairs = autocorrelated(n)
    covariance = np.where(pairs > 0.5, autocorrelated(total) / np.maximum(pairs, 0.5), 0.0)
    middle = tuple(size // 2 for size in pairs.shape)
    covariance[middle] -= white * n.sum() / pairs[middle]
    shared = np.sum(autocorrelated(pull) * covariance)
    return white * np.sum(influence**2) + max(shared, 0.0)
