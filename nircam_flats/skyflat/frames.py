"""Exposures made ready for combination: source-masked and divided by their sky level."""

from collections.abc import Mapping
from functools import cached_property, partial, reduce
from operator import attrgetter, or_

import numpy as np
from astropy.table import QTable
from astropy.time import Time
from attrs import evolve, field, frozen

from nircam_flats._fields import HoldsArrays, image, readonly
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.exposure import Exclusion
from nircam_flats.instrument import Detector, Filter
from nircam_flats.kernels import box_medians, expand_mesh
from nircam_flats.masks import MaskReason, MaskStrategy, Segmentation, SkyLevel, SourceMask
from nircam_flats.parallel import map_ordered
from nircam_flats.provenance import History
from nircam_flats.skyflat.balance import FrameBalance, balance_meshes
from nircam_flats.skyflat.combine import FrameStack
from nircam_flats.skyflat.meshes import MESH_BOX

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
    balance
        What divides ``values`` when frames are combined, a `FrameBalance`; None for nothing. See
        `NormalizedFrames.balanced`.
    """

    name: str = field()
    detector: Detector = field(converter=Detector.get)
    filter: Filter = field(converter=Filter.get)
    flat_name: str | None = field()
    start: Time | None = field(repr=False)
    end: Time | None = field(repr=False)
    level: SkyLevel = field()
    values: np.ndarray = image()
    balance: FrameBalance | None = field(default=None, repr=False)

    @cached_property
    def mesh(self):
        """Clipped medians of ``values`` in boxes of 32 px, NaN where masked."""
        return readonly(box_medians(self.values, MESH_BOX)[0])

    def masked_by(self, mask):
        """Return the frame without the pixels of a `~nircam_flats.SourceMask`; its level stays."""
        return evolve(self, values=readonly(np.where(mask.masked, np.float32(np.nan), self.values)))

    def rows(self, rows):
        """Return the balanced values of the rows in the slice ``rows``."""
        values = self.values[rows]
        if self.balance is None:
            return values
        return values / expand_mesh(self.balance.divisor, MESH_BOX, self.values.shape, rows=rows)

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
            If the sky cannot be measured: no good pixel, more than 80 % of the good pixels masked, a level that is
            not positive, or no scatter at all. The text names the exposure.
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
                f"{exposure.name}: at most {MAX_MASKED_FRACTION:.0%} of the good pixels may be masked for the sky to "
                f"be measured; got {level.masked_fraction:.1%} (a crowded field does not make a flat)"
            )
        if not level.value > 0:
            raise InvalidInputError(
                f"{exposure.name}: the sky level must be positive; got {level.value:.4g} {level.unit} (was the "
                "background subtracted?)"
            )
        if not level.scatter > 0:
            raise InvalidInputError(
                f"{exposure.name}: the sky must show some noise; got {level.value:.4g} {level.unit} in all pixels that "
                "are not masked"
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
    bad = SourceMask.from_array(~exposure.good, MaskReason.DATA_QUALITY)
    if isinstance(masks, list | tuple):
        return reduce(or_, (_mask_of(exposure, item, correction) for item in masks), bad)
    if isinstance(masks, MaskStrategy):
        return SourceMask.from_exposure(exposure, masks, correction=correction)
    mask = masks(exposure) if callable(masks) else masks.get(exposure.name, bad)
    if not isinstance(mask, SourceMask):
        mask = SourceMask.from_array(mask)
    return mask | bad


def _check_masks(masks):
    if isinstance(masks, list | tuple):
        for item in masks:
            _check_masks(item)
    elif isinstance(masks, type) or not (callable(masks) or isinstance(masks, Mapping)):
        came = f"the class {masks.__name__}" if isinstance(masks, type) else type(masks).__name__
        raise InvalidInputError(
            "masks must be a MaskStrategy, a mapping from the names of the exposures, a callable, or a list of these; "
            f"got {came}"
        )


def _described(setting):
    """What ``setting`` is in a history: short, one line, and the same in every run."""
    if isinstance(setting, list | tuple):
        return f"[{', '.join(_described(item) for item in setting)}]"
    if isinstance(setting, Mapping):
        return f"{len(setting)} masks by name"
    return getattr(setting, "__qualname__", None) or repr(setting)


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
            `~nircam_flats.SourceMask` or a boolean image; pixels that are not good are masked besides. With a list of
            such, what any of them masks is masked.
        correction
            A `~nircam_flats.FlatModelFit` that divides the data before sources are looked for and the level is
            measured; the frames themselves stay as the ground flat left them. So are the passes after the first.
        preprocess
            Called with each exposure before anything else, returns the exposure to use (to remove 1/f noise, say).
        executor
            Any `concurrent.futures.Executor`; by default threads for all cores. The result is the same.

        Raises
        ------
        InvalidInputError
            If the exposures are of several detectors, one filter was calibrated with several ground flats, masks or
            correction do not fit, or nothing is left. A single bad exposure is left out and named in ``excluded``.
        """
        masks = Segmentation() if masks is None else masks
        _check_masks(masks)
        usable = exposures.for_one_detector()
        detector = usable.members[0].detector
        if correction is not None and correction.detector != detector:
            raise InvalidInputError(
                f"correction must be a fit of the exposures' detector {detector}; got one of {correction.detector}"
            )
        if correction is not None and correction.surface.shape != usable.members[0].shape:
            raise InvalidInputError(
                f"correction must be a fit of the shape of the exposures, {usable.members[0].shape}; got "
                f"{correction.surface.shape}"
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
            masks=_described(masks),
            correction="none" if correction is None else correction.strategy,
            preprocess="none" if preprocess is None else _described(preprocess),
        )
        return cls(detector=detector, frames=frames, excluded=excluded, history=history)

    @property
    def filters(self):
        """The filters of the frames, each once, in order of wavelength."""
        return tuple(sorted({frame.filter for frame in self.frames}, key=lambda item: item.pivot))

    @property
    def flat_names(self):
        """The ground flat that the exposures of each filter were divided by, a dict {filter name: file name}."""
        names = {frame.filter: frame.flat_name for frame in self.frames}
        return {item.name: names[item] for item in self.filters}

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

    @property
    def meshes(self):
        """The meshes of the frames (`NormalizedFrame.mesh`), shape (n, boxes in y, boxes in x)."""
        return np.stack(list(map_ordered(attrgetter("mesh"), self.frames)))

    def masked_by(self, masks):
        """Return the frames without the pixels of the masks, a dict of `~nircam_flats.SourceMask` by frame name."""
        frames = [frame.masked_by(masks[frame.name]) if frame.name in masks else frame for frame in self.frames]
        return evolve(self, frames=frames, history=self.history.then("mask", masks=_described(masks)))

    def balanced(self):
        """Return the frames with their levels and filters balanced, ready to be combined.

        Each frame is divided by a smooth map: its scale against the others, the broad stripes of its 1/f noise, and
        what its filter shows on large scales beyond the mean of all frames. Without this a stack would show where
        sources were masked: a pixel that lost more frames of one filter than of the other would take after the other.
        """
        balances = balance_meshes(self.meshes, [frame.filter.name for frame in self.frames])
        frames = [evolve(frame, balance=item) for frame, item in zip(self.frames, balances, strict=True)]
        return evolve(self, frames=frames, history=self.history.then("balance levels and filters"))

    def band(self, rows):
        """Return the `FrameStack` of the rows in the slice ``rows``."""
        return FrameStack(
            values=readonly(np.stack([frame.rows(rows) for frame in self.frames])),
            noise=[frame.noise for frame in self.frames],
        )

    @property
    def stripes(self):
        """The 1/f stripes that balancing took out of each frame, relative, shape (n, boxes in y, in x); 0 without."""
        none = np.zeros([-(-n // MESH_BOX) for n in self.shape], np.float32)
        return np.stack([none if frame.balance is None else frame.balance.stripes for frame in self.frames])

    @property
    def shape(self):
        """Rows and columns of a frame."""
        return self.frames[0].values.shape


def _check_shapes(detector, frames):
    shapes = {frame.values.shape for frame in frames}
    if len(shapes) > 1:
        raise InvalidInputError(f"NormalizedFrames of {detector} need frames of one shape; got {sorted(shapes)}")
