"""Low-resolution meshes of an image: clipped medians of boxes, and the smooth image that a mesh stands for."""

from functools import cache

import numpy as np
from scipy.ndimage import distance_transform_edt, spline_filter1d, zoom
from scipy.signal import fftconvolve

from nircam_flats.kernels._njit import njit
from nircam_flats.kernels.clipping import clip_values, take_finite

__all__ = [
    "autocorrelated",
    "box_means",
    "box_medians",
    "box_sums",
    "expand_mesh",
    "fill_mesh",
    "mesh_range",
    "peak_to_peak",
    "project_mesh",
    "repeat_mesh",
]


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
    medians, stds = np.empty((my, mx), np.float32), np.empty((my, mx), np.float32)
    kept = np.empty((my, mx), np.int32)
    data = np.asarray(data, np.float32)
    _box_medians(data, box_size, n_sigma, max_iterations, min_fraction, medians, stds, kept)
    return medians, stds, kept


@njit(nogil=True, cache=True)
def _box_medians(data, box_size, n_sigma, max_iterations, min_fraction, medians, stds, kept):
    size = min(box_size, data.shape[0]) * min(box_size, data.shape[1])
    buffer, ordered, bins = np.empty(size + 1, np.float32), np.empty(size, np.float32), np.empty(size, np.int16)
    for j in range(medians.shape[0]):
        for i in range(medians.shape[1]):
            box = data[j * box_size : (j + 1) * box_size, i * box_size : (i + 1) * box_size]
            n = 0
            for row in box:
                n = take_finite(row, buffer, n)
            low, high, median, _, std = clip_values(buffer[:n], ordered, bins, n_sigma, max_iterations)
            enough = n >= max(1.0, min_fraction * box.size)
            medians[j, i] = median if enough else np.nan
            stds[j, i] = std if enough else np.nan
            kept[j, i] = high - low


def mesh_range(mesh):
    """Return the largest minus the smallest value of a mesh, ignoring NaN; NaN where there is no value."""
    return float(np.nanmax(mesh) - np.nanmin(mesh)) if np.isfinite(mesh).any() else np.nan


def peak_to_peak(image, good, box_size=64):
    """Return the large-scale range of an image: largest minus smallest of the medians of boxes.

    Of a flat it is how much the flat varies; of found / true, the large-scale error of what was found.

    Parameters
    ----------
    image
        Image ``[y, x]``, about 1.
    good
        Boolean image of the pixels that count.
    box_size
        Side of the boxes, pixels. Medians are sigma-clipped; boxes with less than 10 % good pixels do not count.
    """
    return mesh_range(box_medians(np.where(good, image, np.float32(np.nan)), box_size)[0])


def box_means(data, box_size):
    """Return the mean of each box of an image, float32; the boxes are those of `box_medians`.

    NaN where any pixel is. The mean of a boolean image is the fraction that is True.
    """
    data = data.view(np.uint8) if data.dtype == bool else data
    means = np.empty([-(-n // box_size) for n in data.shape], np.float32)
    _box_means(data, box_size, means)
    return means


@njit(nogil=True, cache=True, fastmath={"reassoc"})
def _box_means(data, box_size, means):
    for j in range(means.shape[0]):
        for i in range(means.shape[1]):
            box = data[j * box_size : (j + 1) * box_size, i * box_size : (i + 1) * box_size]
            total = 0.0
            for row in box:
                part = np.float32(0)
                for value in row:
                    part += np.float32(value)
                total += part  # type: ignore[assignment]
            means[j, i] = total / box.size


def box_sums(image, box_size):
    """Return the sum over each box of an image; the boxes are those of `box_medians`."""
    starts = [np.arange(0, n, box_size) for n in image.shape]
    return np.add.reduceat(np.add.reduceat(image, starts[0], axis=0), starts[1], axis=1)


def autocorrelated(mesh):
    """Return the sums of the products of all pairs of values, by distance (0 in the middle), (2 ny - 1, 2 nx - 1)."""
    return fftconvolve(mesh, mesh[::-1, ::-1])


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
    weights = np.stack([(1 - t) ** 3, 4 - 3 * t**2 * (2 - t), 4 - 3 * (1 - t) ** 2 * (1 + t), t**3]) / 6
    return first + 1, weights.astype(np.float32)


@njit(nogil=True, cache=True, fastmath={"nsz", "contract", "reassoc"})
def _expand(coefficients, first_y, weights_y, first_x, weights_x, out):
    lines = np.empty((coefficients.shape[0], out.shape[1]), np.float32)
    for j in range(first_y[0], first_y[-1] + 4):
        for x in range(out.shape[1]):
            i = first_x[x]
            lines[j, x] = (
                weights_x[0, x] * coefficients[j, i]
                + weights_x[1, x] * coefficients[j, i + 1]
                + weights_x[2, x] * coefficients[j, i + 2]
                + weights_x[3, x] * coefficients[j, i + 3]
            )
    for y in range(out.shape[0]):
        a, b, c, d = lines[first_y[y]], lines[first_y[y] + 1], lines[first_y[y] + 2], lines[first_y[y] + 3]
        row, w0, w1, w2, w3 = out[y], weights_y[0, y], weights_y[1, y], weights_y[2, y], weights_y[3, y]
        for x in range(row.size):
            row[x] = w0 * a[x] + w1 * b[x] + w2 * c[x] + w3 * d[x]


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
    first_y, weights_y = first_y[rows], weights_y[:, rows]
    out = np.empty((len(first_y), shape[1]), np.float32)
    if len(first_y):
        _expand(coefficients, first_y, weights_y, first_x, weights_x, out)
    return out


def repeat_mesh(mesh, box_size, shape, *, rows=slice(None)):
    """Return the image of ``shape`` in which each box has the value of ``mesh``; ``rows`` selects rows of the image."""
    lines = mesh[np.arange(shape[0])[rows] // box_size]
    return lines.repeat(box_size, axis=1)[:, : shape[1]]


def project_mesh(weights, box_size):
    """Return the mesh ``p`` with ``sum(p * mesh) == sum(weights * expand_mesh(mesh, box_size, weights.shape))``.

    The adjoint of `expand_mesh`: a weighted sum over an interpolated image, taken without making the image. float64.
    """
    ny, nx = weights.shape
    y, x = (_spline_matrix(-(-n // box_size), box_size, n) for n in (ny, nx))
    return y.T @ weights @ x
