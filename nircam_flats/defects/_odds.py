"""How likely a low pixel is dead, and not a noisy pixel or a lucky draw of noise."""

import numpy as np
from scipy.special import ndtr

from nircam_flats.defects._looks import Looks, look_at
from nircam_flats.kernels import box_medians, expand_mesh, fill_mesh
from nircam_flats.skyflat.combine import PRIOR_FRAMES
from nircam_flats.skyflat.meshes import MESH_BOX

__all__ = ["probability_dead"]

NOISE_FACTORS = np.geomspace(0.35, 40, 25)
"""Noise of a pixel in units of what its frames have, from less (a dead pixel collects few photons) to far more."""
NOISY_FROM = 1.5
PRIOR_NOISY, PRIOR_WEIGHT = 1e-3, 1e3
"""Before the data are seen one pixel in a thousand is noisy; that counts as much as a thousand pixels."""
PRIOR_DEAD, PRIOR_DEAD_WEIGHT = 1e-3, 1e3
LEAST_SCATTER, MOST_SCATTER = 0.02, 100
SCATTER_BINS = np.geomspace(LEAST_SCATTER, MOST_SCATTER, 241)
ITERATIONS = 30
SAMPLE = 12_000
"""Measured pixels that are looked at to know what is usual."""


def probability_dead(delta, low, threshold, frames=None, executor=None):
    """Return the probability that each pixel of ``low`` responds below ``threshold``, for those pixels in a row.

    Parameters
    ----------
    delta
        A `~nircam_flats.DeltaSkyflat`.
    low
        Boolean image: measured pixels whose value is below ``threshold``.
    threshold
        Relative response from which on a pixel lives.
    frames
        The `~nircam_flats.NormalizedFrames` behind it, for a second look; None for none.
    executor
        As in `map_ordered`.

    Notes
    -----
    A pixel shows the response rho with an error of s times ``e``, where e is what its frames promise and s its own
    noise factor. Either it lives and rho is that of its surroundings, or it is dead and rho lies anywhere between 0 and
    ``threshold``. The scatter of its n frames tells s: ``(n - 1) scatter^2 / s^2`` follows chi-squared with n - 1
    degrees of freedom. How many pixels have which s, and how many are dead, is learned from the detector itself
    (expectation maximisation), so that both probabilities are those of this stack.
    """
    surroundings = expand_mesh(fill_mesh(box_medians(delta.data, MESH_BOX)[0]), MESH_BOX, delta.data.shape)
    if frames is None:
        looks, usual = _looks_of(delta, low), _looks_of(delta, delta.good)
        expected = surroundings[low].astype(float)
    else:
        excluded = low | ~delta.good
        measured = np.flatnonzero(delta.good)
        sample = measured[:: max(1, measured.size // SAMPLE)]
        looks = look_at(frames, excluded, *np.nonzero(low), executor=executor)
        usual = look_at(frames, excluded, *np.unravel_index(sample, low.shape), executor=executor)
        expected = np.ones(looks.n.shape)
    weights = _noise_weights(usual.n, usual.scatter)
    with np.errstate(under="ignore", invalid="ignore"):
        by_noise = weights * _scatter_likelihood(looks.n[:, None], looks.scatter[:, None])  # (pixels, noise factors)
        values, sigma = looks.values[:, None], NOISE_FACTORS * looks.err[:, None]
        pulls = (values - expected[:, None]) / sigma
        alive = np.sum(by_noise * np.exp(-0.5 * pulls**2) / (np.sqrt(2 * np.pi) * sigma), axis=1)
        dead = np.sum(by_noise * (ndtr((threshold - values) / sigma) - ndtr(-values / sigma)), axis=1) / threshold
    alive, dead = (np.where(looks.n > 0, item, 0.0) for item in (alive, dead))
    n_measured, share, probability = delta.good.sum(), PRIOR_DEAD, np.zeros(looks.n.shape)
    for _ in range(ITERATIONS):
        total = share * dead + (1 - share) * alive
        probability = np.divide(share * dead, total, out=np.zeros(total.shape), where=total > 0)
        share = (probability.sum() + PRIOR_DEAD * PRIOR_DEAD_WEIGHT) / (n_measured + PRIOR_DEAD_WEIGHT)
    return probability


def _looks_of(delta, where):
    """What the stack alone says of some pixels; the scatter that its errors contain is taken out of them."""
    n = delta.n_used[where].astype(float)
    scatter = np.full(n.shape, np.nan) if delta.scatter is None else delta.scatter[where].astype(float)
    seen = np.where(np.isfinite(scatter), (n - 1) * scatter**2, n - 1)
    err = delta.err[where] * np.sqrt((PRIOR_FRAMES + n - 1) / (PRIOR_FRAMES + seen))
    return Looks(values=delta.data[where].astype(float), err=err, scatter=scatter, n=n)


def _scatter_likelihood(n, scatter):
    """Likelihood of the scatter of n frames for each noise factor, relative to the best; 1 where none was measured."""
    known = np.isfinite(scatter)
    log = _log_likelihood(np.where(known, n - 1, 0), np.where(known, np.maximum(scatter, LEAST_SCATTER), 1))
    return np.exp(log - log.max(axis=-1, keepdims=True))


def _noise_weights(n, scatter):
    """Part of the pixels that has each noise factor, from the scatter of n frames of each."""
    noisy = NOISE_FACTORS >= NOISY_FROM
    usual = np.argmin(np.abs(np.log(NOISE_FACTORS)))
    prior = np.where(noisy, PRIOR_NOISY / noisy.sum(), 0.0)
    prior[usual] = 1 - PRIOR_NOISY
    known = np.isfinite(scatter)
    counts, n_edges, _ = np.histogram2d(
        n[known],
        np.clip(scatter[known], LEAST_SCATTER, MOST_SCATTER),
        bins=(np.arange(1.5, n.max(initial=2) + 1), SCATTER_BINS),
    )
    freedom = (n_edges[:-1] - 0.5)[:, None, None]
    log = _log_likelihood(freedom, np.sqrt(SCATTER_BINS[:-1] * SCATTER_BINS[1:])[:, None])
    density = np.exp(log - log.max(axis=-1, keepdims=True))
    weights = prior
    for _ in range(ITERATIONS):
        shares = density * weights
        shares *= (counts / np.maximum(shares.sum(axis=-1), 1e-300))[..., None]
        weights = shares.sum(axis=(0, 1)) + PRIOR_WEIGHT * prior
        weights /= weights.sum()
    return weights


def _log_likelihood(freedom, scatter):
    """Of each noise factor, up to a constant: freedom (scatter / factor)^2 follows chi-squared."""
    ratio = (scatter / NOISE_FACTORS) ** 2
    return 0.5 * freedom * (np.log(ratio) - ratio)
