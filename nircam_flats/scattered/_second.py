"""Is there a second light, whose strengths vary beside those of the first?  Frames that are held out decide."""

from itertools import combinations

import numpy as np
from scipy.ndimage import median_filter

from nircam_flats.scattered._factors import TINY, factors_of, halves
from nircam_flats.scattered._separation import OUTLIER, SecondLight, denoised, lines, planes

__all__ = ["second_light"]

MIN_FRAMES = 5
ROUNDS = 2
NEEDED = 15.0
"""What a second light gains in held-out frames exceeds what its shape gains by chance, where there is no light, by this
many standard deviations: halos and stripes, which boxes share, reach more than noise does."""
SHOWN = 16.0
"""Chi-squared of the strengths about a line against those of the first, whichever two frames or field are left out."""
PLACES = 4
"""Chance is seen with the shape mirrored and moved by multiples of this part of the frame, in each direction."""
MIN_PLACES = 8


def second_light(regression, light, outline, fields):
    """Return the `SecondLight` that held-out frames show, or None; ``fields`` is the number of that of each frame.

    For each frame in turn, what varies most in the others beside their lines is found. It is fitted, beside the light,
    to half of the boxes of the frame (blocks like the fields of a chess board), and predicts the other half, and the
    other way round. The sum of what chi-squared loses by that is the gain. The same shapes, mirrored and moved to
    where there is no light, say what halos and stripes gain by chance; stripes are told by the other boxes there, too.

    A single frame with light of its own, two in turn (persistence), or all of one field (a galaxy that dithers move)
    leave their traces in the lines of all; so the strengths have to depart from a line without any two of the frames as
    well, and without any of several fields.
    """
    n = len(regression.values)
    if n < MIN_FRAMES or not outline.any():
        return None
    values, t, weights = regression.values, regression.strengths - 1, _weights(regression)
    found = [_held_out(values, weights, t, outline, index) for index in range(n)]
    shapes, departures, weights_there = (np.array(items) for items in zip(*found, strict=True))
    beside, striped = weights_there * ~outline, departures + regression.stripes
    gain = np.sum(_gains(departures, weights_there * outline, shapes, light))
    if not gain > 0:
        return None
    chance = []
    for moved in _elsewhere(outline):
        there = moved(outline)
        if (there & ~outline).sum() > outline.sum() / 2:
            left = striped - regression.stripe_noise.expected(striped, beside * ~there)
            chance.append((left, beside * there, moved(shapes), moved(light)))
    if len(chance) < MIN_PLACES:
        return None
    by_chance = np.array([_gains(*place) for place in chance])
    gain_err = np.sqrt(n) * by_chance.std()
    if gain - n * by_chance.mean() < NEEDED * gain_err:
        return None
    strengths, shape, err = _varying_most(values, weights, t, outline)
    factors, norms = factors_of(departures, weights_there * outline, shapes, light)
    noise = np.sqrt(np.mean([factor**2 * norm for factor, norm in (factors_of(*place) for place in chance)]))
    # A frame's departure from the line of the others is that from the line of all over what the line of all follows.
    design = np.column_stack([np.ones(n), t])
    scales = (1 - np.diag(design @ np.linalg.pinv(design))) * np.sum(shapes * shape, axis=(1, 2)) / np.sum(shape**2)
    if _least_without(_groups(fields), factors * scales, np.abs(scales) * noise / np.sqrt(norms), t) < SHOWN:
        return None
    return SecondLight(
        light=shape,
        strengths=strengths,
        strength_err=np.full(n, np.inf),
        slope=shape,
        slope_err=err,
        gain=float(gain),
        gain_err=float(gain_err),
    )


def _weights(regression):
    """Weights of all boxes but those that differ from their neighbours: what is wider may be light."""
    model = regression.mean + (regression.strengths - 1)[:, None, None] * np.nan_to_num(regression.slope)
    sigma = regression.scatter[:, None, None]
    seen = (regression.values != 0) & np.isfinite(model)
    residual = np.where(seen, regression.values - model, 0.0)
    alike = np.abs(residual - median_filter(residual, (1, 3, 3))) < OUTLIER * sigma
    return np.where(seen & alike, 1 / sigma**2, 0.0)


def _varying_most(values, weights, t, outline):
    """What varies most beside lines against ``t``: strengths, the shape, smoothed, and the error of a box.

    Which sign is which nothing tells; the shape is the one that is light on the whole.
    Alternating least squares, which start at the principal component of medians over 3 x 3 boxes.
    """
    rows, columns = (slice(at.min(), at.max() + 1) for at in np.nonzero(outline))
    part = np.s_[:, rows, columns]
    values, weights, inside = values[part], weights[part], outline[rows, columns]
    level, slope, _, _ = lines(values, weights, t)
    residual = np.where((weights > 0) & np.isfinite(slope), values - level - t[:, None, None] * slope, 0.0)
    blurred = (median_filter(residual, (1, 3, 3)) * np.sqrt(weights))[:, inside]
    strengths = np.linalg.eigh(blurred @ blurred.T)[1][:, -1]
    for _ in range(ROUNDS):
        strengths = (strengths - strengths.mean()) / max(strengths.std(), TINY)
        _, (second, err) = planes(values, weights, t, strengths)
        shape = np.where(inside, denoised(second, err), 0.0)
        last, (strengths, _) = strengths, factors_of(residual, weights, shape)
    sign = 1.0 if shape.sum() >= 0 else -1.0
    whole, whole_err = np.zeros(outline.shape), np.full(outline.shape, np.nan)
    whole[rows, columns], whole_err[rows, columns] = sign * shape, err
    return sign * last, whole, whole_err


def _held_out(values, weights, t, outline, index):
    """What varies most in the other frames, how one departs from their lines, and the weights of that: meshes."""
    kept = np.arange(len(values)) != index
    _, shape, _ = _varying_most(values[kept], weights[kept], t[kept], outline)
    level, _, level_err, _ = lines(values[kept], weights[kept], t[kept] - t[index])
    known = (weights[index] > 0) & np.isfinite(level_err)
    with np.errstate(divide="ignore"):
        variance = 1 / weights[index] + level_err**2
    return shape, np.where(known, values[index] - level, 0.0), np.where(known, 1 / variance, 0.0)


def _gains(departures, weights, shapes, light):
    """What chi-squared of each frame loses when the factor of its shape in one half of the boxes predicts the other."""
    (one, of_one), (other, of_other) = (
        factors_of(departures, weights * half, shapes, light) for half in halves(light.shape)
    )
    return of_other * (2 * one * other - one**2) + of_one * (2 * one * other - other**2)


def _elsewhere(outline):
    """Functions that mirror and move meshes of the shape of ``outline``, also stacks of them."""
    steps = [size / PLACES for size in outline.shape]
    for down, across in np.ndindex(PLACES, PLACES):
        by = round(down * steps[0]), round(across * steps[1])
        for flip in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            yield lambda mesh, by=by, flip=flip: np.roll(mesh[..., :: flip[0], :: flip[1]], by, axis=(-2, -1))


def _groups(fields):
    """The frames that may have light of their own: any two, and those of each field if there are several."""
    several = np.unique(fields) if np.ptp(fields) else ()
    return [*combinations(range(len(fields)), 2), *(np.flatnonzero(fields == field) for field in several)]


def _least_without(groups, strengths, err, t):
    """The least chi-squared of strengths about a line against ``t``, of all frames but those of one of the groups."""
    design = np.column_stack([np.ones(len(t)), t]) / err[:, None]
    scaled = strengths / err
    least = np.inf
    for group in groups:
        kept = np.delete(np.arange(len(t)), group)
        line = np.linalg.lstsq(design[kept], scaled[kept], rcond=None)[0]
        least = min(least, np.sum((scaled[kept] - design[kept] @ line) ** 2))
    return least
