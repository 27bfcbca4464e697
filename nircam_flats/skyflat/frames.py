"""Exposures made ready for combination: source-masked and divided by their sky level."""

from functools import partial, reduce
from operator import or_

import numpy as np
from astropy.table import QTable
from astropy.time import Time
from attrs import evolve, field, frozen

from nircam_flats._fields import HoldsArrays, image, readonly
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.exposure import Exclusion
from nircam_flats.instrument import Detector, Filter
from nircam_flats.masks import MaskStrategy, Segmentation, SkyLevel, SourceMask
from nircam_flats.parallel import map_ordered
from nircam_flats.provenance import History
from nircam_flats.skyflat.combine import FrameStack

__all__ = ["NormalizedFrame", "NormalizedFrames"]

MAX_MASKED_FRACTION = 0.8


@frozen(kw_only=True, eq=False)
class NormalizedFrame(HoldsArrays):
    """One exposure masked and divided by its sky level.

    Attributes
    ----------
    name, detector, filter, flat_name, start, end
        Facts of the exposure; ``flat_name`` is the ground flat it was divided by.
    level
        The `~nircam_flats.SkyLevel` that divided it.
    values
        float32 image, 1 on average, NaN where masked.
    """

    name: str = field()
    detector: Detector = field(converter=Detector.get)
    filter: Filter = field(converter=Filter.get)
    flat_name: str | None = field()
    start: Time | None = field(repr=False)
    end: Time | None = field(repr=False)
    level: SkyLevel = field()
    values: np.ndarray = image()

    @property
    def noise(self):
        """1 sigma of one pixel, in units of the sky level."""
        return self.level.scatter / self.level.value

    @classmethod
    def from_exposure(cls, exposure, *, masks=None, correction=None, preprocess=None):
        """Mask and normalise one exposure; the parameters are those of `NormalizedFrames.from_exposures`.

        Raises
        ------
        InvalidInputError
            If the sky cannot be measured: no good pixel, more than 80 % of the good pixels masked, or a level that
            is not positive. The text names the exposure.
        """
        if preprocess is not None:
            exposure = preprocess(exposure)
        if not exposure.good.any():
            raise InvalidInputError(f"{exposure.name}: at least one good pixel is needed; all are bad or not finite")
        mask = _mask_of(exposure, Segmentation() if masks is None else masks, correction)
        data = exposure.data if correction is None else exposure.data / correction.surface
        try:
            level = SkyLevel.measure(data, mask.masked, good=exposure.good, unit=exposure.unit)
        except InvalidInputError as error:
            raise InvalidInputError(f"{exposure.name}: {error}") from error
        if level.masked_fraction > MAX_MASKED_FRACTION:
            raise InvalidInputError(
                f"{exposure.name}: at most {MAX_MASKED_FRACTION:.0%} of the good pixels may be masked for the sky to be "
                f"measured; got {level.masked_fraction:.0%} (a crowded field does not make a flat)"
            )
        if not level.value > 0:
            raise InvalidInputError(
                f"{exposure.name}: the sky level must be positive; got {level.value:.4g} {level.unit} (was the "
                "background subtracted?)"
            )
        return cls(
            name=exposure.name,
            detector=exposure.detector,
            filter=exposure.filter,
            flat_name=exposure.flat_name,
            start=exposure.start,
            end=exposure.end,
            level=level,
            values=readonly(np.where(mask.masked, np.float32(np.nan), exposure.data / np.float32(level.value))),
        )


def _mask_of(exposure, masks, correction):
    if isinstance(masks, list | tuple):
        return reduce(or_, (_mask_of(exposure, item, correction) for item in masks))
    if isinstance(masks, MaskStrategy):
        return SourceMask.from_exposure(exposure, masks, correction=correction)
    if callable(masks):
        mask = masks(exposure)
    else:
        mask = masks.get(exposure.name, np.zeros(exposure.data.shape, bool))
    if not isinstance(mask, SourceMask):
        mask = SourceMask.from_array(mask)
    return mask | SourceMask.from_array(~exposure.good)


def _frame_or_exclusion(member, *, masks, correction, preprocess):
    try:
        exposure = member.load(planes=("dq",))
        return NormalizedFrame.from_exposure(exposure, masks=masks, correction=correction, preprocess=preprocess)
    except InvalidInputError as error:
        reason = str(error).removeprefix(f"{member.path}: ").removeprefix(f"{member.name}: ")
        return Exclusion(name=member.name, path=member.path, reason=reason, header=member.without_pixels())


@frozen(kw_only=True, eq=False)
class NormalizedFrames(HoldsArrays):
    """The frames of one detector: masked and normalised once, used many times.

    Attributes
    ----------
    detector
        The detector of all frames.
    frames
        Tuple of `NormalizedFrame`, in the order of the exposures.
    excluded
        Exposures that were left out, each with its reason.
    history
        How they were made.
    """

    detector: Detector = field(converter=Detector.get)
    frames: tuple = field(converter=tuple, repr=lambda frames: f"<{len(frames)} frames>")
    excluded: tuple = field(factory=tuple, converter=tuple, repr=lambda items: f"<{len(items)} left out>")
    history: History = field(factory=History, repr=False)

    def __len__(self):
        return len(self.frames)

    @classmethod
    def from_exposures(cls, exposures, *, masks=None, correction=None, preprocess=None, executor=None):
        """Mask and normalise the exposures of one detector.

        Parameters
        ----------
        exposures
            An `~nircam_flats.ExposureSet` of one detector.
        masks
            A `~nircam_flats.MaskStrategy` (by default `~nircam_flats.Segmentation`), a mapping from the names of the
            exposures to masks, or a callable that makes a mask of an exposure. A mask is a
            `~nircam_flats.SourceMask` or a boolean image; pixels that are not good are masked besides.
        correction
            A `~nircam_flats.FlatModelFit` that divides the data before sources are looked for and the level is
            measured; the frames themselves stay as the ground flat left them. This is the second pass.
        preprocess
            Called with each exposure before anything else, returns the exposure to use (to remove 1/f noise, say).
        executor
            Any `concurrent.futures.Executor`; by default threads for all cores. The result is the same.

        Raises
        ------
        InvalidInputError
            If the exposures are of several detectors, one filter was calibrated with several ground flats, or
            nothing is left. A single bad exposure is left out and named in ``excluded``.
        """
        usable = exposures.for_one_detector()
        detector = usable.members[0].detector
        if correction is not None and correction.detector != detector:
            raise InvalidInputError(
                f"correction must be a fit of the exposures' detector {detector}; got one of {correction.detector}"
            )
        work = partial(_frame_or_exclusion, masks=masks, correction=correction, preprocess=preprocess)
        results = list(map_ordered(work, usable.members, executor=executor, stage=f"mask {detector}"))
        frames = [item for item in results if isinstance(item, NormalizedFrame)]
        excluded = (*usable.excluded, *(item for item in results if isinstance(item, Exclusion)))
        if not frames:
            reasons = "; ".join(str(item) for item in excluded)
            raise InvalidInputError(
                f"NormalizedFrames of {detector} need at least one usable exposure; none is left: {reasons}"
            )
        _check_shapes(detector, frames)
        history = History().then(
            "mask and normalise",
            masks=Segmentation() if masks is None else masks,
            correction="none" if correction is None else correction.strategy,
            preprocess=preprocess,
        )
        return cls(detector=detector, frames=frames, excluded=excluded, history=history)

    @property
    def filters(self):
        """The filters of the frames, each once, in order of wavelength."""
        return tuple(sorted({frame.filter for frame in self.frames}, key=lambda item: item.pivot))

    @property
    def flat_names(self):
        """The ground flat that the exposures of each filter were divided by, a dict {filter name: file name}."""
        return {frame.filter.name: frame.flat_name for frame in self.frames}

    @property
    def table(self):
        """A `~astropy.table.QTable` with a row per frame: facts, sky level and its error, noise, masked fraction."""
        return QTable(
            {
                "name": [frame.name for frame in self.frames],
                "filter": [frame.filter.name for frame in self.frames],
                "flat_name": [frame.flat_name or "" for frame in self.frames],
                "start": [frame.start.isot if frame.start is not None else "" for frame in self.frames],
                "level": [frame.level.value for frame in self.frames] * self.frames[0].level.unit,
                "level_err": [frame.level.err for frame in self.frames] * self.frames[0].level.unit,
                "noise": [frame.noise for frame in self.frames],
                "masked_fraction": [frame.level.masked_fraction for frame in self.frames],
            }
        )

    def where(self, *, filter):
        """Return the frames of one filter (the exposures left out stay listed).

        Raises
        ------
        InvalidInputError
            If there is none.
        """
        wanted = Filter.get(filter)
        frames = [frame for frame in self.frames if frame.filter == wanted]
        if not frames:
            have = ", ".join(item.name for item in self.filters)
            raise InvalidInputError(f"NormalizedFrames of {self.detector} have no frame in {wanted}; they have {have}")
        return evolve(self, frames=frames)

    def band(self, rows):
        """Return the `FrameStack` of the rows in the slice ``rows``."""
        return FrameStack(
            values=readonly(np.stack([frame.values[rows] for frame in self.frames])),
            noise=[frame.noise for frame in self.frames],
        )

    @property
    def shape(self):
        """Rows and columns of a frame."""
        return self.frames[0].values.shape


def _check_shapes(detector, frames):
    shapes = {frame.values.shape for frame in frames}
    if len(shapes) > 1:
        raise InvalidInputError(f"NormalizedFrames of {detector} need frames of one shape; got {sorted(shapes)}")
