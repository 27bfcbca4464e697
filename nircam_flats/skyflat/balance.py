"""What keeps a stack from depending on which frames happen to be masked where."""

import numpy as np
from attrs import frozen

from nircam_flats._fields import HoldsArrays, image
from nircam_flats.kernels import fill_mesh
from nircam_flats.skyflat.meshes import median_of_frames, smoothed

__all__ = ["FrameBalance", "balance_meshes"]

ITERATIONS = 5
N_AMPLIFIERS = 4
"""A full frame is read by four amplifiers, each a quarter of the columns, which share part of their 1/f noise."""


@frozen(kw_only=True, eq=False)
class FrameBalance(HoldsArrays):
    """What is taken out of one frame before it is combined with the others.

    Attributes
    ----------
    divisor
        Mesh (boxes of 32 px, to be interpolated) that divides the frame, shape (boxes in y, boxes in x).
    stripes
        The part of it that is broad 1/f stripes along the rows, a mesh, relative to the level of the frame. It is noise
        of the frame, which the stack keeps as a mean over all frames.
    """

    divisor: np.ndarray = image()
    stripes: np.ndarray = image()


def balance_meshes(meshes, names):
    """Return the `FrameBalance` of each frame, a list.

    Frames are modelled as ``M_j(box) = s_j (1 + t_j(row, amplifier)) F_f(box)``: a scale for each frame, a stripe for
    each row of boxes and amplifier, and a map for each filter, solved by medians in turns over the boxes that are not
    masked. Frame j is divided by ``s_j (1 + t_j) P_f(box)``, where P_f is the smooth ratio of its filter's map to the
    mean map of all frames. So where large objects are masked, what is left still stands for all frames: neither small
    differences of their sky levels, nor the broad stripes of their 1/f noise, nor the filter that most of them happen
    to be of leave a step in the stack.

    Parameters
    ----------
    meshes
        Box medians of the frames, shape (n, boxes in y, boxes in x); NaN where masked.
    names
        Name of the filter of each frame.
    """
    names = np.array(names)
    levels, stripes, maps, weights = np.ones(len(names)), np.zeros(meshes.shape), {}, {}
    for name in np.unique(names):
        chosen = names == name
        maps[name], levels[chosen], stripes[chosen] = _solve(meshes[chosen])
        weights[name] = chosen.sum()
    mean = sum(weights[name] * item for name, item in maps.items()) / len(names)
    ratios = {name: _smooth_ratio(item, mean) for name, item in maps.items()}
    return [
        FrameBalance(divisor=level * (1 + mesh) * ratios[name], stripes=mesh)
        for name, level, mesh in zip(names, levels, stripes, strict=True)
    ]


def _solve(meshes):
    """Return the map that the frames of one filter share, their levels, and their stripes relative to the level."""
    scales = np.ones(meshes.shape)
    for _ in range(ITERATIONS):
        common = median_of_frames(meshes / scales)
        common /= np.nanmedian(common)
        scales = np.stack([_stripe_scales(mesh / common) for mesh in meshes])
        levels = np.median(scales, axis=(1, 2), keepdims=True)
        scales /= np.mean(scales / levels, axis=0)  # stripes that the frames have on average belong to the map
    levels = np.median(scales, axis=(1, 2), keepdims=True)
    return common, levels.ravel(), scales / levels - 1


def _stripe_scales(ratio):
    """Median of each row of boxes within each amplifier, a mesh.

    Of the row in all amplifiers where half of the boxes are masked, and of the whole frame where three quarters are.
    """
    if not np.isfinite(ratio).any():
        return np.ones_like(ratio)
    whole = np.full(len(ratio), np.nanmedian(ratio))
    rows = _row_medians(ratio, whole, len(ratio.T) / 4)
    amplifiers = [part for part in np.array_split(ratio, N_AMPLIFIERS, axis=1) if part.size]
    medians = [_row_medians(part, rows, len(part.T) / 2) for part in amplifiers]
    return np.repeat(medians, [len(part.T) for part in amplifiers], axis=0).T


def _row_medians(ratio, otherwise, least):
    """Median of each row, ignoring NaN; ``otherwise`` where fewer than ``least`` boxes, or than 4, are seen."""
    enough = np.isfinite(ratio).sum(axis=1) >= max(4, least)
    return np.where(enough, median_of_frames(ratio.T), otherwise)


def _smooth_ratio(item, mean):
    size = max(3, min(item.shape) // 9 | 1)  # 7 boxes of the 64 of a full frame
    ratio = fill_mesh(smoothed(item / mean, size))
    return np.ones_like(ratio) if np.isnan(ratio).all() else ratio / np.median(ratio)
