"""How strong a pattern of light is in an image: generalised least squares on boxes, and an error that counts halos."""

from functools import partial

import numpy as np
from attrs import frozen

from nircam_flats.exceptions import FitError
from nircam_flats.instrument.detector import N_AMPLIFIERS
from nircam_flats.kernels import autocorrelated, box_means, box_medians
from nircam_flats.scattered._separation import legendre_terms, robust_scatter
from nircam_flats.scattered._wisp_meshes import robust_line
from nircam_flats.skyflat import ExtendedLight
from nircam_flats.skyflat.meshes import box_size_for
from nircam_flats.skyflat.stripes import StripeNoise

__all__ = ["LEAST_REAL", "Strength", "fit_strength"]

ROUNDS = 8
OUTLIER = 4.0
N_BANDS = 8
"""Of rows, whose departures are independent."""
LEAST_LEFT = 0.02
"""Part of the power of a pattern without which nothing can be fitted."""
LEAST_REAL = 0.5
"""Part of the power of a pattern that is no noise, at least: what has more noise than light cannot be mended."""
LIGHT = ExtendedLight(grow=0.3)


@frozen
class Strength:
    """What `fit_strength` found.

    Attributes
    ----------
    value, err
        Factor of the pattern and its 1 sigma error.
    sky
        Mean of the background.
    chi2, n_dof
        Reduced chi-squared of the boxes, and degrees of freedom.
    seen
        Part of the power of the pattern that is in the boxes fitted.
    background
        Mesh of all that is neither pattern nor noise: sky, what is smooth, stripes.
    """

    value: float
    err: float
    sky: float
    chi2: float
    n_dof: int
    seen: float
    background: np.ndarray


def fit_strength(data, pattern, used, *, degree, find_light, place, influences=None, own=None):
    """Fit ``data = background + value * pattern`` where ``used``.

    Parameters
    ----------
    data, pattern
        Images.
    used
        Boolean image: pixels to fit.
    degree
        Of the polynomial that the background is, besides stripes.
    find_light
        Whether to leave out boxes that light spread wider than any source mask covers (`ExtendedLight`).
    place
        Begin of the texts of errors.
    influences
        What each exposure that the pattern was made of added to its boxes, shape (exposures, boxes in y, boxes in x):
        the noise of the pattern, which is allowed for. None if it has none.
    own
        Which of them the image is, None if it is another: its own noise is taken out of the pattern first.

    Raises
    ------
    FitError
        If the pixels used show too little of the pattern, or are too few to tell it from the background.

    Notes
    -----
    The boxes of an image are the medians of their pixels. They share 1/f stripes along the rows, within an amplifier
    and between all; the variances of both are what boxes far from each other have in common. With that covariance the
    background, a polynomial, and the pattern are fitted. Boxes that depart by more than 4 sigma are left out in turns.
    A pattern with noise has more power than the light alone, and finds less of it than there is, by the part of its
    power that is noise; found values are raised by that.
    """
    power, seen = (np.sum(np.square(image, dtype=np.float64)) for image in (pattern, pattern[used]))
    if not seen > LEAST_LEFT * power:
        raise FitError(
            f"{place} needs pixels that show the wisp and are not masked; those left hold {seen / power:.1%} of its "
            f"power ({LEAST_LEFT:.0%} are needed): mask less of it, or leave the exposure out"
        )
    box_size = box_size_for(data.shape)
    mesh, stds, n_kept = box_medians(np.where(used, data, np.float32(np.nan)), box_size)
    mesh, light = mesh.astype(float), box_means(np.asarray(pattern, np.float32), box_size).astype(float)
    if own is not None:
        light, influences = _without(light, influences, own)
    known = np.isfinite(mesh)
    noise = np.sqrt(np.pi / 2 / np.maximum(n_kept, 1)) * np.nanmedian(stds)
    terms = legendre_terms(mesh.shape, degree).T.reshape(-1, *mesh.shape)
    design = np.concatenate([light[None], terms])
    value, level = robust_line(mesh, light)
    smooth, stripes, kept = np.full(mesh.shape, level), np.zeros(mesh.shape), known
    for _ in range(ROUNDS):
        clean = np.where(known, mesh - smooth - value * light - stripes, np.nan)
        scatter = robust_scatter(clean[kept])
        now = known & (np.abs(clean) < OUTLIER * scatter * np.maximum(noise / np.median(noise[kept]), 1))
        if find_light and level > 0:
            now &= ~LIGHT.find_in(1 + clean / level)
        if not np.sum(light[now] ** 2) > LEAST_LEFT * np.sum(light**2):
            raise FitError(
                f"{place} needs boxes that show the wisp and no other light; those left hold "
                f"{np.sum(light[now] ** 2) / np.sum(light**2):.1%} of its power: leave the exposure out"
            )
        kept = now
        if np.count_nonzero(kept) <= len(design) or np.linalg.matrix_rank(design[:, kept]) < len(design):
            raise FitError(
                f"{place} needs more boxes, in rows and columns enough, to tell wisp and background apart; got "
                f"{np.count_nonzero(kept)} of {kept.size} boxes of {box_size} px: mask less of the exposure"
            )
        weights = np.where(kept, (noise * scatter / np.median(noise[kept])) ** -2.0, 0.0)[None]
        striped = StripeNoise.of(np.where(kept, mesh - smooth - value * light, 0.0)[None], kept[None])
        weighted = striped.whitened(design, weights)
        solve = np.linalg.inv(np.einsum("kyx,lyx->kl", design, weighted))
        pulls = np.einsum("kl,lyx->kyx", solve, weighted)
        value, *coefficients = np.einsum("kyx,yx->k", pulls, np.where(kept, mesh, 0.0))
        smooth = np.tensordot(coefficients, terms, 1)
        level = float(smooth.mean())
        residual = np.where(kept, mesh - smooth - value * light, 0.0)
        stripes = striped.expected(residual[None], weights)[0]
    real = 1.0
    if influences is not None:
        noise_power = float(np.sum(_powers(np.asarray(influences), partial(striped.whitened, weights=weights), terms)))
        real = max(1 - len(influences) / (len(influences) - 1) * noise_power * solve[0, 0], LEAST_REAL)
    rest = np.where(kept, residual - stripes, 0.0)
    expected = solve[0, 0] + max(_shared_variance(pulls[0], rest, kept), 0.0)
    err = np.sqrt(max(expected, _variance_by_blocks(pulls[0] * residual)))
    n_dof = max(int(np.count_nonzero(kept)) - len(design), 1)
    # What the boxes beside the pattern say of the stripes, so that no error of the pattern is taken for them.
    beside = striped.expected(residual[None], weights * (light == 0))[0]
    return Strength(
        value=float(value / real),
        err=float(err / real),
        sky=level,
        chi2=float(np.sum((rest / noise)[kept] ** 2) / n_dof),
        n_dof=n_dof,
        seen=float(np.sum(light[kept] ** 2) / np.sum(light**2)),
        background=smooth + beside,
    )


def _without(light, influences, own):
    """Return the pattern, a mean, without one of its exposures, and the influences of the others on it."""
    n = len(influences)
    share = influences[own] / (n - 1)
    return light - n * share, (np.delete(influences, own, axis=0) + share) * (n / (n - 1))


def _powers(meshes, whitened, terms):
    """Sums of the squares of meshes in units of the noise, less what the background takes up of them."""
    weighted = whitened(terms)
    taken = np.einsum("kyx,nyx->kn", weighted, meshes)
    solution = np.linalg.solve(np.einsum("kyx,lyx->kl", terms, weighted), taken)
    return np.einsum("nyx,nyx->n", meshes, whitened(meshes)) - np.einsum("kn,kn->n", taken, solution)


def _variance_by_blocks(terms):
    """Variance of the sum of these terms, as the squares of their sums over blocks of rows in an amplifier tell it.

    It knows what is peculiar to the place of the pattern: halos upon it, and errors of its shape. Stripes cancel.
    """
    rows, columns = (
        np.linspace(0, size, n, endpoint=False).astype(int)
        for size, n in zip(terms.shape, (N_BANDS, N_AMPLIFIERS), strict=True)
    )
    return float(np.sum(np.add.reduceat(np.add.reduceat(terms, rows, axis=0), columns, axis=1) ** 2))


def _shared_variance(pull, residual, kept):
    """Variance of ``sum(pull * noise)`` that comes from what different boxes share, as the residual shows it.

    The autocovariance of the residual by distance along rows and columns, summed with the autocorrelation of the pulls:
    what the pattern finds on average wherever else it is laid over the image.
    """
    pairs = autocorrelated(kept.astype(float))
    covariance = np.where(pairs > 0.5, autocorrelated(residual) / np.maximum(pairs, 0.5), 0.0)
    covariance[tuple(size // 2 for size in pairs.shape)] = 0.0
    return float(np.sum(autocorrelated(pull) * covariance))
