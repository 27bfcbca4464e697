"""Light of the sky that masks leave: halos of stars and galaxies, which move over the detector with the dithers."""

import numpy as np
from astropy import units as u
from attrs import frozen
from scipy import sparse
from scipy.ndimage import gaussian_filter

from nircam_flats.kernels import solve_moving_light
from nircam_flats.parallel import map_ordered
from nircam_flats.skyflat.balance import stripe_medians
from nircam_flats.skyflat.light import FrameLight
from nircam_flats.skyflat.meshes import box_size_for, median_of_frames

__all__ = ["field_light"]

MIN_FRAMES = 3
ROUNDS = 10
MOST_STEPS, TOLERANCE = 40, 1e-3
"""Of each round, which goes on from the one before."""
LENGTH = 2.0
"""In boxes, beyond which neighbours on the sky say nothing of each other."""
FIRST, FAINTEST = 0.01, 0.0003
"""Standard deviation of the light that is expected anywhere at first, and where none was found, in units of the sky."""
SEEN, FAINT, GAIN, BLUR = 3.0, 0.001, 2.0, 1.5
"""Light that exceeds the scatter of the sky this many times and this part of the sky, smoothed over 1.5 boxes, may be
twice as bright."""
OUTLIER = 4.0
"""Boxes of single frames that depart by more than this many times their scatter count less: sources that masks left."""
LEAST_SCATTER = 1e-6
"""Of box medians, relative to the sky: they are float32."""


@frozen(kw_only=True, eq=False)
class _Sky:
    """Where the boxes of frames look: frames of one field share a mesh of cells.

    ``weights`` is a sparse matrix that interpolates the cells at the boxes, one row for each frame of each box;
    ``frames`` is the shape of the meshes of all frames, (n, boxes in y, boxes in x), and ``shapes`` are those of the
    meshes of the fields, whose cells follow each other.
    """

    weights: sparse.csr_matrix
    frames: tuple
    shapes: tuple

    @classmethod
    def of(cls, frames, box_size):
        places = _places(frames, box_size)
        shape = tuple(-(-n // box_size) for n in frames.shape)
        seen = np.empty((shape[0] * shape[1], len(frames), 4), np.int32)
        parts, shapes, n_cells = np.empty(seen.shape), [], 0
        for members in places:
            lowest = np.floor(np.min([item.min(axis=(1, 2)) for _, item in members], axis=0)).astype(int)
            highest = np.floor(np.max([item.max(axis=(1, 2)) for _, item in members], axis=0)).astype(int)
            ny, nx = highest - lowest + 2
            for number, place in members:
                seen[:, number], parts[:, number] = _interpolation(n_cells, nx, place - lowest[:, None, None])
            shapes.append((ny, nx))
            n_cells += ny * nx
        rows = np.arange(0, seen.size + 1, 4, dtype=np.int32)
        weights = sparse.csr_matrix((parts.ravel(), seen.ravel(), rows), shape=(len(rows) - 1, n_cells))
        return cls(weights=weights, frames=(len(frames), *shape), shapes=tuple(shapes))

    def in_frames(self, cells):
        """The meshes of the frames that look at these cells."""
        return (self.weights @ cells).reshape(-1, self.frames[0]).T.reshape(self.frames)

    def split(self, cells):
        """The mesh of each field."""
        ends = np.cumsum([ny * nx for ny, nx in self.shapes])[:-1]
        return [part.reshape(shape) for part, shape in zip(np.split(cells, ends), self.shapes, strict=True)]


def _places(frames, box_size):
    """Frames of each field, lists of (number, where the centres of its boxes are in boxes of the first, y and x)."""
    shape, detector = frames.shape, frames.detector
    scale = np.array([detector.y_scale.to_value(u.arcsec), detector.x_scale.to_value(u.arcsec)])
    middle = (np.array(shape) - 1) / 2
    centres = np.indices([-(-n // box_size) for n in shape]) * box_size + (box_size - 1) / 2
    y, x = (centres - middle[:, None, None]) * scale[:, None, None] * u.arcsec
    numbers, members = frames.fields, []
    for field in range(numbers.max() + 1):
        of_field = np.flatnonzero(numbers == field)
        first = frames.frames[of_field[0]].pointing
        there = [first.to_ideal(*frames.frames[number].pointing.to_sky(x, y)) for number in of_field]
        places = [np.stack([item.to_value(u.arcsec) for item in (y, x)]) for x, y in there]
        members.append(
            [
                (number, place / scale[:, None, None] / box_size)
                for number, place in zip(of_field.tolist(), places, strict=True)
            ]
        )
    return members


def _interpolation(offset, nx, place):
    """The four cells between which each place is, from ``offset`` on, ``nx`` in a row, and their bilinear weights."""
    corner = np.floor(place).astype(int)
    part = place - corner
    cells, weights = [], []
    for dy in (0, 1):
        for dx in (0, 1):
            cells.append(offset + (corner[0] + dy) * nx + corner[1] + dx)
            weights.append(np.abs(1 - dy - part[0]) * np.abs(1 - dx - part[1]))
    return np.stack(cells, axis=-1).reshape(-1, 4), np.stack(weights, axis=-1).reshape(-1, 4)


def field_light(frames):
    """Return the light of the sky beyond the masks, {name: `FrameLight`}, which moves with the dithers.

    Parameters
    ----------
    frames
        `NormalizedFrames`, masked, of any filters, without the light that stays on the detector. Filters with fewer
        than 3 frames keep theirs, and so do frames of unknown pointing and those that are masked as a whole.

    Notes
    -----
    Halos of bright stars reach some hundred pixels beyond any mask, farther than dithers move them, so in the frames of
    one field they are nearly everywhere and nearly always. On a mesh of boxes, the frames of a filter are modelled as
    ``f_j(b) = F(b) + stripe_j + S(place of b in frame j on the sky)``, with a free response F and the light S of
    each field: what moves with the sky is S, what stays is F. What both explain, as a slope over the field, is taken
    for F: light is expected to be small where none is seen, and smooth over some boxes, and it is not negative. How
    much is expected where is found in turns, from what is seen there.
    """
    box_size = box_size_for(frames.shape)
    seen = np.isfinite(frames.meshes).any(axis=(1, 2))
    known = [frame.name for frame, any_box in zip(frames.frames, seen, strict=True) if any_box and frame.pointing]
    if not known:
        return {}
    frames = frames.only(known)
    groups = [frames.where(filter=item) for item in frames.filters]
    groups = [group for group in groups if len(group) >= MIN_FRAMES]
    found: dict = {}
    for group, meshes in zip(groups, map_ordered(lambda group: _solved(group, box_size), groups), strict=True):
        light = zip(group.frames, meshes, strict=True)
        found |= {frame.name: FrameLight(mesh=mesh, box_size=box_size) for frame, mesh in light if mesh.any()}
    return found


def _solved(frames, box_size):
    """The light of the sky in the frames of one filter, shape (n, boxes in y, boxes in x)."""
    meshes = frames.boxed(box_size).astype(float)
    sky = _Sky.of(frames, box_size)
    light, response, stripes = np.zeros(meshes.shape), median_of_frames(meshes), np.zeros(meshes.shape)
    expected, cells = np.full(sky.weights.shape[1], FIRST), np.zeros(sky.weights.shape[1])
    for number in range(ROUNDS):
        levels = np.nanmedian((meshes - light) / response, axis=(1, 2), keepdims=True)
        scaled = meshes / levels
        departure = scaled - response - light
        scatter = 1.4826 * np.nanmedian(np.abs(departure - stripes), axis=(1, 2), keepdims=True)
        scatter = np.maximum(scatter, LEAST_SCATTER)
        stripes = stripe_medians(departure)
        stripes -= stripes.mean(axis=0)  # what the frames have on average belongs to the response
        values = scaled - stripes
        residual = np.abs(values - response - light)
        weights = np.where(np.isfinite(residual), scatter**-2, 0.0)
        if number:
            with np.errstate(divide="ignore"):
                weights *= np.fmin(1, OUTLIER * scatter / residual)
        cells, response = _fit(np.nan_to_num(values), weights, sky, expected, cells)
        fields = sky.split(cells)
        bright = np.concatenate([_bright(field).ravel() for field in fields])
        expected = np.hypot(FAINTEST, GAIN * bright)
        lit = np.concatenate([(field - np.median(field)).ravel() for field in fields])
        light = sky.in_frames(np.where(bright > 0, np.maximum(lit, 0), 0))
    return light


def _fit(values, weights, sky, expected, start):
    """Least squares for the light in the cells and the response, with light ``expected`` as large as that."""
    settings = {"length": LENGTH, "most_steps": MOST_STEPS, "tolerance": TOLERANCE}
    of_boxes, with_weights = (item.reshape(len(item), -1).T for item in (values, weights))
    cells = solve_moving_light(of_boxes, with_weights, sky.weights, sky.shapes, expected, start, **settings)
    total, rest = weights.sum(axis=0), values - sky.in_frames(cells)
    response = np.divide((weights * rest).sum(axis=0), total, out=np.full_like(total, np.nan), where=total > 0)
    return cells, response


def _bright(field):
    """By how much the smoothed light of a field exceeds its scatter and what is faint; 0 where it does not."""
    smooth = gaussian_filter(field, BLUR)
    middle = np.median(smooth)
    scatter = 1.4826 * np.median(np.abs(smooth - middle))
    return np.maximum(smooth - middle - max(SEEN * scatter, FAINT), 0)
