"""What keeps a stack from depending on which frames happen to be masked where."""

import numpy as np

from nircam_flats.kernels import fill_mesh
from nircam_flats.skyflat.meshes import median_of_frames, smoothed

__all__ = ["balance_meshes"]

ITERATIONS = 5


def balance_meshes(meshes, names):
    """Return for each frame the mesh that divides it before combination, float32, shape (n, boxes in y, boxes in x).

    Frames are modelled as ``M_j(box) = s_j(row) F_f(box)``: a scale for each row of boxes of a frame and a map for each
    filter, solved by medians in turns over the boxes that are not masked. The mesh of frame j is ``s_j(row) P_f(box)``,
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
    scales, maps, weights = np.ones((*meshes.shape[:2], 1)), {}, {}
    for name in np.unique(names):
        chosen = names == name
        maps[name], scales[chosen] = _map_and_scales(meshes[chosen])
        weights[name] = chosen.sum()
    mean = sum(weights[name] * item for name, item in maps.items()) / len(names)
    ratios = {name: _smooth_ratio(item, mean) for name, item in maps.items()}
    return np.stack([scale * ratios[name] for name, scale in zip(names, scales, strict=True)]).astype(np.float32)


def _map_and_scales(meshes):
    """Return the common map of the frames of one filter, and their scales by row of boxes, shape (n, boxes in y, 1)."""
    scales = np.ones((*meshes.shape[:2], 1))
    for _ in range(ITERATIONS):
        common = median_of_frames(meshes / scales)
        common /= np.nanmedian(common)
        scales = np.stack([_row_scales(mesh / common) for mesh in meshes])
        # Rows that all frames share belong to the map: on average over the frames a row has the scale of its frame.
        levels = np.median(scales, axis=1, keepdims=True)
        scales /= np.mean(scales / levels, axis=0)
    return common, scales


def _row_scales(ratio):
    """Median of each row of boxes; of the whole frame where less than a quarter of a row is left."""
    seen = np.isfinite(ratio)
    if not seen.any():
        return np.ones((len(ratio), 1))
    enough = seen.sum(axis=1) >= max(4, ratio.shape[1] // 4)
    whole = np.median(ratio[seen])
    rows = [np.median(row[ok]) if use else whole for row, ok, use in zip(ratio, seen, enough, strict=True)]
    return np.array(rows)[:, None]


def _smooth_ratio(item, mean):
    size = max(3, min(item.shape) // 9 | 1)  # 7 boxes of the 64 of a full frame
    ratio = fill_mesh(smoothed(item / mean, size))
    return np.ones_like(ratio) if np.isnan(ratio).all() else ratio / np.median(ratio)
