"""Low-resolution meshes of an image: clipped medians of boxes, and the smooth image that a mesh stands for."""

from functools import cache

import numpy as np
from scipy.ndimage import distance_transform_edt, spline_filter1d, zoom

from nircam_flats.kernels._njit import njit
from nircam_flats.kernels.clipping import clip_sorted_rows

__all__ = ["box_medians", "expand_mesh", "fill_mesh", "project_mesh"]


def box_medians(data, box_size, *, n_sigma=3.0, max_iterations=5, min_fraction=0.1):
    """Return the clipped median of each box of an image.

    Parameters
    ----------
    data
        Image ``[y, x]``; values that are not finite are ignored.
    box_size
        Side of the square boxes, pixels. The boxes start at pixel (0, 0); the last ones may be cut by the edge.
    n_sigma, max_iterations
        As in `~nircam_flats.kernels.clipping.clip_sorted`; ``max_iterations=0`` clips nothing.
    min_fraction
        A box with a smaller fraction of finite pixels (of those inside the image) has no answer.

    Returns
    -------
    medians, stds, kept
        float32, float32 and int32, shape (ceil(ny / box_size), ceil(nx / box_size)); NaN where there is no answer.
    """
    ny, nx = data.shape
    my, mx = -(-ny // box_size), -(-nx // box_size)
    if (ny, nx) != (my * box_size, mx * box_size):
        data = np.pad(data, ((0, my * box_size - ny), (0, mx * box_size - nx)), constant_values=np.nan)
    boxes = data.reshape(my, box_size, mx, box_size).swapaxes(1, 2).reshape(my * mx, box_size**2)
    if boxes.dtype != np.float32 or np.may_share_memory(boxes, data):  # a view, if boxes are as wide as the image
        boxes = boxes.astype(np.float32)
    finite = np.isfinite(boxes)
    boxes[~finite] = np.inf
    counts = finite.sum(axis=1)
    boxes.sort(axis=1)
    medians, stds, kept = clip_sorted_rows(boxes, counts, n_sigma, max_iterations)
    heights, widths = (np.minimum(box_size, n - box_size * np.arange(m)) for n, m in ((ny, my), (nx, mx)))
    poor = counts < np.maximum(1, min_fraction * np.outer(heights, widths).ravel())
    medians[poor], stds[poor] = np.nan, np.nan
    return medians.reshape(my, mx), stds.reshape(my, mx), kept.reshape(my, mx)


def fill_mesh(mesh):
    """Return ``mesh`` with each NaN replaced by the nearest value; a mesh with no value comes back as it is."""
    missing = np.isnan(mesh)
    if not missing.any() or missing.all():
        return mesh
    nearest = distance_transform_edt(missing, return_distances=False, return_indices=True)
    return mesh[tuple(nearest)]


@cache
def _spline_matrix(n, box_size, length):
    """Matrix that turns ``n`` values at box centres into ``length`` values at pixels by a cubic spline, float64."""
    if n == 1:
        return np.ones((length, 1))
    return zoom(np.eye(n), (box_size, 1), order=min(3, n - 1), mode="reflect", grid_mode=True)[:length]


@cache
def _taps(n, box_size, length):
    """First index and four weights, for each pixel, of the spline coefficients of ``n`` values at box centres.

    Coefficients are extended by reflection: two before the first, two after the last.
    """
    position = (np.arange(length) + 0.5) / box_size - 0.5
    first = np.floor(position).astype(np.int64)
    t = position - first
    weights = np.stack([(1 - t) ** 3, 4 - 3 * t**2 * (2 - t), 4 - 3 * (1 - t) ** 2 * (1 + t), t**3], axis=1) / 6
    return first + 1, weights.astype(np.float32)


@njit(nogil=True, cache=True, fastmath={"nsz", "contract", "reassoc"})
def _expand(coefficients, first_y, weights_y, first_x, weights_x, out):
    line = np.empty(coefficients.shape[1], np.float32)
    for y in range(out.shape[0]):
        j = first_y[y]
        for i in range(line.size):
            line[i] = (
                weights_y[y, 0] * coefficients[j, i]
                + weights_y[y, 1] * coefficients[j + 1, i]
                + weights_y[y, 2] * coefficients[j + 2, i]
                + weights_y[y, 3] * coefficients[j + 3, i]
            )
        for x in range(out.shape[1]):
            i = first_x[x]
            out[y, x] = (
                weights_x[x, 0] * line[i]
                + weights_x[x, 1] * line[i + 1]
                + weights_x[x, 2] * line[i + 2]
                + weights_x[x, 3] * line[i + 3]
            )


def expand_mesh(mesh, box_size, shape, *, rows=slice(None)):
    """Return the image of ``shape`` that interpolates ``mesh`` (values at box centres, no NaN) by cubic splines.

    The interpolation is that of photutils' ``Background2D`` (`scipy.ndimage.zoom`, reflected at the edges), one axis
    after the other, without a library of linear algebra: its threads would fight with those that call this. ``rows``
    selects rows of the image.
    """
    if min(mesh.shape) < 4:  # splines of lower order
        y, x = (_spline_matrix(n, box_size, length) for n, length in zip(mesh.shape, shape, strict=True))
        return (y[rows] @ mesh @ x.T).astype(np.float32)
    coefficients = np.asarray(mesh, np.float64)
    for axis in (0, 1):
        coefficients = spline_filter1d(coefficients, 3, axis=axis, mode="reflect")
    coefficients = np.pad(coefficients.astype(np.float32), 2, mode="symmetric")
    (first_y, weights_y), (first_x, weights_x) = (
        _taps(n, box_size, length) for n, length in zip(mesh.shape, shape, strict=True)
    )
    first_y, weights_y = first_y[rows], weights_y[rows]
    out = np.empty((len(first_y), shape[1]), np.float32)
    _expand(coefficients, first_y, weights_y, first_x, weights_x, out)
    return out


def project_mesh(weights, box_size):
    """Return the mesh ``p`` with ``sum(p * mesh) == sum(weights * expand_mesh(mesh, box_size, weights.shape))``.

    The adjoint of `expand_mesh`: a weighted sum over an interpolated image, taken without making the image. float64.
    """
    ny, nx = weights.shape
    y, x = (_spline_matrix(-(-n // box_size), box_size, n) for n in (ny, nx))
    return y.T @ weights @ x
