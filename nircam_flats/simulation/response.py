"""The detectors of a simulated program: ground flats, how the response changed since, and defects."""

from functools import cached_property

import numpy as np
from astropy import units as u
from astropy.table import QTable
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, image, mask, readonly
from nircam_flats.instrument import DQ, Detector, Filter
from nircam_flats.simulation._random import Stream, generator, smooth_field

__all__ = ["DetectorChange", "Response"]

BORDER = 4
CORNER_DETECTORS = ("NRCA3", "NRCB3", "NRCB4")
CORNER_DEPTH = 0.06
CORNER_SIZE = 0.012
"""Distance, in frames, at which a corner patch has fallen to 1/e."""
CONCENTRATION_SIZE = 100
NEW_DEAD, KNOWN_DEAD = 5e-4, 3e-4
BAD = 3e-3
HOT_SHARE = 0.2
NOISY = 1e-3
"""Part of the pixels with telegraph noise."""
TELEGRAPH = (5, 40)
"""Least and largest height of their jumps, in units of the read noise: 2 to 15 times the noise of the sky in SW."""
PATTERN = 0.02
"""Peak to peak of a filter's own pattern in SW; in LW, of the change between the middle and an end of the channel."""


def _border(shape):
    border = np.ones(shape, bool)
    border[BORDER:-BORDER, BORDER:-BORDER] = False
    return border


def _crosshatch(rng, shape):
    """Two families of lines 10 pixels apart, nearly along the diagonals, 2-3 % from the darkest to the brightest."""
    y, x = (np.arange(n, dtype=np.float32) for n in shape)
    total = np.zeros(shape, np.float32)
    for slope in (1, -1):
        angle = np.radians(slope * 45 + rng.uniform(-8, 8))
        wave = 2 * np.pi / rng.uniform(9, 11)
        bend = smooth_field(rng, shape, peak_to_peak=4 * np.pi, non_cubic=np.pi)
        phase = np.add.outer(np.float32(wave * np.sin(angle)) * y, np.float32(wave * np.cos(angle)) * x)
        total += np.cos(phase + bend)
    return 1 + np.float32(rng.uniform(0.02, 0.03) / 4) * total


def _corners(rng, shape):
    """Patches, up to 6 % dark or bright, in two of the corners."""
    size = max(CORNER_SIZE * max(shape), 2)
    y, x = (np.maximum(np.arange(n) - BORDER, 0) for n in shape)
    flip_y, flip_x = (np.maximum(np.arange(n)[::-1] - BORDER, 0) for n in shape)
    corners = np.ones(shape, np.float32)
    for which in rng.choice(4, 2, replace=False):
        from_y, from_x = (y if which < 2 else flip_y), (x if which % 2 else flip_x)
        depth = -CORNER_DEPTH if rng.random() < 0.7 else CORNER_DEPTH / 2
        patch = np.outer(np.exp(-((from_y / size) ** 2)), np.exp(-((from_x / size) ** 2)))
        corners += (depth * patch).astype(np.float32)
    return corners


@frozen(kw_only=True, eq=False)
class DetectorChange(HoldsArrays):
    """What all filters of a detector share: how the response changed in flight, and which pixels are defective.

    Attributes
    ----------
    common
        Smooth change, 6.0-6.8 % peak to peak in 64-pixel boxes of a full frame, times the corner features.
    crosshatch
        1 plus the crossed lines.
    new_response
        Response of the pixels that died since; 1 elsewhere.
    known_dead
        Pixels that were dead on the ground.
    concentrations
        Table of the clusters of new dead pixels: centre ``x``, ``y`` (zero-based) and ``n_pixels``.
    dq
        DQ bits, the same in every exposure.
    telegraph
        Height of the jumps of noisy pixels in units of the read noise; 0 elsewhere.
    """

    common: np.ndarray = image(sets_shape=True)
    crosshatch: np.ndarray = image()
    new_response: np.ndarray = image()
    known_dead: np.ndarray = mask()
    concentrations: QTable = field(repr=False)
    dq: np.ndarray = image(np.uint32)
    telegraph: np.ndarray = image()

    @classmethod
    def draw(cls, detector, shape, seed, effects):
        """Draw the change of a detector."""

        def stream(kind):
            return generator(seed, kind, detector.sca_id)

        rng = stream(Stream.CHANGE)
        common = 1 + smooth_field(
            rng, shape, peak_to_peak=rng.uniform(0.060, 0.068), non_cubic=rng.uniform(0.0025, 0.0045)
        )
        if effects.corner_features and detector.name in CORNER_DETECTORS:
            common *= _corners(stream(Stream.CORNERS), shape)
        crosshatch = np.ones(shape, np.float32)
        if effects.crosshatch and detector.channel == "LW":
            crosshatch = _crosshatch(stream(Stream.CROSSHATCH), shape)
        border = _border(shape)
        new_response = np.ones(shape, np.float32)
        known_dead = np.zeros(shape, bool)
        concentrations = QTable({"x": np.empty(0), "y": np.empty(0), "n_pixels": np.empty(0, int)})
        if effects.dead_pixels:
            rng = stream(Stream.DEAD)
            new = rng.random(shape, np.float32) < NEW_DEAD
            known_dead = (rng.random(shape, np.float32) < KNOWN_DEAD) & ~border
            cluster, x, y = _cluster(rng, shape)
            new |= cluster
            new &= ~border & ~known_dead
            new_response[new] = rng.uniform(0.2, 0.75, np.count_nonzero(new)).astype(np.float32)
            found = np.count_nonzero(cluster & new)
            concentrations = QTable({"x": [x] * u.pix, "y": [y] * u.pix, "n_pixels": [found]})
        dq = np.where(border, np.uint32(DQ.REFERENCE_PIXEL | DQ.NO_FLAT_FIELD | DQ.DO_NOT_USE), np.uint32(0))
        dq[known_dead] = DQ.DEAD | DQ.NO_FLAT_FIELD | DQ.DO_NOT_USE
        if effects.bad_pixels:
            rng = stream(Stream.BAD)
            chance = rng.random(shape, np.float32)
            chance[border] = 1
            dq[chance < BAD] |= np.uint32(DQ.DO_NOT_USE)
            dq[chance < BAD * HOT_SHARE] |= np.uint32(DQ.HOT)
            dq[(chance >= BAD) & (chance < 1.2 * BAD)] |= np.uint32(DQ.WARM)
        telegraph = np.zeros(shape, np.float32)
        if effects.noisy_pixels:
            rng = stream(Stream.NOISY)
            noisy = (rng.random(shape, np.float32) < NOISY) & ~border & ~known_dead & (new_response == 1)
            telegraph[noisy] = np.exp(rng.uniform(*np.log(TELEGRAPH), np.count_nonzero(noisy)))
        return cls(
            common=readonly(common),
            crosshatch=readonly(crosshatch),
            new_response=readonly(new_response),
            known_dead=readonly(known_dead),
            concentrations=concentrations,
            dq=readonly(dq),
            telegraph=readonly(telegraph),
        )

    @cached_property
    def dead(self):
        """Boolean image of the pixels that died since the ground flat."""
        return readonly(self.new_response < 1)


def _cluster(rng, shape):
    """A round cluster of about 100 pixels (fewer in small frames), half to three quarters of them set."""
    n = min(CONCENTRATION_SIZE, 0.01 * shape[0] * shape[1])
    radius = np.sqrt(n / 0.7 / np.pi)
    margin = np.ceil(radius) + BORDER
    y, x = (rng.uniform(margin, n_pixels - 1 - margin) for n_pixels in shape)
    rows, columns = (np.arange(n_pixels, dtype=np.float32) for n_pixels in shape)
    inside = np.add.outer((rows - np.float32(y)) ** 2, (columns - np.float32(x)) ** 2) < radius**2
    cluster = np.zeros(shape, bool)
    cluster[inside] = rng.random(np.count_nonzero(inside)) < 0.7
    return cluster, x, y


@frozen(kw_only=True, eq=False)
class Response(HoldsArrays):
    """The response of one detector in one filter: on the ground, in flight, and as the ground flat has it.

    Attributes
    ----------
    detector, filter
        Whose response it is.
    flight
        True response in flight, about 1; 0 on reference pixels and known dead ones.
    ground, ground_err
        The ground flat as delivered, its noise included, and its 1 sigma error; 1 where there is no answer.
    ground_dq
        Its DQ bits.
    """

    detector: Detector = field()
    filter: Filter = field()
    flight: np.ndarray = image(sets_shape=True)
    ground: np.ndarray = image()
    ground_err: np.ndarray = image()
    ground_dq: np.ndarray = image(np.uint32)

    @classmethod
    def draw(cls, detector, filter, change, seed, effects):
        """Draw the response of a mode, given what its detector's filters share."""
        shape = change.common.shape
        number = Filter.all().index(filter)
        rng = generator(seed, Stream.GROUND, detector.sca_id)
        pixels = rng.standard_normal(shape, np.float32)
        pixels *= np.float32(rng.uniform(0.010, 0.015))
        rng = generator(seed, Stream.GROUND_FILTER, detector.sca_id, number)
        truth = smooth_field(rng, shape, peak_to_peak=rng.uniform(0.04, 0.08), non_cubic=0.01)
        truth += 1
        truth *= 1 + pixels
        rng = generator(seed, Stream.GROUND_NOISE, detector.sca_id, number)
        err = rng.random(shape, np.float32)
        err *= np.float32(0.001)
        err += np.float32(0.001)
        ground = rng.standard_normal(shape, np.float32, out=pixels)
        ground *= err
        ground += truth
        flight = truth
        flight *= change.common
        flight *= change.crosshatch
        flight *= change.new_response
        if effects.filter_dependence:
            flight *= _pattern(detector, filter, shape, seed)
        border = _border(shape)
        flight[border | change.known_dead] = 0
        ground[border | change.known_dead] = 1
        dq = np.where(border, np.uint32(DQ.NO_FLAT_FIELD | DQ.DO_NOT_USE), np.uint32(0))
        dq[change.known_dead] = DQ.DEAD | DQ.NO_FLAT_FIELD | DQ.DO_NOT_USE
        return cls(
            detector=detector,
            filter=filter,
            flight=readonly(flight),
            ground=readonly(ground),
            ground_err=readonly(err),
            ground_dq=readonly(dq),
        )

    def delta(self):
        """Return flight response over ground flat: what a noiseless cal frame of a uniform sky shows (float32)."""
        delta = self.flight / self.ground
        delta[DQ.NO_FLAT_FIELD.is_set(self.ground_dq)] = np.nan
        return delta


def _pattern(detector, filter, shape, seed):
    """The filter's own part of the change: in LW one pattern that grows with wavelength, in SW one per filter."""
    if detector.channel == "LW":
        rng = generator(seed, Stream.FILTER_PATTERN, detector.sca_id)
        strength = (filter.pivot.to_value(u.um) - 3.55) / 0.95
    else:
        rng = generator(seed, Stream.FILTER_PATTERN, detector.sca_id, Filter.all().index(filter))
        strength = 1.0
    pattern = smooth_field(rng, shape, peak_to_peak=PATTERN, non_cubic=0.05 * PATTERN)
    pattern *= np.float32(strength)
    pattern += 1
    return pattern
