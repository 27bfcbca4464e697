"""What keeps a stack from depending on which frames happen to be masked where."""

import numpy as np
from attrs import frozen
from scipy.ndimage import distance_transform_edt, label

from nircam_flats._fields import HoldsArrays, image
from nircam_flats.instrument.detector import N_AMPLIFIERS
from nircam_flats.kernels import fill_mesh
from nircam_flats.parallel import map_ordered
from nircam_flats.skyflat.meshes import median_of_frames, smoothed

__all__ = ["FrameBalance", "balance_meshes", "filter_ratios", "stripe_medians"]

ITERATIONS = 20
CLIPS = 3
SMALLEST_OBJECT = 2.5
"""Radius in boxes from which on a masked object is taken to have faint light around it."""


@frozen(kw_only=True, eq=False)
class FrameBalance(HoldsArrays):
    """What is taken out of one frame before it is combined with the others.

    Attributes
    ----------
    divisor
        Mesh (boxes of 32 px, to be interpolated) that divides the frame, shape (boxes in y, boxes in x).
    stripes
        The part of it that is broad 1/f stripes along the rows, a mesh, relative to the level of the frame. It is noise
        of the frame, which the stack keeps as a mean over the frames that show it; where they are few it is enlarged to
        what it is in a mean over all.
    """

    divisor: np.ndarray = image()
    stripes: np.ndarray = image()


def balance_meshes(meshes, names):
    """Return the `FrameBalance` of each frame, a list.

    Frames are modelled as ``M_j(box) = s_j (1 + t_j(row, amplifier)) (1 + h_j H_j(box)) F_f(box)``: a scale for each
    frame, a stripe for each row of boxes and amplifier, the light around what is masked in it, and a map for each
    filter, solved in turns over the boxes that are not masked. Frame j is divided by all of it but F_f, of which only
    P_f stays, the smooth ratio of its filter's map to the mean map of all frames. So where large objects are masked,
    what is left still stands for all frames: neither small differences of their sky levels, nor the broad stripes of
    their 1/f noise, nor the faint light around the objects, nor the filter that most of them happen to be of leave a
    step in the stack.

    Parameters
    ----------
    meshes
        Box medians of the frames, shape (n, boxes in y, boxes in x); NaN where masked.
    names
        Name of the filter of each frame.
    """
    names = np.array(names)
    scales, stripes, maps = np.ones(meshes.shape), np.zeros(meshes.shape), {}
    filters = np.unique(names)
    solved = map_ordered(_solve, [meshes[names == name] for name in filters])
    for name, solution in zip(filters, solved, strict=True):
        maps[name], scales[names == name], stripes[names == name] = solution
    ratios = filter_ratios(maps, names)
    return [
        FrameBalance(divisor=scale * ratios[name], stripes=stripe)
        for name, scale, stripe in zip(names, scales, stripes, strict=True)
    ]


def filter_ratios(maps, names):
    """Return what each filter shows on large scales beyond the mean of all frames, P_f, a dict of meshes by its name.

    ``maps`` holds the mesh that the frames of each filter share, ``names`` the filter of each frame.
    """
    mean = sum(np.sum(names == name) * item for name, item in maps.items()) / len(names)
    return {name: _smooth_ratio(item, mean) for name, item in maps.items()}


def _solve(meshes):
    """Return the map that the frames of one filter share, what else is in each frame, and the pull of its stripes.

    Where no box of any frame is seen, there is nothing to balance.
    """
    if not np.isfinite(meshes).any():
        return np.ones(meshes.shape[1:]), np.ones(meshes.shape), np.zeros(meshes.shape)
    shapes = np.stack([_halo_shape(mesh) for mesh in meshes])
    scales, halos = np.ones(meshes.shape), np.ones(meshes.shape)
    for _ in range(ITERATIONS):
        common = median_of_frames(meshes / (scales * halos))
        common /= np.nanmedian(common)
        levels, rows, amplifiers = _stripes(meshes / (common * halos))
        levels = np.where(np.isnan(levels), 1.0, levels)  # of a frame that is masked as a whole
        # What the frames that show a stripe have on average belongs to the map.
        rows, amplifiers = _about_mean(rows / levels), _about_mean(amplifiers / np.where(np.isnan(rows), levels, rows))
        scales = levels * np.where(np.isnan(rows), 1, rows) * np.where(np.isnan(amplifiers), 1, amplifiers)
        halos = 1 + _halo_heights(meshes / (common * scales) - 1, shapes) * shapes
    return common, scales * halos, _pull_of(rows) + _pull_of(amplifiers)


def _about_mean(ratios):
    """Ratios over their mean over the frames that have one."""
    counts = np.isfinite(ratios).sum(axis=0)
    return ratios / (np.nansum(ratios, axis=0) / np.maximum(counts, 1))


def _pull_of(ratios):
    """Departures of the ratios from 1, as large as they must be if the mean of all frames is to err as that of few.

    The mean of k values has the variance ``sum(departure^2) / (k (k - 1))``.
    """
    n, k = len(ratios), np.maximum(np.isfinite(ratios).sum(axis=0), 2)
    return np.nan_to_num(ratios - 1) * np.sqrt(n * max(n - 1, 1) / (k * (k - 1)))


def _halo_shape(mesh):
    """How light around the masked objects fades: the sum over them of ``(1 + distance / radius)^-2``, a mesh.

    Distances are from the edge of the object, radii those of a circle of its area; objects that hide a few boxes only
    leave nothing that a box would show.
    """
    labels, n_groups = label(np.isnan(mesh), structure=np.ones((3, 3)))
    radii = np.sqrt(np.bincount(labels.ravel(), minlength=n_groups + 1) / np.pi)
    large = [group for group in range(1, n_groups + 1) if radii[group] >= SMALLEST_OBJECT]
    return sum(
        ((1 + distance_transform_edt(labels != group) / radii[group]) ** -2.0 for group in large), np.zeros(mesh.shape)
    )


def _halo_heights(excess, shapes):
    """Height of the light around the objects of each frame, by least squares against its shape and a constant.

    Not negative; shape (n, 1, 1).
    """
    used = np.isfinite(excess).astype(float)
    excess = np.where(used, excess, 0)
    heights = np.zeros((len(excess), 1, 1))
    for _ in range(CLIPS):
        mean_shape, mean_excess = _mean(shapes, used), _mean(excess, used)
        variance = _mean((shapes - mean_shape) ** 2, used)
        covariance = _mean((shapes - mean_shape) * (excess - mean_excess), used)
        heights = np.divide(covariance, variance, out=np.zeros_like(variance), where=variance > 0)
        departure = np.abs(excess - mean_excess - heights * (shapes - mean_shape))
        scatter = np.sqrt(_mean((departure - _mean(departure, used)) ** 2, used))
        used *= departure <= 3 * scatter
    return np.maximum(heights, 0)


def _mean(values, used):
    """Mean of the used values (1, others are 0) of each frame, shape (n, 1, 1)."""
    total = np.einsum("jyx,jyx->j", values, used) / np.maximum(used.sum(axis=(1, 2)), 1)
    return total[:, None, None]


def stripe_medians(meshes):
    """Median of each row of boxes within each amplifier, for each frame.

    Of the row in all amplifiers where half of the boxes are masked, and of the whole frame where three quarters are.
    """
    levels, rows, amplifiers = _stripes(meshes)
    rows = np.where(np.isnan(rows), levels, rows)
    return np.where(np.isnan(amplifiers), rows, amplifiers)


def _stripes(meshes):
    """Medians of each frame, of each of its rows of boxes, and of each row within each amplifier; NaN where too few.

    Shapes (n, 1, 1), (n, boxes in y, 1) and that of ``meshes``.
    """
    n, _, nx = meshes.shape
    levels = _row_medians(meshes.reshape(n, 1, -1), 1)
    rows = _row_medians(meshes, max(4, nx / 4))
    parts = [part for part in np.array_split(meshes, N_AMPLIFIERS, axis=2) if part.size]
    medians = [_row_medians(part, max(4, part.shape[2] / 2)) for part in parts]
    return levels, rows, np.repeat(np.concatenate(medians, axis=2), [part.shape[2] for part in parts], axis=2)


def _row_medians(meshes, least):
    """Median of each row, ignoring NaN, shape (n, rows, 1); NaN where fewer than ``least`` boxes are seen."""
    enough = np.isfinite(meshes).sum(axis=2, keepdims=True) >= least
    return np.where(enough, median_of_frames(np.moveaxis(meshes, 2, 0))[..., None], np.nan)


def _smooth_ratio(item, mean):
    """It has no median of its own: what is divided by it has the level of the mean map, in all filters the same."""
    size = max(3, min(item.shape) // 9 | 1)  # 7 boxes of the 64 of a full frame
    ratio = fill_mesh(smoothed(item / mean, size))
    return np.ones_like(ratio) if np.isnan(ratio).all() else ratio
