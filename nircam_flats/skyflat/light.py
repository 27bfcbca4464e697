"""What divides the data of an exposure, and the additive light that is subtracted from a frame."""

from functools import cached_property

import numpy as np
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, image
from nircam_flats.kernels import expand_mesh
from nircam_flats.skyflat._store import digest

__all__ = ["Divisor", "FrameLight"]


@frozen
class Divisor:
    """What divides the data of one exposure before sources are sought."""

    surface: np.ndarray

    @cached_property
    def key(self):
        """Text that stands for its content."""
        return digest(self.surface)


@frozen(kw_only=True, eq=False)
class FrameLight(HoldsArrays):
    """Light in one frame that is no uniform sky, as a mesh: what the frame loses before it is combined.

    Attributes
    ----------
    mesh
        float32 mesh of the light at the centres of boxes, to be interpolated, in units of the level of the frame.
    box_size
        Side of the boxes, pixels.
    """

    mesh: np.ndarray = image()
    box_size: int = field(converter=int)

    @property
    def key(self):
        """Text that stands for its content."""
        return digest(self.mesh, self.box_size)

    def rows(self, shape, rows=slice(None)):
        """Return the light on the rows in the slice ``rows`` of a frame of ``shape``, float32."""
        return expand_mesh(self.mesh, self.box_size, shape, rows=rows)

    def joined(self, correction, shape):
        """Return ``correction`` (a fit; None is 1 everywhere) with the light added: by this the data become flat."""
        return Divisor(self.rows(shape) + (1 if correction is None else correction.surface))
