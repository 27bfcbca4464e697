"""The shape of a wisp, from a noisy picture of it: where it is, and how it looks as far as it stands out from noise."""

from functools import cache

import numpy as np
from scipy.ndimage import binary_fill_holes, binary_propagation, convolve, label, uniform_filter
from scipy.sparse.linalg import spsolve

from nircam_flats.exceptions import FitError
from nircam_flats.fit._planes import filled, noise_factors, power_gain, starlet
from nircam_flats.kernels import box_means, box_medians, expand_mesh, fill_mesh, grow, repeat_mesh
from nircam_flats.skyflat.meshes import box_size_for, laplacian

__all__ = ["find_outline", "smoothed_by_scale", "smoothed_mesh"]

N_SCALES = 4
"""Planes of structure 1, 2, 4, 8 px wide; what is wider always stays."""
FINEST = 2
"""Number of the first plane that may be light."""
N_SIGMA_PIXEL, BOX = 5.0, 16
WINDOW = 8
N_SIGMA = 3.0
N_SIGMA_SEED, N_SIGMA_EDGE, N_SIGMA_AGREED = 6.0, 2.0, 3.0
MIN_AREA = 0.002
"""Part of the frame that a wisp covers at least."""
MARGIN, LEAST_MARGIN = 1 / 32, 16
"""By how much of the frame, and how many pixels at least, the outline is grown: a wisp fades."""


def smoothed_by_scale(picture, err):
    """Return a picture smoothed where its noise demands it, its error, and its smoothest part alone.

    Structure of each width (4 and 8 px) is multiplied by the part of its local power that noise does not explain;
    wider structure stays as it is. Finer structure goes: scattered light has none, while the response of single pixels,
    in every exposure alike, would pull all strengths to that of the sky. For the same reason pixels that depart from
    their surroundings by more than 5 sigma are left out. They and NaN are filled from what is near; where no exposure
    saw anything, as where bright stars of all fields overlap, as a membrane hangs between the sides of the gap, and the
    error is by how much the nearest side differs from that.

    Parameters
    ----------
    picture, err
        float32 images, NaN where there is no value; the error of neighbouring pixels is independent.
    """
    good = np.isfinite(picture) & np.isfinite(err)
    boxes = box_medians(picture, BOX)[0]
    bridged = _bridged(boxes)
    around = expand_mesh(bridged, BOX, picture.shape)
    departure = picture - around
    with np.errstate(invalid="ignore"):
        good &= np.abs(departure) <= N_SIGMA_PIXEL * err
    picture = around + filled(departure, good)
    variance = filled(err**2, good)
    unsure = repeat_mesh(np.abs(bridged - fill_mesh(boxes)), BOX, picture.shape)
    planes = starlet(picture, N_SCALES)
    smooth = picture - sum(planes)
    result, passed = smooth.copy(), variance * np.float32(_rest_factor())
    for number, (plane, (factor, width)) in enumerate(zip(planes, noise_factors(N_SCALES), strict=True)):
        if number < FINEST:
            continue
        noise = factor * variance
        gain = np.clip(np.nan_to_num(power_gain(plane, noise, width, WINDOW * 2**number, N_SIGMA)), 0, 1)
        result += gain * plane
        passed += gain * noise
    return result, np.hypot(np.sqrt(passed), unsure), smooth


def _bridged(mesh):
    """Return a mesh with NaN replaced by values each of which is the mean of those beside it, as a membrane hangs.

    A plate, which keeps the slopes at the sides, goes astray with the halo of what the gap hides.
    """
    missing = np.isnan(mesh)
    if not missing.any() or missing.all():
        return mesh
    values, gap = mesh.ravel().copy(), missing.ravel()
    pull = laplacian(mesh.shape).tocsc()[gap]
    values[gap] = spsolve(pull[:, gap], -(pull[:, ~gap] @ values[~gap].astype(float)))
    return values.reshape(mesh.shape)


def _rest(image):
    return image - sum(starlet(image, N_SCALES))


@cache
def _rest_factor():
    """Power of white noise of variance 1 that is wider than all planes."""
    size = 2 ** (N_SCALES + 3) + 1
    impulse = np.zeros((size, size), np.float32)
    impulse[size // 2, size // 2] = 1
    return float(np.sum(_rest(impulse).astype(np.float64) ** 2))


def smoothed_mesh(mesh, box_size):
    """Return what `smoothed_by_scale` leaves of noise with these means in boxes, as means in boxes again."""
    return convolve(mesh, _mesh_kernel(box_size), mode="nearest")


@cache
def _mesh_kernel(box_size):
    reach = -(-(2**N_SCALES) * 2 // box_size)  # the smoothest part is twice as wide as the widest plane
    impulse = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    impulse[reach, reach] = 1
    size = box_size * len(impulse)
    spread = _rest(repeat_mesh(impulse, box_size, (size, size)))
    kernel = box_means(spread, box_size)
    return kernel * np.sqrt(np.sum(spread**2) / box_size**2 / np.sum(kernel**2))  # white noise keeps what it has left


def find_outline(smooth, shared, *, place):
    """Return where a smoothed picture shows light, a boolean image.

    Groups of pixels of the picture, averaged over 2 x 2 boxes (64 px in full frames), that stand out from the rest by 6
    times its scatter, out to where they have faded to twice the scatter, without holes, and a 32nd of the frame beyond:
    what fades outside the outline is taken for stripes in the rows of the wisp, and stays in the images. Level and
    scatter of the rest are found in turns with the groups. A group that the frames do not agree on (its mean is less
    than 3 times ``shared``, the error that its pixels share) is what a halo in some of them has left.

    Raises
    ------
    FitError
        If nothing stands out.
    """
    smooth = uniform_filter(smooth, 2 * box_size_for(smooth.shape))
    outline = np.zeros(smooth.shape, bool)
    for _ in range(10):
        rest = smooth[~outline]
        level = np.median(rest)
        scatter = 1.4826 * np.median(np.abs(rest - level))
        excess = smooth - level
        found = binary_propagation(excess > N_SIGMA_SEED * scatter, mask=excess > N_SIGMA_EDGE * scatter)
        labels, n_groups = label(found)
        sizes = np.bincount(labels.ravel(), minlength=n_groups + 1)
        sizes[0] = 0
        light, err = (np.bincount(labels.ravel(), image.ravel(), n_groups + 1) for image in (excess, shared))
        found = binary_fill_holes(((sizes >= MIN_AREA * smooth.size) & (light > N_SIGMA_AGREED * err))[labels])
        if not found.any():
            raise FitError(
                f"{place}: needed light that stands out by {N_SIGMA_SEED:.0f} times the scatter ({scatter:.3g}) of the "
                f"picture; the brightest is {np.max(excess):.3g} above its level: give a fit of the sky flat as "
                "correction=... if the exposures are not flat, outline=... if you know where the wisp is, or more "
                "exposures"
            )
        found = grow(found, max(min(smooth.shape) * MARGIN, LEAST_MARGIN))
        if found.mean() > 0.7 or np.array_equal(found, outline):
            break
        outline = found
    return outline
