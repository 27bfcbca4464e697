"""What a mesh of frames tells about light and response, when what is known before is counted too."""

import numpy as np
from attrs import frozen
from scipy.ndimage import binary_dilation, label, maximum_filter, median_filter, uniform_filter
from scipy.special import expit

from nircam_flats._fields import HoldsArrays, image
from nircam_flats.kernels import fill_mesh
from nircam_flats.scattered._factors import TINY
from nircam_flats.scattered._second import second_light
from nircam_flats.scattered._separation import (
    EIGHT_CONNECTED,
    MARGIN,
    Regression,
    bright_structure,
    legendre_terms,
    mean_around,
    outline_of,
    regress,
    robust_scatter,
)
from nircam_flats.scattered.gauge import GaugeFit
from nircam_flats.skyflat.meshes import lower_quartile_of_frames, median_of_frames

__all__ = ["Separated", "separate", "separated", "without_odd_boxes", "without_strays"]

ROUNDS = 3
FLANKS = 7
AROUND, ODD = 5, 8.0
"""Boxes that exceed the median of 5 x 5 boxes by this many misfits and half of itself are odd."""
MIN_QUIET = 50
FEATURE, QUIET = 4.0, 0.998
"""Significance, over 3 x 3 boxes, at which a departure from light is as likely a feature of the response as not, and
the part of boxes without light that stay below it."""
DOUBT, NOISY = 2.0, 0.95
"""The same for errors, which count what only may be a feature."""
FAINT, VARIES = 0.02, 5.0
"""Groups with less than this part of the light of the largest have to vary with it by this many standard deviations,
which leave out stripes."""
DEEP = 0.03
"""Depth of features, 1 sigma, where frames do not show a larger one."""


@frozen(kw_only=True, eq=False)
class Separated(HoldsArrays):
    """Light and response on the mesh of the boxes.

    Attributes
    ----------
    regression
        Frames against strength.
    gauge
        What fixed the amount of light.
    outline
        Boxes with structure.
    misfit
        1 sigma of the mean of the frames about the smooth response in a box, where there is no light.
    light, light_err
        The mean light in units of the sky, 0 outside the outline, and its 1 sigma error.
    features, free
        Boxes within the outline in which the response is not smooth, and with their flanks, in which it is taken as the
        frames show it.
    """

    regression: Regression
    gauge: GaugeFit
    outline: np.ndarray = image(bool, sets_shape=True)
    misfit: float
    light: np.ndarray = image(np.float64)
    light_err: np.ndarray = image(np.float64)
    features: np.ndarray = image(bool)
    free: np.ndarray = image(bool)


def separate(meshes, noise, gauge, fields=None):
    """Return what a mesh of the frames tells, a `Separated`; ``fields`` is the number of the field of each frame.

    Light of the detector is in all frames: what the lower quartile of them does not show, or only its surroundings, is
    light of a field, such as the halo of a large galaxy.
    """
    terms = legendre_terms(meshes.shape[1:], 3)
    scaled = meshes / np.nanmedian(meshes, axis=(1, 2), keepdims=True)
    outline, light, misfit = bright_structure(median_of_frames(scaled), terms)
    common, _, _ = bright_structure(lower_quartile_of_frames(scaled), terms)
    around = binary_dilation(common, EIGHT_CONNECTED, iterations=MARGIN)
    outline &= around
    light = np.where(outline, light, 0.0)
    settings, start = (meshes, noise, gauge, around), (light, outline, misfit)
    found = _in_turns(*settings, *start, beneath=False)
    fields = np.zeros(len(meshes), int) if fields is None else fields
    second = second_light(found.regression, found.light, found.outline, fields)
    if second is not None:
        start = found.light, found.outline, found.misfit
    return _in_turns(*settings, *start, second=second)


def _in_turns(meshes, noise, gauge, around, light, outline, misfit, second=None, beneath=True):
    """Return what strengths, gauge, light and its outline are, each found from the others in turns: a `Separated`.

    Stripes are seen ``beneath`` the light once it is known whether there is a second.
    """
    found, strengths = None, None
    for _ in range(ROUNDS):
        regression = regress(meshes, noise, light, outline, strengths, second, beneath)
        found = separated(regression, gauge, light, outline, misfit)
        strengths, second = regression.strengths, regression.second
        excess = np.nan_to_num(regression.mean - found.gauge.surface)
        misfit = float(robust_scatter(np.where(outline, np.nan, regression.mean - found.gauge.surface)))
        outline = outline_of(excess, misfit) & around
        light = np.where(outline, np.where(found.outline, found.light, excess), 0.0)
        outline = without_strays(regression, gauge, light, outline, misfit)
        light = np.where(outline, light, 0.0)
    return found


def without_strays(regression, gauge, light, outline, misfit):
    """Return the outline without groups that are response rather than light.

    A smooth surface follows some as soon as they are not taken for light: between the largest group and an edge of the
    frame, one that is fitted elsewhere may run away. Others are faint beside the largest, such as bright patches in the
    corners of B4; they have to be seen to vary with it.
    """
    labels, n_groups = label(outline, EIGHT_CONNECTED)
    total = np.bincount(labels.ravel(), light.ravel(), n_groups + 1)
    for group in np.argsort(total[1:])[:-1] + 1:
        inside = labels == group
        without = np.where(inside, 0.0, light)
        faint = total[group] < FAINT * total[1:].max() and _varies_by(regression, light, inside) < VARIES
        if faint or not _stands_out(regression, gauge(regression, without, misfit), misfit, inside):
            outline, light = outline & ~inside, without
    return outline


def _varies_by(regression, light, inside):
    """Significance of the variation of a light with the strengths of the frames, in some boxes."""
    inside = inside & np.isfinite(regression.slope)
    slope, err = regression.slope[inside], regression.slope_err[inside]
    return np.sum(slope * light[inside] / err**2) / np.sqrt(np.sum((light[inside] / err) ** 2) + TINY)


def _stands_out(regression, fit, misfit, inside):
    """Whether some boxes are more than a smooth response that was fitted without them."""
    return bool((outline_of(np.nan_to_num(regression.mean - fit.surface), misfit) & inside).any())


def separated(regression, gauge, light, outline, misfit):
    fit = gauge(regression, light, misfit)
    mean_light, err, features, free = _posterior(regression, fit, outline, misfit)
    return Separated(
        regression=regression,
        gauge=fit,
        outline=outline,
        misfit=misfit,
        light=mean_light,
        light_err=err,
        features=features,
        free=free,
    )


def _posterior(regression, fit, outline, misfit):
    """Return the mean light, its error, the boxes where response departs from what is smooth, and where it may.

    In a box, the excess E is light plus the departure M of the response from the smooth surface. The frames say
    ``M = E - c V`` with a large error; that M is of the order of the misfit is known before. The two are
    weighed by their variances. Where the frames contradict it, over 3 x 3 boxes, M may be as large as they say: by the
    chance of that the two answers are mixed, and what they differ by is part of the error. Boxes that no frame saw have
    the light of their neighbours, with an error as large.
    """
    shown = regression.mean - fit.surface
    excess, odd, around = without_odd_boxes(shown, misfit)
    unsure = np.where(odd, median_filter(np.abs(np.nan_to_num(shown) - around), AROUND), 0.0)
    seen = np.isfinite(regression.slope) & np.isfinite(regression.mean) & ~odd
    known = outline & seen
    varying, err = (np.nan_to_num(one) for one in regression.varying(fit.constant, fit.of_second))
    variance = np.where(seen, err**2 + misfit**2, np.inf)
    departure = np.where(known, excess - varying, 0.0)
    quiet = _significance(np.where(seen, varying, 0.0), variance, seen & ~outline)
    significance = _significance(departure, variance, known)
    core, likely = _chance(significance, known, _needed(quiet, FEATURE, QUIET))
    _, possible = _chance(significance, known, _needed(quiet, DOUBT, NOISY))
    beyond = mean_around(departure**2 - np.where(known, variance, 0.0), known)
    beyond = np.maximum(maximum_filter(np.where(known, beyond, 0.0), FLANKS), DEEP**2)
    smooth, smooth_variance = _weighed(departure, variance, misfit**2)
    free, free_variance = _weighed(departure, variance, misfit**2 + beyond)
    free = np.minimum(free, np.maximum(excess, 0))  # light is not negative
    response = (1 - likely) * smooth + likely * free
    spread = (1 - possible) * (smooth_variance + (response - smooth) ** 2)
    spread += possible * (free_variance + (response - free) ** 2)
    lever = possible * np.nan_to_num(regression.slope)  # 0 where the constant, even of infinite error, does not matter
    of_gauge = np.multiply(lever, fit.constant_err, out=np.zeros_like(lever), where=lever != 0)
    if regression.second is not None:
        of_gauge = np.hypot(of_gauge, possible * np.nan_to_num(regression.second.slope) * fit.of_second_err)
    err = np.sqrt(spread + unsure**2 + fit.surface_err**2 + of_gauge**2 + _of_few_frames(regression))
    light = np.where(outline, excess - response, 0.0)
    err = np.where(np.isfinite(regression.mean), err, np.abs(light))
    return light, np.where(outline, err, 0.0), core, likely > 0.5


def _of_few_frames(regression):
    """Variance that the mean of a box has beyond that of most boxes, because fewer frames saw it; a mesh."""
    variance = np.nan_to_num(regression.mean_err**2)
    return np.maximum(variance - np.median(variance), 0.0)


def without_odd_boxes(excess, misfit):
    """Return a mesh with the surroundings in place of odd boxes, which boxes these are, and the surroundings of all.

    They hold what is left of a star, or dead pixels: neither light nor the response of their surroundings. Boxes
    without a value get that of the nearest.
    """
    excess = np.nan_to_num(fill_mesh(excess))
    around = median_filter(excess, AROUND)
    odd = np.abs(excess - around) > ODD * misfit + np.abs(around) / 2
    return np.where(odd, around, excess), odd, around


def _weighed(departure, variance, prior):
    """Mean and variance of what was seen as ``departure``, and is known before to be 0 with the variance ``prior``."""
    with np.errstate(invalid="ignore"):
        both = np.where(np.isfinite(variance), prior * variance / (prior + variance), prior)
    return departure * prior / (prior + variance), both


def _significance(values, variance, known):
    """Weighted mean over 3 x 3 boxes of the known values in units of its error; 0 where few are known."""
    weights = np.where(known, 1 / variance, 0.0)
    mean, total = mean_around(values * weights, known), mean_around(weights, known)
    share = uniform_filter(known.astype(float), 3)
    return np.where(known, 3 * mean * np.sqrt(np.maximum(share, 0) / np.maximum(total, 1e-30)), 0.0)


def _chance(significance, known, needed):
    """Boxes that are features, and the chance of each, which is even at the significance ``needed``.

    The flanks of a feature are fainter, and belong to it.
    """
    chance = expit((significance**2 - needed**2) / 2) * (known & (uniform_filter(known.astype(float), 3) > 0.5))
    core = chance > 0.5
    return core, known * np.maximum(chance, maximum_filter(np.where(core, chance, 0.0), FLANKS))


def _needed(quiet, least, quantile):
    """Significance that makes a feature: more than what sources leave by chance where there is no light."""
    quiet = np.abs(quiet[quiet != 0])
    return max(least, float(np.quantile(quiet, quantile))) if quiet.size > MIN_QUIET else least
