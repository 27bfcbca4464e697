"""The arithmetic of separating light from response on meshes of box medians; plain arrays in, plain arrays out."""

import numpy as np
from attrs import evolve, frozen
from numpy.polynomial import legendre
from scipy.ndimage import binary_dilation, label, uniform_filter

from nircam_flats._fields import HoldsArrays, image
from nircam_flats.instrument.detector import N_AMPLIFIERS
from nircam_flats.scattered._factors import (
    errors_of_factors,
    frames_that_show,
    second_strengths,
    strengths_of_light,
)
from nircam_flats.skyflat.meshes import median_of_frames
from nircam_flats.skyflat.stripes import StripeNoise

__all__ = [
    "Regression",
    "SecondLight",
    "bright_structure",
    "denoised",
    "legendre_terms",
    "lines",
    "mean_around",
    "outline_of",
    "planes",
    "regress",
    "robust_scatter",
    "smooth_surface",
    "total_degrees",
]

EIGHT_CONNECTED = np.ones((3, 3), bool)
ROUNDS = 8
FREE = 2
OUTLIER = 4.0
"""Boxes of single frames that depart by more than this many standard deviations are sources or persistence."""
SEED, EDGE, MARGIN = 3.0, 1.5, 2
"""Light starts where the mean excess is this many scatters, reaches down to where it is that many, and two boxes on."""
MOST = 0.7
"""Part of the frame that light does not reach."""
DISTURBED = 2.0
"""Chi-squared per degree of freedom over 3 x 3 boxes that noise alone does not reach."""


@frozen(kw_only=True, eq=False)
class SecondLight(HoldsArrays):
    """Light that varies beside the light whose strengths were compared, independently of it.

    Attributes
    ----------
    light
        Mesh of what a frame gains per unit of `strengths`, smoothed where noise demands it; 0 outside the outline.
    strengths, strength_err
        Its strength in each frame, 0 on average with a standard deviation of 1, and 1 sigma errors.
    slope, slope_err
        What `light` is the smoothed form of, and its 1 sigma error; NaN where fewer than 4 frames saw the box.
    gain, gain_err
        By how much it improves chi-squared of frames that are held out, and the standard deviation of what its shape
        gains by chance where there is no light.
    """

    light: np.ndarray = image(np.float64, sets_shape=True)
    strengths: np.ndarray = image(np.float64, ndim=1, follows_shape=False)
    strength_err: np.ndarray = image(np.float64, ndim=1, follows_shape=False)
    slope: np.ndarray = image(np.float64)
    slope_err: np.ndarray = image(np.float64)
    gain: float
    gain_err: float

    def in_frames(self):
        """Return the light in each frame relative to its level, beside that of mean strength."""
        return self.strengths[:, None, None] * self.light


@frozen(kw_only=True, eq=False)
class Regression(HoldsArrays):
    """Frames as ``level_j (mean + t_j slope + stripe_j)``, box by box, and a second light where there is one.

    Attributes
    ----------
    mean, mean_err
        What the frames show at mean strength of the light, and its 1 sigma error; NaN where no frame saw the box.
    slope, slope_err
        How that grows with the strength; NaN where fewer than 3 frames saw the box.
    strengths, strength_err
        ``1 + t_j``, 1 on average, on the scale of the light that they were fitted to, and the 1 sigma error of each:
        that of noise and stripes of any width, and what two interleaved halves of the boxes disagree by beyond it.
    shown
        Frames that show a fifth of the power of the light or more. In the others the boxes where it lies do not count,
        and their strength is 1 with an infinite error.
    levels
        Level of each frame against the others.
    scatter
        1 sigma of one box of each frame.
    stripes, stripe_noise
        What was taken out of each frame, and the variances that it was expected with, a
        `~nircam_flats.skyflat.stripes.StripeNoise`.
    stripe_share
        Variance of what is left of the stripe of a box, as a part of the variance of the box; boxes of a row within an
        amplifier share it.
    values, weights
        The frames without their levels and stripes, and the weight of each box; 0 where it does not count.
    second
        The light beside it, a `~nircam_flats.scattered.SecondLight`, which adds ``b_j slope`` with strengths b_j of its
        own; None without.
    """

    mean: np.ndarray = image(np.float64, sets_shape=True)
    mean_err: np.ndarray = image(np.float64)
    slope: np.ndarray = image(np.float64)
    slope_err: np.ndarray = image(np.float64)
    strengths: np.ndarray = image(np.float64, ndim=1, follows_shape=False)
    strength_err: np.ndarray = image(np.float64, ndim=1, follows_shape=False)
    shown: np.ndarray = image(bool, ndim=1, follows_shape=False)
    levels: np.ndarray = image(np.float64, ndim=1, follows_shape=False)
    scatter: np.ndarray = image(np.float64, ndim=1, follows_shape=False)
    stripes: np.ndarray = image(np.float64, ndim=3)
    stripe_noise: StripeNoise
    stripe_share: np.ndarray = image(np.float64)
    values: np.ndarray = image(np.float64, ndim=3)
    weights: np.ndarray = image(np.float64, ndim=3)
    second: SecondLight | None = None

    def varying(self, constant, of_second=0.0):
        """Return what varies of the mean light, ``constant`` slopes and ``of_second`` of the second, and its error."""
        if self.second is None:
            return constant * self.slope, abs(constant) * self.slope_err
        values = constant * self.slope + of_second * self.second.slope
        return values, np.hypot(constant * self.slope_err, of_second * self.second.slope_err)

    def without(self, index):
        """Return the regression without one frame; strengths, levels and weights of the others stay."""
        kept = np.arange(len(self.strengths)) != index
        second = self.second
        if second is not None:
            second = evolve(second, strengths=second.strengths[kept], strength_err=second.strength_err[kept])
        t, outline = self.strengths[kept] - 1, None if second is None else second.light != 0
        found, second = _against_strengths(self.values[kept], self.weights[kept], t, second, outline)
        mean, slope, mean_err, slope_err = found
        return evolve(
            self,
            mean=mean,
            slope=slope,
            mean_err=mean_err,
            slope_err=slope_err,
            strengths=self.strengths[kept],
            strength_err=self.strength_err[kept],
            shown=self.shown[kept],
            levels=self.levels[kept],
            scatter=self.scatter[kept],
            stripes=self.stripes[kept],
            stripe_noise=self.stripe_noise.where(kept),
            values=self.values[kept],
            weights=self.weights[kept],
            second=second,
        )


def robust_scatter(values):
    """Standard deviation that the median absolute deviation of the finite values stands for."""
    values = values[np.isfinite(values)]
    return 1.4826 * np.median(np.abs(values - np.median(values)))


def mean_around(values, known):
    """Mean over 3 x 3 boxes of the values that are known; 0 where none is."""
    share = uniform_filter(known.astype(float), 3)
    total = uniform_filter(np.where(known, values, 0.0), 3)
    return np.where(share > 0.05, total / np.maximum(share, 0.05), 0.0)


def legendre_terms(shape, degree):
    """Legendre polynomials of total degree up to ``degree`` at the boxes of a mesh, shape (boxes, terms)."""
    by, bx = (legendre.legvander(2 * (np.arange(n) + 0.5) / n - 1, degree) for n in shape)
    return np.stack([np.outer(by[:, j], bx[:, i]).ravel() for j, i in _degrees(degree)], axis=1)


def total_degrees(degree):
    """Total degree of each of the `legendre_terms`."""
    return np.sum(_degrees(degree), axis=1)


def _degrees(degree):
    """Degrees in y and x of each term."""
    return [(j, i) for j in range(degree + 1) for i in range(degree + 1 - j)]


def smooth_surface(terms, values, weights):
    """Least-squares surface of ``terms`` through a mesh; weights are 0 where there is no value."""
    weighted = terms * weights.reshape(-1, 1)
    moments = weighted.T @ np.column_stack([terms, np.nan_to_num(values).ravel()])
    solution = np.linalg.lstsq(moments[:, :-1], moments[:, -1], rcond=1e-10)[0]
    return (terms @ solution).reshape(values.shape)


def outline_of(excess, scatter):
    """Boxes of groups in which the smoothed excess stands out, grown by a margin.

    ``scatter`` is that of single boxes where there is no light. What would take most of the frame stands out from
    nothing, and no box is returned.
    """
    smoothed = uniform_filter(np.nan_to_num(excess), 3)
    candidates = smoothed > EDGE * scatter
    labels, n_groups = label(candidates, structure=EIGHT_CONNECTED)
    highest = np.zeros(n_groups + 1)
    np.maximum.at(highest, labels.ravel(), smoothed.ravel())
    found = (highest > SEED * scatter)[labels] & candidates
    grown = binary_dilation(found, EIGHT_CONNECTED, iterations=MARGIN) if found.any() else found
    return grown if grown.mean() < MOST else np.zeros_like(found)


def bright_structure(mean, terms):
    """Return the boxes that stand out from a smooth surface, their excess, and the scatter of the others.

    The first surface runs through the lower boxes, so that light does not pull it up; noise is what neighbours differ
    by. Then the surface is fitted to the boxes that do not stand out, in turns.
    """
    measured = np.isfinite(mean)
    excess = mean - _lower_surface(mean, terms)
    noise = robust_scatter(np.diff(mean, axis=1)) / np.sqrt(2)
    outline, scatter = outline_of(excess, noise), noise
    for _ in range(ROUNDS):
        if (measured & ~outline).sum() < 2 * terms.shape[1]:
            break
        excess = mean - smooth_surface(terms, mean, (measured & ~outline).astype(float))
        scatter = robust_scatter(np.where(outline, np.nan, excess))
        found = outline_of(excess, scatter)
        if np.array_equal(found, outline):
            break
        outline = found
    return outline, np.nan_to_num(excess), scatter


def _lower_surface(mean, terms):
    """A surface that a tenth of the squared departures lies below: least squares, those above count ten times less."""
    measured = np.isfinite(mean).astype(float)
    surface = smooth_surface(terms, mean, measured)
    for _ in range(ROUNDS):
        surface = smooth_surface(terms, mean, measured * np.where(mean > surface, 0.1, 1.0))
    return surface


def regress(meshes, noise, light, outline, strengths=None, second=None, beneath=True):
    """Fit strengths, levels, stripes and, box by box, a line against the strength.

    Parameters
    ----------
    meshes
        Box medians of the frames, shape (n, boxes in y, boxes in x); NaN where masked.
    noise
        Relative noise of the frames, shape (n,); one common factor is found from the data.
    light
        Mesh of the light at mean strength, as known so far: what the strengths are fitted to.
    outline
        Boxes where there may be light: levels and stripes are measured outside.
    strengths
        Where to start; by default all alike.
    second
        Light beside it as known so far, a `SecondLight`; None if there is none.
    beneath
        Whether stripes are also seen where there is light: what varies beside the light would be taken for stripes.

    Returns
    -------
    Regression
    """
    n = len(meshes)
    noise, unbiased = np.asarray(noise, float)[:, None, None], np.sqrt(n / (n - 1))
    mean = median_of_frames(meshes / np.nanmedian(meshes.reshape(n, -1), axis=1)[:, None, None])
    strengths = np.ones(n) if strengths is None else strengths
    light, stripes, hidden = np.where(outline, light, 0.0), np.zeros(meshes.shape), outline
    shown = frames_that_show(meshes, light)
    meshes = np.where(outline & ~shown[:, None, None], np.nan, meshes)
    for number in range(ROUNDS):
        response = mean - light
        template = 0.0 if second is None else np.where(outline, second.light, 0.0)
        beside = 0.0 if second is None else second.strengths[:, None, None] * template
        model = response + strengths[:, None, None] * light + beside
        levels = np.nanmedian(np.where(outline, np.nan, meshes / model), axis=(1, 2), keepdims=True)
        departure = meshes / levels - model
        residual = departure - stripes
        factor = np.median([robust_scatter(one) / sigma for one, sigma in zip(residual, noise, strict=True)])
        scatter = noise * factor * unbiased
        # Where there is light, departures that the light could make are none: it may be response in part, and its
        # strength is not known at first.
        allowed = np.abs(light) * (1.0 if number < FREE else np.abs(strengths - 1)[:, None, None])
        used = np.abs(residual) < OUTLIER * scatter + allowed + np.abs(beside)
        weights = np.where(used, 1 / scatter**2, 0.0)
        striped = StripeNoise.of(np.where(used, departure, 0.0) * unbiased, used & ~hidden)
        departing, level = np.where(used, meshes / levels - response, 0.0), np.nan_to_num(response)
        strengths, unit = strengths_of_light(departing, weights, light, [level, template], striped, shown)
        if second is not None:
            of_second, unit_of_second = second_strengths(departing, weights, template, [level, light], striped)
            second = evolve(second, strengths=of_second)
            beside = of_second[:, None, None] * template
        # Once the strengths are about right, stripes show inside the outline too: it counts where it hides the others.
        if beneath and number >= ROUNDS // 2:
            hidden = outline & ~_fills_amplifiers(outline)
        left = np.where(used, departing - strengths[:, None, None] * light - beside, 0.0)
        stripes = striped.expected(left, weights * ~hidden)
        stripes = stripes - stripes.mean(axis=0)  # what the frames have on average belongs to the mean
        values = np.nan_to_num(meshes / levels - stripes)
        found, second = _against_strengths(values, weights, strengths - 1, second, outline)
        mean, slope, mean_err, slope_err = (mean, *found[1:]) if number < FREE else found  # the median to begin with
    strength_err = np.full(n, np.inf)
    if unit > 0:
        strength_err = errors_of_factors(departing, weights, light, [level, template], striped, stripes, shown) / unit
    if second is not None:
        second_err = (
            errors_of_factors(departing, weights, template, [level, light], striped, stripes, shown) / unit_of_second
        )
        second = evolve(second, strength_err=second_err)
    return Regression(
        mean=mean,
        mean_err=mean_err,
        slope=slope,
        slope_err=slope_err,
        strengths=strengths,
        strength_err=strength_err,
        shown=shown,
        levels=levels[:, 0, 0],
        scatter=scatter[:, 0, 0],
        stripes=stripes,
        stripe_noise=striped,
        stripe_share=np.mean(striped.variance(weights * ~hidden) / scatter**2, axis=0),
        values=values,
        weights=weights,
        second=second,
    )


def _fills_amplifiers(outline):
    """Boxes of rows within an amplifier of which the outline takes more than three quarters."""
    parts = np.array_split(outline, N_AMPLIFIERS, axis=1)
    full = [np.repeat(part.mean(axis=1, keepdims=True) > 0.75, part.shape[1], axis=1) for part in parts if part.size]
    return np.concatenate(full, axis=1)


def _against_strengths(values, weights, t, second, outline):
    """What `lines` returns, or `planes` where there is a second light, and that light as they show it."""
    if second is None:
        return lines(values, weights, t), None
    found, (slope, slope_err) = planes(values, weights, t, second.strengths)
    light = np.where(outline, denoised(slope, slope_err), 0.0)
    return found, evolve(second, light=light, slope=slope, slope_err=slope_err)


def lines(values, weights, t, disturbed=DISTURBED):
    """Weighted lines against ``t`` in each box: value at 0, slope, and their errors.

    Where the frames scatter about the lines of 3 x 3 boxes by more than their noise, the error of the slope grows: from
    a chi-squared per degree of freedom of ``disturbed`` on.
    """
    t = t[:, None, None]
    s0, s1, s2 = weights.sum(axis=0), (weights * t).sum(axis=0), (weights * t * t).sum(axis=0)
    y0, y1 = (weights * values).sum(axis=0), (weights * t * values).sum(axis=0)
    determinant = s0 * s2 - s1**2
    is_line = ((weights > 0).sum(axis=0) >= 3) & (determinant > 1e-6 * s0 * s2)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope, slope_err = (s0 * y1 - s1 * y0) / determinant, np.sqrt(s0 / determinant)
        level, level_err = (y0 - s1 * slope) / s0, np.sqrt(s2 / determinant)
        mean, mean_err = y0 / s0, 1 / np.sqrt(s0)
        chi2 = np.sum(weights * (values - level - t * slope) ** 2, axis=0)
    freedom = np.where(is_line, (weights > 0).sum(axis=0) - 2, 0)
    around = mean_around(np.nan_to_num(chi2), is_line), mean_around(freedom, is_line)
    ratio = around[0] / np.maximum(around[1], 0.1)
    inflation = np.sqrt(np.where(ratio > disturbed, ratio, 1.0))
    nothing = np.nan
    return (
        np.where(is_line, level, np.where(s0 > 0, mean, nothing)),
        np.where(is_line, slope, nothing),
        np.where(is_line, level_err, np.where(s0 > 0, mean_err, nothing)),
        np.where(is_line, slope_err * inflation, nothing),
    )


def planes(values, weights, t, b):
    """Weighted planes against ``t`` and ``b`` in each box: what `lines` returns for ``t``; slope with b, its error.

    What b has beside a line against t gives its slope; the rest are lines. All scatter beyond noise counts in their
    errors, as little of the stripes beneath a second light is known.
    """
    b = np.broadcast_to(b[:, None, None], values.shape)
    level, slope, _, _ = lines(b, weights, t)
    beside = np.where(weights > 0, b - level - t[:, None, None] * slope, 0.0)
    norm = np.sum(weights * beside**2, axis=0)
    is_plane = ((weights > 0).sum(axis=0) >= 4) & (norm > 1e-6 * np.sum(weights * b**2, axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        second = np.where(is_plane, np.sum(weights * beside * values, axis=0) / norm, np.nan)
        second_err = np.where(is_plane, 1 / np.sqrt(norm), np.nan)
    mean, of_t, mean_err, of_t_err = lines(values - b * np.nan_to_num(second), weights, t, disturbed=1.0)
    of_t, of_t_err = np.where(is_plane, of_t, np.nan), np.hypot(of_t_err, slope * second_err)
    return (mean, of_t, np.hypot(mean_err, np.nan_to_num(level * second_err)), of_t_err), (second, second_err)


def denoised(values, err):
    """A mesh of which 3 x 3 boxes are averaged as far as their noise demands it; 0 where it is not known."""
    known = np.isfinite(values) & np.isfinite(err)
    around = mean_around(values, known)
    departure, variance = np.where(known, values - around, 0.0), np.where(known, err, 1.0) ** 2
    beyond = np.maximum(mean_around(departure**2 - variance, known), 0.0)
    return np.where(known, around + departure * beyond / (beyond + variance), 0.0)
