"""Extended light that is in some exposures and not in others: large galaxies, claws, persistence, stray light."""

import numpy as np
from scipy.ndimage import binary_dilation, binary_propagation, label, uniform_filter

from nircam_flats._strategy import Strategy
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.kernels import box_medians
from nircam_flats.masks import MaskReason, SourceMask

__all__ = ["ExtendedLight"]

SMOOTHING = 3
MAX_ITERATIONS = 8
EIGHT_CONNECTED = np.ones((3, 3), bool)


class ExtendedLight(Strategy):
    """Find where single frames are brighter than the others of their filter, on scales that no source mask sees.

    What belongs to the flat is in every exposure of a filter; light that comes and goes is not. Each frame is
    reduced to a mesh of clipped medians and divided by what its filter's frames have in common; boxes that stand
    out are masked, down to where the light fades into the noise.

    Parameters
    ----------
    box_size
        Side of the boxes of the mesh, pixels.
    n_sigma
        A group of at least 4 touching boxes is light if all exceed this many times the scatter of the mesh (smoothed
        over 3 x 3 boxes).
    n_sigma_edge
        A group is extended over all boxes above this lower threshold that touch it.
    grow
        Number of boxes by which it is grown at the end.

    Notes
    -----
    What is common starts as the lower quartile over the frames of a filter, so that light in up to half of them
    cannot hide, and becomes the median over frames not flagged there; flags and common part are found in turns. A
    filter needs 4 frames; of fewer, nothing is flagged. Light that is in every frame of a filter alike (a wisp of
    constant strength) cannot be found this way.
    """

    min_frames = 4

    def __init__(self, *, box_size=32, n_sigma=4.0, n_sigma_edge=1.0, grow=1):
        if box_size < 4 or not n_sigma >= n_sigma_edge > 0 or grow < 0:
            raise InvalidInputError(
                "ExtendedLight needs box_size >= 4, n_sigma >= n_sigma_edge > 0 and grow >= 0; got "
                f"box_size={box_size}, n_sigma={n_sigma}, n_sigma_edge={n_sigma_edge}, grow={grow}"
            )
        self.box_size = box_size
        self.n_sigma = n_sigma
        self.n_sigma_edge = n_sigma_edge
        self.grow = grow

    def __call__(self, frames):
        """Return a dict from the name of each frame with extended light to the `~nircam_flats.SourceMask` of it.

        Parameters
        ----------
        frames
            `~nircam_flats.NormalizedFrames` of one detector.
        """
        masks = {}
        for item in frames.filters:
            chosen = frames.where(filter=item).frames
            if len(chosen) < self.min_frames:
                continue
            meshes = np.stack([box_medians(frame.values, self.box_size)[0] for frame in chosen])
            for frame, flags in zip(chosen, self.find(meshes), strict=True):
                if flags.any():
                    pixels = np.kron(flags, np.ones((self.box_size, self.box_size), bool))
                    ny, nx = frame.values.shape
                    masks[frame.name] = SourceMask.from_array(pixels[:ny, :nx], MaskReason.EXTENDED)
        return masks

    def find(self, meshes):
        """Return the boxes with extended light, a boolean array of the shape of ``meshes``.

        Parameters
        ----------
        meshes
            Box medians of the frames of one filter, shape (n, boxes in y, boxes in x), about 1; NaN where masked.
        """
        flags = np.zeros(meshes.shape, bool)
        common = _lower_quartile(meshes)
        for _ in range(MAX_ITERATIONS):
            excess = np.stack([_smoothed(mesh / common - 1) for mesh in meshes])
            found = np.stack([self._groups(item, seen) for item, seen in zip(excess, flags, strict=True)])
            if np.array_equal(found, flags):
                break
            flags = found
            clean = np.where(flags, np.nan, meshes)
            common = _median_or_lowest(clean, meshes)
        if not self.grow:
            return flags
        return np.stack([binary_dilation(item, EIGHT_CONNECTED, iterations=self.grow) for item in flags])

    def _groups(self, excess, seen):
        quiet = np.where(seen, np.nan, excess)
        excess = excess - _row_levels(quiet)
        quiet = excess[~seen & np.isfinite(excess)]
        scatter = 1.4826 * np.median(np.abs(quiet))
        excess = np.where(np.isfinite(excess), excess, 0)
        labels, n_groups = label(excess > self.n_sigma * scatter, structure=EIGHT_CONNECTED)
        sizes = np.bincount(labels.ravel(), minlength=n_groups + 1)
        sizes[0] = 0
        seeds = (sizes >= 4)[labels]
        return binary_propagation(seeds, EIGHT_CONNECTED, mask=excess > self.n_sigma_edge * scatter)


def _row_levels(quiet):
    """Median of each row of boxes, which takes the 1/f stripes away; of all boxes where a row has too few."""
    n = np.isfinite(quiet).sum(axis=1)
    ordered = np.sort(quiet, axis=1)
    levels = ordered[np.arange(len(quiet)), np.maximum(n - 1, 0) // 2]
    return np.where(n >= max(4, quiet.shape[1] // 4), levels, np.nanmedian(quiet))[:, None]


def _lower_quartile(meshes):
    """Lower quartile over the frames that have a value, NaN where none has."""
    ordered = np.sort(meshes, axis=0)  # NaN last
    n = np.isfinite(meshes).sum(axis=0)
    return np.take_along_axis(ordered, np.maximum(n - 1, 0)[None] // 4, axis=0)[0]


def _median_or_lowest(clean, meshes):
    """Median of the values not flagged; where all are, the lowest of them."""
    ordered = np.sort(clean, axis=0)
    n = np.isfinite(clean).sum(axis=0)[None]
    low = np.take_along_axis(ordered, np.maximum(n - 1, 0) // 2, axis=0)[0]
    high = np.take_along_axis(ordered, np.minimum(n // 2, len(clean) - 1), axis=0)[0]
    return np.where(n[0] > 0, (low + high) / 2, np.sort(meshes, axis=0)[0])


def _smoothed(mesh):
    """Mean over 3 x 3 boxes, ignoring NaN."""
    finite = np.isfinite(mesh)
    weight = uniform_filter(finite.astype(float), SMOOTHING, mode="nearest")
    total = uniform_filter(np.where(finite, mesh, 0.0), SMOOTHING, mode="nearest")
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weight > 0.2, total / weight, np.nan)
