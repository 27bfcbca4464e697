"""What keeps a stack from depending on which frames happen to be masked where."""

import numpy as np

from nircam_flats.kernels import fill_mesh
from nircam_flats.skyflat.meshes import median_of_frames, smoothed

__all__ = ["balance_meshes"]

ITERATIONS = 5


def balance_meshes(meshes, names):
    """Return for each frame the mesh that divides it before combination, float32, shape (n, boxes in y, boxes in x).

    Frames are modelled as ``M_j(box) = s_j F_f(box)``: a scale for each frame and a map for each filter, solved by
    medians in turns over the boxes that are not masked. The mesh of frame j is ``s_j P_f(box)``, where P_f is the
    smooth ratio of its filter's map to the mean map of all frames. So where large objects are masked, what is left
    still stands for all frames: neither small differences of their sky levels nor the filter that most of them
    happen to be of leave a step in the stack.

    Parameters
    ----------
    meshes
        Box medians of the frames, shape (n, boxes in y, boxes in x); NaN where masked.
    names
        Name of the filter of each frame.
    """
    names = np.array(names)
    scales, maps, weights = np.ones(len(names)), {}, {}
    for name in np.unique(names):
        chosen = names == name
        maps[name], scales[chosen] = _map_and_scales(meshes[chosen])
        weights[name] = chosen.sum()
    mean = sum(weights[name] * item for name, item in maps.items()) / len(names)
    ratios = {name: _smooth_ratio(item, mean) for name, item in maps.items()}
    return np.stack([scale * ratios[name] for name, scale in zip(names, scales, strict=True)]).astype(np.float32)


def _map_and_scales(meshes):
    scales = np.ones(len(meshes))
    for _ in range(ITERATIONS):
        common = median_of_frames(meshes / scales[:, None, None])
        common /= np.nanmedian(common)
        ratios = meshes / common
        scales = np.array([np.nanmedian(item) if np.isfinite(item).any() else 1.0 for item in ratios])
    return common, scales


def _smooth_ratio(item, mean):
    size = max(3, min(item.shape) // 9 | 1)  # 7 boxes of the 64 of a full frame
    ratio = fill_mesh(smoothed(item / mean, size))
    return np.ones_like(ratio) if np.isnan(ratio).all() else ratio / np.median(ratio)
