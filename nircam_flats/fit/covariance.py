"""How the errors of a surface hang together: what an average over many pixels does not average away."""

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from attrs import field, frozen
from regions import PixelRegion, SkyRegion
from scipy.signal import fftconvolve

from nircam_flats._fields import HoldsArrays, check_not_negative, image, to_tuple
from nircam_flats._files import read_image, read_keyword
from nircam_flats._strategy import checked_image
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.kernels import autocorrelated, box_sums, expand_mesh, project_mesh, repeat_mesh

__all__ = ["SurfaceCovariance", "correlation_by_distance"]


@frozen(kw_only=True, eq=False)
class SurfaceCovariance(HoldsArrays):
    """Covariance of a relative surface between any two places, in low rank.

    Attributes
    ----------
    modes
        float32, shape (modes, boxes in y, boxes in x): the covariance from noise is the sum over the modes of the
        products of their values at the two places (interpolated between the centres of the boxes).
    misfit
        1 sigma of what the surface leaves undescribed on the scale of boxes.
    misfit_correlation
        float32, shape (n,): correlation of the misfit between boxes 0, 1, 2 ... boxes apart; none beyond.
    shape
        Rows and columns of the surface.
    box_size
        Side of the boxes, pixels.
    outliers
        float32, shape (boxes in y, boxes in x): by how much the surface is off in single boxes where it is off by far
        more than elsewhere (corner features, dust), 0 in the others; None if there are none.
    """

    modes: np.ndarray = image(ndim=3, follows_shape=False)
    misfit: float = field(
        converter=lambda value: float(f"{value:.9g}"),  # as exact as a header keeps it
        validator=check_not_negative,
    )
    misfit_correlation: np.ndarray = image(ndim=1, follows_shape=False)
    shape: tuple = field(converter=to_tuple)
    box_size: int = field(converter=int)
    outliers: np.ndarray | None = image(optional=True, follows_shape=False)

    def __attrs_post_init__(self):
        if self.box_size < 1:
            raise InvalidInputError(f"SurfaceCovariance.box_size must be 1 px or more; got {self.box_size}")
        mesh = tuple(-(-length // self.box_size) for length in self.shape)
        for name in ("modes", "outliers"):
            values = getattr(self, name)
            if values is not None and values.shape[-2:] != mesh:
                raise InvalidInputError(
                    f"SurfaceCovariance.{name} must have {mesh} boxes of {self.box_size} px, as its shape {self.shape} "
                    f"has; got {values.shape[-2:]}"
                )

    def err(self) -> np.ndarray:
        """Return the 1 sigma error of each pixel, a float32 image."""
        variance = np.sum(self.modes.astype(np.float64) ** 2, axis=0)
        deviation = np.sqrt(variance)
        deviation = np.maximum(expand_mesh(deviation, self.box_size, self.shape), deviation.min())  # splines overshoot
        deviation = np.hypot(deviation, np.float32(self.misfit)).astype(np.float32)
        if self.outliers is None:
            return deviation
        return np.hypot(deviation, repeat_mesh(self.outliers, self.box_size, self.shape))

    def error_of_mean(self, where: Any) -> float:
        """Return the 1 sigma error of the mean of the surface over some pixels, a float.

        It is also the relative error that the surface leaves in the flux summed over these pixels; unlike the noise of
        the pixels, it hardly gets smaller with their number.

        Parameters
        ----------
        where
            A pixel region (package ``regions``), an aperture (``photutils.aperture``, one position), a boolean image,
            or an image of weights of the shape of the surface.

        Raises
        ------
        InvalidInputError
            If it is none of these, or lies outside the frame.
        """
        weights = weights_of(where, self.shape)
        mesh = project_mesh(weights, self.box_size)
        noise = np.tensordot(self.modes.astype(np.float64), mesh, 2)
        boxes = box_sums(weights, self.box_size)
        structure = np.sum(boxes * fftconvolve(boxes, self._misfit_kernel(boxes.shape), mode="same"))
        off = 0.0 if self.outliers is None else np.sum(boxes * self.outliers)
        return float(np.sqrt(np.sum(noise**2) + self.misfit**2 * max(structure, 0.0) + off**2))

    def to_hdus(self) -> list:
        """Return the FITS extensions MODES (BOXSIZE), OUTLIERS if there are any, and MISFIT (MISFIT).

        MISFIT is always there and the last, so that a file that was cut off before it shows that.
        """
        modes, misfit = fits.ImageHDU(self.modes, name="MODES"), fits.ImageHDU(self.misfit_correlation, name="MISFIT")
        modes.header["BOXSIZE"] = (self.box_size, "Side of the boxes [px]")
        misfit.header["MISFIT"] = (self.misfit, "1 sigma of what the surface leaves undescribed")
        outliers = [] if self.outliers is None else [fits.ImageHDU(self.outliers, name="OUTLIERS")]
        return [modes, *outliers, misfit]

    @classmethod
    def from_hdus(cls, hdus: fits.HDUList, path: str | Path, shape: tuple) -> Any:
        """Return what `to_hdus` wrote, of a surface of ``shape``; ``path`` names the file in errors.

        Raises
        ------
        InvalidInputError
            If an extension or keyword is missing, or not as it was written.
        """
        modes = read_image(hdus, "MODES", np.float32, path, ndim=3)
        correlation = read_image(hdus, "MISFIT", np.float32, path, ndim=1)
        return cls(
            modes=modes,
            misfit=read_keyword(hdus["MISFIT"].header, "MISFIT", float, path, where="header of MISFIT"),
            misfit_correlation=correlation,
            shape=shape,
            box_size=read_keyword(hdus["MODES"].header, "BOXSIZE", int, path, where="header of MODES"),
            outliers=read_image(hdus, "OUTLIERS", np.float32, path, required=False),
        )

    def _misfit_kernel(self, shape):
        reach = min(len(self.misfit_correlation), max(shape)) - 1
        y, x = np.indices((2 * reach + 1, 2 * reach + 1)) - reach
        distance = np.hypot(y, x)
        return np.interp(distance, np.arange(len(self.misfit_correlation)), self.misfit_correlation, right=0.0)


def weights_of(where, shape):
    """Return the weights of the pixels of a frame in a mean over ``where``, float64, of sum 1."""
    if isinstance(where, SkyRegion):
        raise InvalidInputError("error_of_mean needs a region in pixels; make it one with region.to_pixel(wcs)")
    if isinstance(where, PixelRegion):
        weights = where.to_mask(mode="exact").to_image(shape)
    elif hasattr(where, "to_mask"):
        masks = where.to_mask(method="exact")
        if isinstance(masks, list | tuple):
            raise InvalidInputError(f"error_of_mean needs an aperture at one position; got {len(masks)}")
        weights = masks.to_image(shape)
    else:
        weights = checked_image(where, shape, np.float64, "pixels given to error_of_mean")
    total = 0.0 if weights is None else np.sum(weights)
    if not (np.isfinite(total) and total > 0):
        raise InvalidInputError(
            f"error_of_mean needs pixels with a positive sum of weights inside the frame of {shape}; got {where!r}"
        )
    return weights / total


def correlation_by_distance(residual, modes, white):
    """Return the variance of the structure in a mesh beyond its noise, and its correlation by distance in boxes.

    Parameters
    ----------
    residual
        Box medians, NaN where unmeasured.
    modes
        Modes of the noise of medians of boxes, shape (n, boxes in y, boxes in x).
    white
        Variance of the white noise of these, an array like ``residual``.

    Returns
    -------
    variance, correlation
        float; float32 array that starts with 1 and ends before the first distance at which nothing is left.

    Notes
    -----
    The autocovariance of the mesh over all pairs of boxes, averaged in rings of one box, less that of the noise. The
    noise is at least white.

    An error of a few per cent in the noise of a box hides structure that is less than the noise. Structure wider than a
    box is in the covariance of neighbours, the noise of single boxes is not: the variance is at least what the
    covariances of neighbours and next neighbours say of no distance. An autocovariance is even, so near 0 a parabola.
    """
    measured = np.isfinite(residual)
    pairs = autocorrelated(measured.astype(float))
    seen = autocorrelated(_centred(residual, measured)) / np.maximum(pairs, 0.5)
    shared = [_centred(mode, measured) for mode in modes]
    noise = sum((autocorrelated(mode) for mode in shared), np.zeros_like(seen)) / np.maximum(pairs, 0.5)
    middle = tuple(n // 2 for n in seen.shape)
    variances = np.sum(np.square(shared), axis=0) if shared else np.zeros_like(white)
    noise[middle] = np.mean(np.maximum(variances, white)[measured])
    y, x = np.indices(seen.shape)
    squares = (y - middle[0]) ** 2 + (x - middle[1]) ** 2
    ring = np.rint(np.sqrt(squares)).astype(int)
    enough = pairs > 0.1 * measured.sum()
    weights = np.bincount(ring[enough], pairs[enough])
    profile = np.bincount(ring[enough], (pairs * (seen - noise))[enough]) / np.maximum(weights, 0.5)
    variance = profile[0] = max(profile[0], _at_none(profile, ring[enough], squares[enough], pairs[enough]), 0.0)
    if variance == 0:
        return 0.0, np.ones(1, np.float32)
    below = np.flatnonzero(profile <= 0)
    end = below[0] if below.size else len(profile)
    return variance, np.minimum(profile[:end] / variance, 1).astype(np.float32)


def _at_none(profile, ring, squares, pairs):
    """What rings 1 and 2 of a covariance say of distance 0, if it falls with the square of the distance."""
    if len(profile) < 3:
        return max(profile[1:], default=0.0)
    near, far = (np.average(squares[ring == number], weights=pairs[ring == number]) for number in (1, 2))
    return profile[1] + max(profile[1] - max(profile[2], 0.0), 0.0) * near / (far - near)


def _centred(mesh, measured):
    return np.where(measured, mesh - np.mean(mesh[measured], dtype=np.float64), 0.0)
