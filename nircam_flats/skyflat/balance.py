"""What keeps a stack from depending on which frames happen to be masked where."""

import numpy as np
from attrs import frozen

from nircam_flats._fields import HoldsArrays, image
from nircam_flats.kernels import fill_mesh
from nircam_flats.skyflat.meshes import median_of_frames, smoothed

__all__ = ["FrameBalance", "balance_meshes"]

ITERATIONS = 5


@frozen(kw_only=True, eq=False)
class FrameBalance(HoldsArrays):
    """What is taken out of one frame before it is combined with the others.

    Attributes
    ----------
    divisor
        Mesh (boxes of 32 px, to be interpolated) that divides the frame, shape (boxes in y, boxes in x).
    stripes
        The part of it that is broad 1/f stripes along the rows, relative to the level of the frame, shape
        (boxes in y,). It is noise of the frame, which the stack keeps as a mean over all frames.
    """

    divisor: np.ndarray = image()
    stripes: np.ndarray = image(ndim=1, follows_shape=False)


def balance_meshes(meshes, names):
    """Return the `FrameBalance` of each frame, a list.

    Frames are modelled as ``M_j(box) = s_j(row) F_f(box)``: a scale for each row of boxes of a frame and a map for each
    filter, solved by medians in turns over the boxes that are not masked. Frame j is divided by ``s_j(row) P_f(box)``,
    where P_f is the smooth ratio of its filter's map to the mean map of all frames. So where large objects are masked,
    what is left still stands for all frames: neither small differences of their sky levels, nor the broad stripes of
    their 1/f noise, nor the filter that most of them happen to be of leave a step in the stack.

    Parameters
    ----------
    meshes
        Box medians of the frames, shape (n, boxes in y, boxes in x); NaN where masked.
    names
        Name of the filter of each frame.
    """
    names = np.array(names)
    levels, stripes, maps, weights = np.ones(len(names)), np.zeros(meshes.shape[:2]), {}, {}
    for name in np.unique(names):
        chosen = names == name
        maps[name], levels[chosen], stripes[chosen] = _solve(meshes[chosen])
        weights[name] = chosen.sum()
    mean = sum(weights[name] * item for name, item in maps.items()) / len(names)
    ratios = {name: _smooth_ratio(item, mean) for name, item in maps.items()}
    return [
        FrameBalance(divisor=level * (1 + rows[:, None]) * ratios[name], stripes=rows)
        for name, level, rows in zip(names, levels, stripes, strict=True)
    ]


def _solve(meshes):
    """Return the map that the frames of one filter share, their levels, and their stripes relative to the level."""
    scales = np.ones(meshes.shape[:2])
    for _ in range(ITERATIONS):
        common = median_of_frames(meshes / scales[:, :, None])
        common /= np.nanmedian(common)
        scales = np.stack([_row_scales(mesh / common) for mesh in meshes])
        levels = np.median(scales, axis=1, keepdims=True)
        scales /= np.mean(scales / levels, axis=0)  # stripes that the frames have on average belong to the map
        levels = np.median(scales, axis=1)
    return common, levels, scales / levels[:, None] - 1


def _row_scales(ratio):
    """Median of each row of boxes; of the whole frame where less than a quarter of a row is left."""
    seen = np.isfinite(ratio)
    if not seen.any():
        return np.ones(len(ratio))
    enough = seen.sum(axis=1) >= max(4, ratio.shape[1] // 4)
    whole = np.median(ratio[seen])
    return np.array([np.median(row[ok]) if use else whole for row, ok, use in zip(ratio, seen, enough, strict=True)])


def _smooth_ratio(item, mean):
    size = max(3, min(item.shape) // 9 | 1)  # 7 boxes of the 64 of a full frame
    ratio = fill_mesh(smoothed(item / mean, size))
    return np.ones_like(ratio) if np.isnan(ratio).all() else ratio / np.median(ratio)
