"""Statistics over the low-resolution meshes of many frames, which have gaps where frames are masked."""

import numpy as np
from scipy import sparse
from scipy.ndimage import uniform_filter

from nircam_flats.kernels import box_medians

__all__ = [
    "MESH_BOX",
    "WHITE_OF_MEDIAN",
    "box_size_for",
    "centre_values",
    "laplacian",
    "lower_quartile_of_frames",
    "median_of_frames",
    "smoothed",
    "white_variance_of_medians",
]

MESH_BOX = 32
"""Side of the boxes of the meshes that frames and products are reduced to, pixels."""
WHITE_OF_MEDIAN = np.pi / 2 - 1
"""What the median of many values has more of white variance than their mean, whose variance the influences tell."""


def white_variance_of_medians(err):
    """White variance that medians of boxes have beyond that of means, from the errors of the pixels, an image."""
    errors, _, kept = box_medians(err, MESH_BOX)
    return WHITE_OF_MEDIAN * errors.astype(float) ** 2 / np.maximum(kept, 1)


def box_size_for(shape):
    """Side of the boxes that resolve frames of ``shape``: `MESH_BOX` for full frames, 1/32 of small ones."""
    return int(np.clip(2 ** int(np.log2(max(min(shape) // 32, 4))), 4, MESH_BOX))


def centre_values(means):
    """Return the values at the centres of boxes of a smooth image that has these means in them.

    A mean differs from the value at the centre by ``side**2 / 24`` times the second derivatives, which are taken from
    the neighbours: Taylor's series to the third order. An image interpolated between the means themselves would be too
    flat on the scale of a few boxes.
    """
    values = means
    for axis in (0, 1):
        padding = [(1, 1) if one == axis else (0, 0) for one in (0, 1)]
        values = values - np.diff(np.pad(values, padding, mode="edge"), 2, axis=axis) / 24
    return values


def laplacian(shape):
    """Sparse matrix by which each value of a mesh of ``shape`` becomes the sum of what it exceeds its neighbours by."""

    def of_line(n):
        steps = sparse.diags([np.ones(n - 1), -np.ones(n - 1)], [1, 0], shape=(n - 1, n))
        return steps.T @ steps

    down, across = (of_line(n) for n in shape)
    return sparse.kron(down, sparse.eye(shape[1])) + sparse.kron(sparse.eye(shape[0]), across)


def median_of_frames(meshes):
    """Median over the first axis, ignoring NaN; NaN where no frame has a value."""
    ordered = np.sort(meshes, axis=0)  # NaN last
    n = np.isfinite(meshes).sum(axis=0)[None]
    low = np.take_along_axis(ordered, np.maximum(n - 1, 0) // 2, axis=0)[0]
    high = np.take_along_axis(ordered, np.minimum(n // 2, len(meshes) - 1), axis=0)[0]
    return np.where(n[0] > 0, (low + high) / 2, np.nan)


def lower_quartile_of_frames(meshes):
    """Lower quartile over the first axis, ignoring NaN; NaN where no frame has a value."""
    n = np.isfinite(meshes).sum(axis=0)[None]
    return np.take_along_axis(np.sort(meshes, axis=0), np.maximum(n - 1, 0) // 4, axis=0)[0]


def smoothed(mesh, size):
    """Mean over ``size`` x ``size`` boxes, ignoring NaN; NaN where fewer than a fifth of them have a value."""
    finite = np.isfinite(mesh)
    weight = uniform_filter(finite.astype(float), size, mode="constant")
    total = uniform_filter(np.where(finite, mesh, 0.0), size, mode="constant")
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weight > 0.2, total / weight, np.nan)
