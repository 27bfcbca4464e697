"""From exposures to the picture of their wisp: strengths and shape are found in turns."""

from functools import cached_property, partial
from typing import Any

import numpy as np
from attrs import evolve, field, frozen

from nircam_flats.exceptions import FitError
from nircam_flats.kernels import box_influences, expand_mesh
from nircam_flats.parallel import map_ordered, shares_memory
from nircam_flats.scattered._strength import fit_strength
from nircam_flats.skyflat import FrameStack, NormalizedFrames, SigmaClippedMedian
from nircam_flats.skyflat.meshes import MESH_BOX, box_size_for

__all__ = ["WispStack", "surface_of"]

BAND = 4 * MESH_BOX


@frozen(kw_only=True, eq=False)
class WispStack:
    """The frames of one detector and filter, to be combined to the picture of their wisp.

    Attributes
    ----------
    frames
        `~nircam_flats.NormalizedFrames`.
    correction
        The `~nircam_flats.FlatModelFit` that divides them, or None.
    executor
        As in `map_ordered`.
    """

    frames: NormalizedFrames = field()
    correction: Any = field()
    executor: Any = field(default=None)

    @cached_property
    def levels(self):
        """The sky level of each frame."""
        return np.array([frame.level.value for frame in self.frames.frames])

    def strengths(self, pattern, influences, numbers):
        """Fit the pattern in each frame; returns a list of `Strength` (a `FitError` where it cannot be fitted).

        It was made of the frames with these numbers, which have these influences on it: each frame is compared with
        what the others show.
        """
        work = partial(self._strength, pattern=pattern, influences=influences, numbers=list(numbers))
        ahead = 2 if shares_memory(self.executor) else None  # each takes several images
        executor = self.frames.sharing(self.executor)
        return list(map_ordered(work, range(len(self.frames)), executor=executor, ahead=ahead))

    def _strength(self, number, *, pattern, influences, numbers):
        frame, own = self.frames.frames[number], numbers.index(number) if number in numbers else None
        facts = {"influences": influences, "own": own, "place": frame.name}
        data = frame.values * np.float32(frame.level.value) / surface_of(self.correction)
        used = np.isfinite(data)
        try:
            return fit_strength(data, pattern, used, degree=0, find_light=False, **facts)
        except FitError as error:
            return error

    def picture(self, numbers, strengths, backgrounds):
        """Combine the frames with these numbers, each less its background (a mesh) and divided by its strength.

        Returns
        -------
        data, err, influences
            Picture and its error, NaN where nothing was left, and what each frame adds to the mean of each box (32 px
            in full frames).
        """
        height = self.frames.shape[0]
        bands = [slice(start, min(start + BAND, height)) for start in range(0, height, BAND)]
        chosen = evolve(self, frames=evolve(self.frames, frames=[self.frames.frames[number] for number in numbers]))
        work = partial(chosen._band, strengths=np.asarray(strengths), backgrounds=backgrounds)
        data, err, influences = zip(*map_ordered(work, bands, executor=self.frames.sharing(self.executor)), strict=True)
        return np.concatenate(data), np.concatenate(err), np.concatenate(influences, axis=1)

    def _band(self, rows, *, strengths, backgrounds):
        surface = surface_of(self.correction)
        surface = surface[rows] if surface.ndim else surface
        values = self.frames.band(rows).values * np.float32(self.levels[:, None, None])
        box_size = box_size_for(self.frames.shape)
        below = np.stack([expand_mesh(mesh, box_size, self.frames.shape, rows=rows) for mesh in backgrounds])
        values = (values / surface - below) / np.float32(strengths[:, None, None])
        noise = np.array([frame.level.scatter for frame in self.frames.frames]) / np.abs(strengths)
        data, err, _ = SigmaClippedMedian()(FrameStack(values=values, noise=noise))
        return data, err, box_influences(values, data, noise, box_size, median_err=err)


def surface_of(correction):
    """The surface of a `~nircam_flats.FlatModelFit`, 1 for None."""
    return np.float32(1) if correction is None else correction.surface
