"""The frames of one detector: its exposures masked and normalised once, used many times."""

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from functools import partial
from operator import attrgetter
from typing import Any, Self

import numpy as np
from astropy import units as u
from astropy.table import QTable
from attrs import evolve, field, frozen

from nircam_flats._fields import HoldsArrays, readonly, to_tuple
from nircam_flats._strategy import key_of
from nircam_flats.exceptions import FlatsError, InvalidInputError, StorageError, WorkerError, demand
from nircam_flats.exposure import Exclusion, ExposureSet
from nircam_flats.instrument import Detector, Filter
from nircam_flats.instrument.detector import to_detector
from nircam_flats.kernels import box_means, box_medians, expand_mesh
from nircam_flats.masks import MaskStrategy, Segmentation
from nircam_flats.parallel import map_ordered, shares_memory, sharing
from nircam_flats.provenance import History, software_versions
from nircam_flats.skyflat._store import FrameStore, digest
from nircam_flats.skyflat.balance import balance_meshes, filter_ratios
from nircam_flats.skyflat.combine import FrameStack
from nircam_flats.skyflat.extended import MIN_FRAMES, BoxMasks
from nircam_flats.skyflat.frame import NormalizedFrame, pixels_of
from nircam_flats.skyflat.light import Divisor
from nircam_flats.skyflat.meshes import MESH_BOX, median_of_frames

__all__ = ["NormalizedFrames", "check_masks", "described"]


def check_masks(masks):
    if isinstance(masks, list | tuple):
        for item in masks:
            check_masks(item)
    elif isinstance(masks, type) or not (callable(masks) or isinstance(masks, Mapping)):
        came = f"the class {masks.__name__}" if isinstance(masks, type) else type(masks).__name__
        raise InvalidInputError(
            "masks must be a MaskStrategy, a mapping from the names of the exposures, a callable, or a list of these; "
            f"got {came}"
        )


def described(setting):
    """What ``setting`` is in a history: short, one line, and the same in every run."""
    if isinstance(setting, list | tuple):
        return f"[{', '.join(described(item) for item in setting)}]"
    if isinstance(setting, Mapping):
        return f"{len(setting)} masks by name"
    return getattr(setting, "__qualname__", None) or repr(setting)


def _frame_or_exclusion(member, *, masks, divisors, light, preprocess, store, base_key):
    divisor, light = divisors[member.filter.name], light.get(member.name)
    try:
        return _frame_from_store(member, masks, divisor, light, preprocess, store, base_key)
    except (StorageError, WorkerError):  # are not the fault of the exposure
        raise
    except FlatsError as error:
        reason = str(error).removeprefix(f"{member.path}: ").removeprefix(f"{member.name}: ")
        return Exclusion(name=member.name, path=member.path, reason=reason, header=member.without_pixels())


def _frame_from_store(member, masks, divisor, light, preprocess, store, base_key):
    def load(member):
        return pixels_of(_prepared(member, preprocess))

    pixels, pixels_key = store.pixels(member, preprocess, load)
    key = (
        None
        if base_key is None or pixels_key is None
        else digest(base_key, pixels_key, _key_of(divisor, light), *_own_masks(member, masks))
    )
    found = store.find_frame(key)
    names = ("name", "detector", "filter", "flat_name", "start", "end", "pointing")
    facts = {name: getattr(member, name) for name in names}
    if found is not None:
        return NormalizedFrame(values=pixels, scale=found["level"].value, **found, **facts)
    # A function of the user may look at more than the pixels.
    exposure = _prepared(member, preprocess) if _is_called(masks) else member.with_pixels(pixels[:])
    divisor = divisor if light is None else light.joined(divisor, member.shape)
    frame = NormalizedFrame.from_exposure(exposure, masks=masks, correction=divisor)
    store.keep_frame(key, level=frame.level, masked=frame.masked, mesh=frame.mesh)
    kept = store.find_frame(key) or {"mesh": frame.mesh}
    return evolve(frame, values=pixels, **kept)


def _prepared(member, preprocess):
    exposure = member.load(planes=("dq",))
    return exposure if preprocess is None else preprocess(exposure)


def _is_called(masks):
    items = masks if isinstance(masks, list | tuple) else [masks]
    return any(callable(item) and not isinstance(item, MaskStrategy) for item in items)


def _base_key(masks):
    """Text that stands for what decides about the masks of all exposures; None if not all of it is known."""
    parts = [software_versions()]
    for item in masks if isinstance(masks, list | tuple) else [masks]:
        if isinstance(item, MaskStrategy):
            parts.append(key_of(item))
        elif not isinstance(item, Mapping):
            return None
    return None if None in parts else digest(*parts)


def _key_of(divisor, light):
    """Text that stands for what divides the data of an exposure, and for the light that is in it."""
    return digest(*("" if item is None else item.key for item in (divisor, light)))


def _divisors(correction, members):
    """The `Divisor` of each filter of the exposures, a dict by its name; None for those without a correction."""
    names = sorted({member.filter.name for member in members})
    if correction is None:
        return dict.fromkeys(names)
    if not isinstance(correction, Mapping):
        return dict.fromkeys(names, _divisor(correction, members[0]))
    missing = [name for name in names if name not in correction]
    if missing:
        raise InvalidInputError(
            f"correction must have a fit for each filter of the exposures, {', '.join(names)}; {missing[0]} has none"
        )
    return {name: _divisor(correction[name], members[0]) for name in names}


def _divisor(fit, member):
    demand(fit, "surface", "correction must be a FlatModelFit, or one for each filter by its name")
    if fit.detector != member.detector:
        raise InvalidInputError(
            f"correction must be a fit of the exposures' detector {member.detector}; got one of {fit.detector}"
        )
    if fit.surface.shape != member.shape:
        raise InvalidInputError(
            f"correction must be a fit of the shape of the exposures, {member.shape}; got {fit.surface.shape}"
        )
    return Divisor(fit.surface)


def _said_of(correction):
    """What the correction is in a history."""
    if isinstance(correction, Mapping):
        return "; ".join(f"{name}: {correction[name].strategy}" for name in sorted(correction))
    return "none" if correction is None else getattr(correction, "strategy", repr(correction))


def _own_masks(member, masks):
    """What is given for one exposure by name."""
    for item in masks if isinstance(masks, list | tuple) else [masks]:
        if isinstance(item, Mapping):
            mask = (item.boxes if isinstance(item, BoxMasks) else item).get(member.name)
            yield "" if mask is None else getattr(mask, "masked", mask)


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
    store
        Where their pixels are kept: a temporary folder lives as long as this.
    """

    detector: Detector = field(converter=to_detector, repr=str)
    frames: tuple = field(converter=to_tuple, repr=lambda frames: f"<{len(frames)} frames>")
    excluded: tuple = field(factory=tuple, converter=to_tuple, repr=lambda items: f"<{len(items)} left out>")
    history: History = field(factory=History, repr=False)
    store: FrameStore | None = field(default=None, repr=False)

    @frames.validator
    def _belong_together(self, attribute, frames):
        names = Counter(frame.name for frame in frames)
        name, n = max(names.items(), key=lambda item: item[1], default=("", 0))
        if n > 1:
            raise InvalidInputError(
                f"NormalizedFrames needs a name for each exposure, by which tables, masks and light know it; {n} are "
                f"called {name!r}: give each its own, Exposure(name=...)"
            )
        kinds = {(frame.detector, frame.shape) for frame in frames}
        if len(kinds) > 1 or any(detector != self.detector for detector, _ in kinds):
            came = ", ".join(sorted(f"{detector} with shape {shape}" for detector, shape in kinds))
            raise InvalidInputError(f"NormalizedFrames needs frames of {self.detector} with one shape; got {came}")

    def __len__(self) -> int:
        return len(self.frames)

    @classmethod
    def from_exposures(
        cls,
        exposures: ExposureSet,
        *,
        masks: Any = None,
        correction: Any = None,
        light: Any = None,
        preprocess: Callable | None = None,
        executor: Executor | None = None,
        memory_limit: u.Quantity = 1 * u.GiB,
        store: Any = None,
    ) -> Self:
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
            measured, or one for each filter, a mapping by filter name as a `~nircam_flats.FlatPolicy` returns it; the
            frames themselves stay as the ground flat left them. So are the passes after the first.
        light
            A mapping from names of exposures to the ``FrameLight`` that is added to what divides the data, so that
            neither masks take light that is known for a source nor levels take it for sky. The frames themselves keep
            it.
        preprocess
            Called with each exposure before anything else, returns the exposure to use (to remove 1/f noise, say).
        executor
            Any `concurrent.futures.Executor`; by default threads for all cores. The result is the same.
        memory_limit
            How much memory the pixels may take; if they need more they go to a temporary folder, and are read band by
            band when they are combined.
        store
            A folder in which pixels and masks are kept: what is there already, from another pass, run or grouping of
            the exposures, is not made again. Masks of a strategy without ``cache_key``, or of a function, are.

        Raises
        ------
        InvalidInputError
            If the exposures are of several detectors, one filter was calibrated with several ground flats, masks or
            correction do not fit, or nothing is left. A single bad exposure is left out and named in ``excluded``.
        StorageError
            If the store does not take the frames, as a full disk; what it has taken serves the next run.
        """
        masks = Segmentation() if masks is None else masks
        check_masks(masks)
        needs = "NormalizedFrames.from_exposures needs an ExposureSet (ExposureSet.read(...))"
        demand(exposures, "for_one_detector", needs)
        usable = exposures.for_one_detector()
        detector = usable.members[0].detector
        divisors = _divisors(correction, usable.members)
        if store is None and not shares_memory(executor):
            memory_limit = 0 * u.byte  # other processes read pixels from a folder
        store = FrameStore.for_exposures(usable.members, store, memory_limit)
        executor = sharing(executor, store.folder)
        work = partial(
            _frame_or_exclusion,
            masks=masks,
            divisors=divisors,
            light={} if light is None else light,
            preprocess=preprocess,
            store=store,
            base_key=None if store.folder is None else _base_key(masks),
        )
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
            masks=described(masks),
            correction=_said_of(correction),
            preprocess="none" if preprocess is None else described(preprocess),
        )
        return cls(detector=detector, frames=frames, excluded=excluded, history=history, store=store)

    @property
    def filters(self) -> tuple:
        """The filters of the frames, each once, in order of wavelength."""
        return tuple(sorted({frame.filter for frame in self.frames}, key=lambda item: item.pivot))

    @property
    def flat_names(self) -> dict:
        """The ground flat that the exposures of each filter were divided by, a dict {filter name: file name}."""
        names = {frame.filter: frame.flat_name for frame in self.frames}
        return {item.name: names[item] for item in self.filters}

    @property
    def table(self) -> QTable:
        """A `~astropy.table.QTable` with a row per frame: facts, sky level and its error, noise, masked fraction.

        ``ra``, ``dec`` and ``roll`` are those of the reference point of its `Pointing`; NaN where that is not known.
        """
        pointings = [frame.pointing for frame in self.frames]
        places = {
            name: u.Quantity([np.nan * u.deg if item is None else getattr(item, f"{name}_ref") for item in pointings])
            for name in ("ra", "dec", "roll")
        }
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
                **places,
            }
        )

    @property
    def fields(self) -> np.ndarray:
        """Number of the field that each frame looks at, shape (n,); -1 where its pointing is not known.

        A frame looks at the same field as another whose middle is less than a frame away from its own.
        """
        scales = (one.to_value(u.arcsec) for one in (self.detector.x_scale, self.detector.y_scale))
        limits = [max(self.shape) * scale for scale in scales]
        firsts: list = []
        numbers = []
        for pointing in (frame.pointing for frame in self.frames):
            if pointing is None:
                numbers.append(-1)
                continue
            middle = pointing.to_sky(0 * u.arcsec, 0 * u.arcsec)
            places = ([abs(item.to_value(u.arcsec)) for item in first.to_ideal(*middle)] for first in firsts)
            near = (number for number, place in enumerate(places) if (np.array(place) < limits).all())
            numbers.append(next(near, len(firsts)))
            if numbers[-1] == len(firsts):
                firsts.append(pointing)
        return np.array(numbers)

    def where(self, *, filter: Filter | str) -> "NormalizedFrames":
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

    def only(self, names: Any) -> "NormalizedFrames":
        """Return the frames of these names.

        Raises
        ------
        InvalidInputError
            If there is none.
        """
        names = set(names)
        frames = [frame for frame in self.frames if frame.name in names]
        if not frames:
            raise InvalidInputError(f"NormalizedFrames of {self.detector} need a frame to be left; all are left out")
        return evolve(self, frames=frames)

    @property
    def meshes(self) -> np.ndarray:
        """The meshes of the frames (`NormalizedFrame.mesh`), shape (n, boxes in y, boxes in x)."""
        return np.stack(list(map_ordered(attrgetter("mesh"), self.frames)))

    @property
    def departures(self) -> dict:
        """What filters show on large scales beyond the mean of all frames, {filter name: smooth mesh, about 1}.

        It is told by the medians of the frames as they are, not balanced, which is well enough for masks. Left out are
        filters with fewer than 4 frames, since one alone could make it, and a filter that is the only one.
        """
        names, meshes = np.array([frame.filter.name for frame in self.frames]), self.meshes
        of_filter = {item.name: names == item.name for item in self.filters}
        ratios = filter_ratios({name: median_of_frames(meshes[here]) for name, here in of_filter.items()}, names)
        return {name: ratios[name] for name, here in of_filter.items() if MIN_FRAMES <= here.sum() < len(names)}

    def minus(self, light: Any, *, field: bool = False) -> "NormalizedFrames":
        """Return the frames with additive light subtracted, instead of any that was subtracted before.

        Parameters
        ----------
        light
            A mapping from names of frames to `~nircam_flats.skyflat.light.FrameLight`; the others lose nothing.
        field
            Whether it is the light of the field, which is kept apart from that of the detector.
        """
        frames = [frame.minus(light.get(frame.name), field=field) for frame in self.frames]
        what = "subtract light of the field" if field else "subtract light"
        n = sum(frame.name in light for frame in frames)
        return evolve(self, frames=frames, history=self.history.then(what, frames=n) if n else self.history)

    def boxed(self, box_size: int) -> np.ndarray:
        """Return clipped medians of the frames in boxes of this side, shape (n, boxes in y, boxes in x)."""
        if box_size == MESH_BOX:
            return self.meshes
        return np.stack([box_medians(frame.values, box_size)[0] for frame in self.frames])

    def without(self, light: Any) -> "NormalizedFrames":
        """Return the frames without the pixels of ``light``, which `ExtendedLight` found; levels stay."""
        frames = [frame.without(light.boxes[frame.name]) if frame.name in light else frame for frame in self.frames]
        return evolve(self, frames=frames, history=self.history.then("mask", masks=described(light)))

    @property
    def key(self) -> str:
        """Text that stands for the content of the frames and what they were told about themselves."""
        return digest(self.history, *self.excluded, *(frame.key for frame in self.frames))

    def remembered(self, cls, make: Any, *, of: Any = None, beside: Any = (), **strategies: Any) -> Any:
        """Return ``make(of, **strategies)``, a product of class ``cls``; a store in a folder keeps it.

        Parameters
        ----------
        cls
            A class with ``read`` and ``write``.
        make
            A function of the library; other runs know it by its name and the versions of the software.
        of
            What the product is made of, with a ``key``; by default these frames.
        beside
            Arrays and texts that decide about it as well.
        **strategies
            They must be None or say what they are (``cache_key``); otherwise the product is made anew in each run.
        """
        of = self if of is None else of
        work = partial(make, of, **strategies)
        keys = ["" if strategy is None else key_of(strategy) for strategy in strategies.values()]
        if self.store is None or self.store.folder is None or None in keys:
            return work()
        name = getattr(make, "func", make).__qualname__
        return self.store.remembered(cls, (software_versions(), name, *keys, of.key, *beside), work)

    def balanced(self) -> "NormalizedFrames":
        """Return the frames with their levels and filters balanced, ready to be combined.

        Each frame is divided by a smooth map: its scale against the others, the broad stripes of its 1/f noise, and
        what its filter shows on large scales beyond the mean of all frames. Without this a stack would show where
        sources were masked: a pixel that lost more frames of one filter than of the other would take after the other.
        """
        balances = balance_meshes(self.meshes, [frame.filter.name for frame in self.frames])
        frames = [evolve(frame, balance=item) for frame, item in zip(self.frames, balances, strict=True)]
        return evolve(self, frames=frames, history=self.history.then("balance levels and filters"))

    def band(self, rows: Any) -> FrameStack:
        """Return the `FrameStack` of the rows in the slice ``rows``."""
        ny, nx = self.shape
        values = np.empty((len(self), len(range(ny)[rows]), nx), np.float32)
        for frame, out in zip(self.frames, values, strict=True):
            frame.rows(rows, out)
        return FrameStack(
            values=readonly(values),
            noise=np.array([frame.noise for frame in self.frames]),
        )

    @property
    def stripes(self) -> np.ndarray:
        """The 1/f stripes that balancing took out of each frame, relative, shape (n, boxes in y, in x); 0 without.

        They are means over boxes of what is interpolated, which is less than the mesh where rows differ.
        """
        none = np.zeros([-(-n // MESH_BOX) for n in self.shape], np.float32)

        def taken_out(frame):
            if frame.balance is None:
                return none
            return box_means(expand_mesh(frame.balance.stripes, MESH_BOX, self.shape), MESH_BOX)

        return np.stack(list(map_ordered(taken_out, self.frames)))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        return self.frames[0].shape

    def sharing(self, executor: Executor | None) -> Any:
        """Return the executor for work on the frames: its workers read them from the folder of their store."""
        return sharing(executor, None if self.store is None else self.store.folder)


def _check_shapes(detector, frames):
    shapes = {frame.shape for frame in frames}
    if len(shapes) > 1:
        raise InvalidInputError(f"NormalizedFrames of {detector} need frames of one shape; got {sorted(shapes)}")
