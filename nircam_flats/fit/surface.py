"""What a fit strategy that knows its own errors returns."""

import numpy as np
from attrs import frozen

from nircam_flats._fields import HoldsArrays, image

__all__ = ["Surface"]


@frozen(kw_only=True, eq=False)
class Surface(HoldsArrays):
    """A smooth surface with what the strategy itself knows of its errors.

    Attributes
    ----------
    values
        float32 image ``[y, x]``.
    modes
        float32, shape (modes, boxes of 32 px in y, in x): the covariance of the surface between two places, from the
        white noise of the pixels, is the sum over the modes of the products of their values there. For a linear model
        with a basis B and coefficients of covariance C these are ``B L`` with ``L L^T = C``. None if unknown.
    pixel_err
        float32 image: 1 sigma error of each pixel that neighbours do not share, for surfaces with structure down to
        single pixels. None for smooth surfaces, which have none.
    """

    values: np.ndarray = image(sets_shape=True)
    modes: np.ndarray | None = image(ndim=3, optional=True, follows_shape=False)
    pixel_err: np.ndarray | None = image(optional=True)
