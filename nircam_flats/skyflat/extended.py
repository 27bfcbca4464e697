"""Extended light that is in some exposures and not in others: large galaxies, claws, persistence, stray light."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt, label

from nircam_flats._strategy import Strategy
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.kernels import box_means, repeat_mesh
from nircam_flats.masks import MaskReason, SourceMask
from nircam_flats.parallel import map_ordered
from nircam_flats.skyflat.meshes import MESH_BOX, lower_quartile_of_frames, median_of_frames, smoothed

__all__ = ["BoxMasks", "ExtendedLight"]

SMOOTHING = 3
MAX_ITERATIONS = 8
MIN_FRAMES = 4
MIN_BOXES = 4
LIT, MIN_LIT = 0.001, 16
"""Light that counts as known to be there, in units of the sky, and boxes of it that tell its strength."""
MOST_WRONG = 0.5
"""What strengths are wrong by at most, as a part of them."""
EIGHT_CONNECTED = np.ones((3, 3), bool)


class BoxMasks(Mapping):
    """Masks of whole boxes of 32 px by the name of a frame; the image of one is made when it is asked for.

    Parameters
    ----------
    boxes
        A dict from names to boolean meshes, True where masked.
    shape
        Of the images.
    """

    def __init__(self, boxes, shape):
        self.boxes = boxes
        self.shape = shape

    def __getitem__(self, name):
        return SourceMask.from_array(repeat_mesh(self.boxes[name], MESH_BOX, self.shape), MaskReason.EXTENDED)

    def __iter__(self):
        return iter(self.boxes)

    def __len__(self):
        return len(self.boxes)

    def beside(self, light):
        """Return the masks without the boxes that known light covers, {name: ``FrameLight``}: its strength is fitted.

        What is left of it while its strength is not known well is no other light.
        """
        kept = {}
        for name, boxes in self.boxes.items():
            lit = np.abs(light[name].rows(self.shape)) > LIT if name in light else np.zeros(self.shape, bool)
            kept[name] = boxes & (box_means(lit, MESH_BOX) == 0)
        return BoxMasks({name: boxes for name, boxes in kept.items() if boxes.any()}, self.shape)

    def __or__(self, other):
        """Return what either masks; both are of one shape."""
        both = {name: self.boxes[name] | other.boxes[name] for name in self.boxes.keys() & other.boxes.keys()}
        return BoxMasks(self.boxes | other.boxes | both, self.shape)


class ExtendedLight(Strategy):
    """Find where single frames are brighter than the others of their filter, on scales that no source mask sees.

    What belongs to the flat is in every exposure of a filter; light that comes and goes is not. Each frame is reduced
    to a mesh of clipped medians (boxes of 32 px) and divided by what the frames of its filter have in common. Boxes
    that stand out are masked, down to where the light fades into the noise, and some way beyond.

    Parameters
    ----------
    n_sigma, floor
        At least 4 touching boxes that exceed the rest by ``n_sigma`` times the scatter of the mesh (smoothed over
        3 x 3 boxes, its rows levelled against 1/f stripes), and by the fraction ``floor`` of the sky, are light.
    n_sigma_edge, floor_edge
        It extends over all boxes above these lower thresholds that touch it.
    grow
        By how much of its own radius it is grown at the end (at least one box): the halo of a large galaxy fades on
        the scale of the galaxy.

    Notes
    -----
    What is common starts as the lower quartile over the frames, so that light in up to half of them cannot hide, and
    becomes the median over the frames not flagged there; flags and common part are found in turns. Filters with fewer
    than 4 frames are left alone. Light that is in all frames of a filter alike (a wisp of constant strength) cannot be
    found this way. Light that was subtracted from the frames may have had a wrong strength: what resembles it is taken
    out of each frame first, by the weighted median of the boxes that it lights.
    """

    def __init__(
        self,
        *,
        n_sigma: float = 4.0,
        floor: float = 0.006,
        n_sigma_edge: float = 3.0,
        floor_edge: float = 0.003,
        grow: float = 0.4,
    ) -> None:
        if not n_sigma >= n_sigma_edge > 0 or not floor >= floor_edge >= 0 or grow < 0:
            raise InvalidInputError(
                "ExtendedLight needs n_sigma >= n_sigma_edge > 0, floor >= floor_edge >= 0 and grow >= 0; "
                f"got n_sigma={n_sigma}, n_sigma_edge={n_sigma_edge}, floor={floor}, "
                f"floor_edge={floor_edge}, grow={grow}"
            )
        self.n_sigma = n_sigma
        self.floor = floor
        self.n_sigma_edge = n_sigma_edge
        self.floor_edge = floor_edge
        self.grow = grow

    def __call__(self, frames: Any) -> Any:
        """Return the `BoxMasks` of the frames with extended light, a mapping to `~nircam_flats.SourceMask` by name.

        Parameters
        ----------
        frames
            `~nircam_flats.NormalizedFrames` of one detector.
        """
        meshes = frames.meshes
        known = np.stack([_subtracted(frame, frames.shape, meshes.shape[1:]) for frame in frames.frames])
        flags = np.zeros(meshes.shape, bool)
        names = np.array([frame.filter.name for frame in frames.frames])
        groups = [chosen for name in np.unique(names) if (chosen := names == name).sum() >= MIN_FRAMES]
        found_in = map_ordered(lambda chosen: self.find(meshes[chosen], known[chosen]), groups)
        for chosen, found in zip(groups, found_in, strict=True):
            flags[chosen] = found
        flags = np.stack([self._grown(boxes) for boxes in flags])
        found = zip(frames.frames, flags, strict=True)
        return BoxMasks({frame.name: boxes for frame, boxes in found if boxes.any()}, frames.shape)

    def find(self, meshes: Any, known: Any = None) -> Any:
        """Return the boxes with extended light, not grown, a boolean array of the shape of ``meshes``.

        Parameters
        ----------
        meshes
            Box medians of the frames of one filter, shape (n, boxes in y, boxes in x), about 1; NaN where masked.
        known
            Light that was subtracted from them with a strength that may be wrong; None if there was none.
        """
        flags = np.zeros(meshes.shape, bool)
        known = np.zeros(meshes.shape) if known is None else known
        common = lower_quartile_of_frames(meshes)
        for _ in range(MAX_ITERATIONS):
            excess = [
                smoothed(rest - _factor_of(light, np.where(seen, np.nan, rest)) * light, SMOOTHING)
                for rest, light, seen in zip(meshes / common - 1, known, flags, strict=True)
            ]
            found = np.stack([self._groups(item, seen) for item, seen in zip(excess, flags, strict=True)])
            if np.array_equal(found, flags):
                break
            flags = found
            common = median_of_frames(np.where(flags, np.nan, meshes))
            common = np.where(np.isfinite(common), common, np.sort(meshes, axis=0)[0])
        return flags

    def find_in(self, mesh: np.ndarray) -> np.ndarray:
        """Return the boxes with extended light in a single frame that should be flat otherwise, grown.

        Parameters
        ----------
        mesh
            Box medians of the frame, about 1, divided by what it has in common with others; NaN where masked.
        """
        flags = np.zeros(mesh.shape, bool)
        excess = smoothed(mesh - 1, SMOOTHING)
        for _ in range(MAX_ITERATIONS):
            found = self._groups(excess, flags)
            if np.array_equal(found, flags):
                break
            flags = found
        return self._grown(flags)

    def _groups(self, excess, seen):
        quiet = ~seen & np.isfinite(excess)
        if not quiet.any():
            return seen
        excess = excess - _row_levels(np.where(quiet, excess, np.nan))
        scatter = 1.4826 * np.median(np.abs(excess[quiet]))
        excess = np.where(np.isfinite(excess), excess, 0)
        labels, n_groups = label(excess > max(self.n_sigma * scatter, self.floor), structure=EIGHT_CONNECTED)
        sizes = np.bincount(labels.ravel(), minlength=n_groups + 1)
        sizes[0] = 0
        seeds = (sizes >= MIN_BOXES)[labels]
        if not seeds.any():
            return seeds
        labels, n_groups = label(excess > max(self.n_sigma_edge * scatter, self.floor_edge), structure=EIGHT_CONNECTED)
        has_seed = np.zeros(n_groups + 1, bool)
        has_seed[labels[seeds]] = True
        return has_seed[labels]

    def _grown(self, flags):
        labels, n_groups = label(flags, structure=EIGHT_CONNECTED)
        grown = flags.copy()
        for group in range(1, n_groups + 1):
            members = labels == group
            radius = np.sqrt(members.sum() / np.pi)
            grown |= distance_transform_edt(~members) <= max(1.0, self.grow * radius)
        return grown


def _subtracted(frame, shape, boxes):
    """Mesh of the light of the detector that was subtracted from a frame, 0 if none was."""
    return np.zeros(boxes, np.float32) if frame.light is None else box_means(frame.light.rows(shape), MESH_BOX)


def _factor_of(light, rest):
    """By how much more of the ``light`` the ``rest`` of a mesh would be without it: a weighted median of boxes."""
    lit = (light > LIT) & np.isfinite(rest)
    if np.count_nonzero(lit) < MIN_LIT:
        return 0.0
    factors, weights = rest[lit] / light[lit], light[lit]
    order = np.argsort(factors)
    total = np.cumsum(weights[order])
    middle = order[np.searchsorted(total, total[-1] / 2)]
    return float(np.clip(factors[middle], -MOST_WRONG, MOST_WRONG))


def _row_levels(quiet):
    """Median of each row of boxes, which takes the 1/f stripes away; of all boxes where a row has too few."""
    n = np.isfinite(quiet).sum(axis=1)
    levels = np.sort(quiet, axis=1)[np.arange(len(quiet)), np.maximum(n - 1, 0) // 2]
    return np.where(n >= max(4, quiet.shape[1] // 4), levels, np.nanmedian(quiet))[:, None]
