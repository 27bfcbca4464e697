"""How strong light is in each of some frames: least squares on meshes, and errors that count what boxes share."""

import numpy as np

from nircam_flats.kernels import autocorrelated

__all__ = [
    "LEAST_SEEN",
    "TINY",
    "errors_of_factors",
    "factors_of",
    "frames_that_show",
    "halves",
    "second_strengths",
    "strengths_of_light",
]

TINY = 1e-300
LEAST_SEEN = 0.2
"""Part of the power of a light that a frame has to show: else what hides the rest leaves more light of its own."""
BLOCK = 4


def frames_that_show(meshes, light):
    """Return the frames that show enough of the power of the light, a boolean array."""
    power = np.where(np.isfinite(meshes), light**2, 0.0).sum(axis=(1, 2))
    return power >= LEAST_SEEN * np.sum(light**2)


def halves(shape):
    """Two halves of the boxes, blocks like the fields of a chess board: boolean meshes."""
    y, x = np.indices(shape) // BLOCK
    white = (y + x) % 2 == 0
    return white, ~white


def factors_of(values, weights, light, *beside, stripes=None):
    """Least-squares factor of a light in each frame, and its 1 / variance, when those of what is ``beside`` are free.

    Each is a mesh, or one for each frame. The noise of the boxes is independent unless there are ``stripes``, a
    `StripeNoise`.
    """
    _, of, norm = _one_by_one(values.shape, weights, (*beside, light), stripes)[-1]
    return np.sum(of * values, axis=(1, 2)) / norm[:, 0, 0], norm[:, 0, 0]


def _one_by_one(shape, weights, meshes, stripes):
    """Each of the meshes less what those before it hold of it, the same times the inverse of the noise, its power."""
    free: list = []
    for one in meshes:
        one = np.broadcast_to(one, shape)
        for other, of, norm in free:
            one = one - np.sum(of * one, axis=(1, 2), keepdims=True) / norm * other
        of = weights * one if stripes is None else stripes.whitened(one, weights)
        free.append((one, of, np.maximum(np.sum(of * one, axis=(1, 2), keepdims=True), TINY)))
    return free


def strengths_of_light(values, weights, light, beside, striped, shown):
    """Factors of the light in frames with the noise ``striped``, scaled to 1 on average, and what they were divided by.

    They are 1 in frames that do not show the light. Where none can be seen, all are, and were divided by 0.
    """
    factors, norms = factors_of(values, weights, light, *beside, stripes=striped)
    mean = factors[shown].mean() if shown.any() else 0.0
    if not ((norms[shown] > TINY).all() and mean > 0):
        return np.ones(len(values)), 0.0
    return np.where(shown, factors / mean, 1.0), mean


def second_strengths(values, weights, second, beside, striped):
    """The same for a second light, 0 on average, as its mean is a part of the light, with a standard deviation of 1."""
    factors, _ = factors_of(values, weights, second, *beside, stripes=striped)
    unit = max(factors.std(), TINY)
    return (factors - factors.mean()) / unit, unit


def errors_of_factors(values, weights, light, beside, striped, stripes, shown):
    """1 sigma error of the least-squares factor of a light in each frame, with the noise ``striped``.

    It is that of the noise, with what rows share beyond it, and what two halves of the boxes, without their
    ``stripes``, disagree by beyond it: faint sources, an error of the shape. It is infinite in frames that do not show
    the light.
    """
    free = _one_by_one(values.shape, weights, (*beside, light), striped)
    _, of, norm = free[-1]
    parts = [factors_of(values - stripes, weights * half, light, *beside) for half in halves(light.shape)]
    (white, of_white), (black, of_black) = (np.array(part)[:, shown] for part in parts)
    disagreement = np.mean((white - black) ** 2 - 1 / of_white - 1 / of_black) / 4
    residuals = values
    for one, of_one, power in free:
        residuals = residuals - np.sum(of_one * values, axis=(1, 2), keepdims=True) / power * one
    shared = _variance_by_rows(of / norm, np.where(weights > 0, residuals, 0.0), weights > 0)
    return np.where(shown, np.sqrt(1 / norm[:, 0, 0] + np.maximum(disagreement, 0.0) + shared), np.inf)


def _variance_by_rows(pulls, residuals, used):
    """Variance of ``sum(pulls * noise)`` in each frame that comes from what boxes of different rows share.

    1/f noise is stripes of any width. The autocovariance of the residuals of all frames by distance, up to the first
    distance in rows at which rows have nothing in common, summed with the autocorrelation of the pulls.
    """
    n, n_rows = residuals.shape[:2]
    pairs = sum(autocorrelated(frame.astype(float)) for frame in used)
    sums = sum(autocorrelated(frame) for frame in residuals)
    by_distance = sums.sum(axis=1)[n_rows:]
    end = n_rows + int(np.argmax(np.append(by_distance, -1.0) <= 0))
    covariance = np.where(pairs > 0.5, sums / np.maximum(pairs, 0.5), 0.0)
    covariance = 2 * n / (n - 1) * covariance[n_rows:end]  # frames have lost their mean
    variances = [np.sum(autocorrelated(pull)[n_rows:end] * covariance) for pull in pulls]
    return np.maximum(variances, 0.0)
