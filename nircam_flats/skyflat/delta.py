"""Delta skyflats: what the sky says the ground flat got wrong."""

from concurrent.futures import Executor
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy import units as u
from astropy.table import QTable
from astropy.time import Time
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, image, readonly
from nircam_flats._files import reading
from nircam_flats.exceptions import InvalidInputError, demand
from nircam_flats.exposure import ExposureSet
from nircam_flats.instrument import Detector, Filter
from nircam_flats.instrument.detector import to_detector
from nircam_flats.kernels import box_influences, stack_scatter
from nircam_flats.parallel import map_ordered
from nircam_flats.provenance import History
from nircam_flats.skyflat import _fits
from nircam_flats.skyflat._store import digest
from nircam_flats.skyflat.combine import CombineStrategy, SigmaClippedMedian
from nircam_flats.skyflat.dependence import FilterDependence
from nircam_flats.skyflat.frames import NormalizedFrames
from nircam_flats.skyflat.meshes import MESH_BOX

__all__ = ["DeltaSkyflat"]

HIGHEST_BAND = 4 * MESH_BOX
BAND_BYTES = 64 * 2**20
"""How much of the stack is taken up at once, in each thread, as long as a band is at least one box high."""


def to_filters(names):
    """Return the filters of these names, a tuple."""
    return tuple(Filter.get(name) for name in names)


def _band_height(n_frames, n_columns):
    boxes = BAND_BYTES // (4 * n_frames * n_columns * MESH_BOX)
    return min(max(boxes, 1) * MESH_BOX, HIGHEST_BAND)


def _combine_band(rows, *, frames, strategy):
    stack = frames.band(rows)
    data, err, n_used = strategy(stack)
    median_err = err if strategy.centre == "median" else None
    influences = box_influences(stack.values, data, stack.noise, MESH_BOX, median_err=median_err)
    return data, err, n_used, influences, stack_scatter(stack.values, data, stack.noise)


@frozen(kw_only=True, eq=False)
class DeltaSkyflat(HoldsArrays):
    """Combined sky frames of one detector: the change of the flat since the one that calibrated them.

    Attributes
    ----------
    data, err, n_used
        Relative response (float32, about 1), its 1 sigma error, and the number of frames behind each pixel; NaN,
        NaN and 0 where nothing was left. Errors of neighbouring pixels are independent but for what whole frames
        share, which ``influences`` hold.
    influences
        float32, shape (frames, boxes in y, boxes in x): what each frame adds to the mean of each 32 x 32 box. They
        are the delete-one jackknife at mesh resolution, and give any fit an honest error.
    detector, filters
        One detector; one filter, or several for a grey delta skyflat.
    scatter
        float32 image: how much the frames scatter about ``data`` in each pixel, in units of their noise; 1 is usual,
        more means a noisy pixel, NaN fewer than two frames. None if it was not kept.
    flat_names
        The ground flat that the exposures of each filter were divided by, {filter name: file name}.
    exposures
        Table of the exposures used and left out: name, filter, used, reason, sky level and more.
    first_date, last_date
        Start of the first and end of the last exposure used, None if unknown.
    history
        How it was made.
    """

    detector: Detector = field(converter=to_detector, repr=str)
    filters: tuple = field(converter=to_filters, repr=lambda items: f"<{', '.join(map(str, items))}>")
    data: np.ndarray = image(sets_shape=True)
    err: np.ndarray = image()
    n_used: np.ndarray = image(np.int32)
    influences: np.ndarray = image(ndim=3, follows_shape=False)
    scatter: np.ndarray | None = image(optional=True)
    flat_names: dict = field(converter=dict, repr=False)
    exposures: QTable = field(repr=lambda table: f"<{len(table)} exposures>")
    first_date: Time | None = field(default=None, repr=False)
    last_date: Time | None = field(default=None, repr=False)
    history: History = field(factory=History, repr=False)

    @cached_property
    def good(self):
        """Boolean image: pixels with a value."""
        return readonly(np.isfinite(self.data) & (self.n_used > 0))

    @property
    def box_size(self) -> int:
        """Side of the boxes of `influences`, pixels; the last ones may be cut by the edge."""
        return MESH_BOX

    @property
    def is_grey(self) -> bool:
        """Whether several filters went into it."""
        return len(self.filters) > 1

    @property
    def label(self) -> str:
        """'grey', or the name of the filter."""
        return "grey" if self.is_grey else self.filters[0].name

    @cached_property
    def key(self):
        """Text that stands for its content."""
        dates = [None if date is None else date.isot for date in (self.first_date, self.last_date)]
        facts = (self.detector.name, self.label, self.flat_names, *dates, self.history)
        exposures = self.exposures.pformat(max_lines=-1, max_width=-1)
        return digest(self.data, self.err, self.influences, *facts, *exposures)

    @classmethod
    def from_frames(
        cls,
        frames: NormalizedFrames,
        *,
        strategy: CombineStrategy | None = None,
        balance: bool = True,
        executor: Executor | None = None,
    ) -> Self:
        """Combine frames, pixel by pixel.

        Parameters
        ----------
        frames
            `NormalizedFrames`; all filters for a grey delta skyflat, or those of one filter.
        strategy
            A `CombineStrategy`; by default `SigmaClippedMedian`.
        balance
            Whether the levels and filters of the frames are balanced first (`NormalizedFrames.balanced`).
        executor
            Any `concurrent.futures.Executor`; by default threads for all cores. The result is the same.

        Raises
        ------
        InvalidInputError
            If there are fewer than two frames: sources and sky cannot be told apart in one.
        """
        demand(
            frames, "balanced", "DeltaSkyflat.from_frames needs NormalizedFrames (from_exposures takes an ExposureSet)"
        )
        if len(frames) < 2:
            raise InvalidInputError(
                f"DeltaSkyflat of {frames.detector} needs at least 2 exposures (12 or more for a good one); got "
                f"{len(frames)}: {', '.join(frame.name for frame in frames.frames) or 'none'}"
            )
        strategy = SigmaClippedMedian() if strategy is None else strategy
        if not isinstance(strategy, CombineStrategy):
            raise InvalidInputError(
                f"DeltaSkyflat.from_frames needs a CombineStrategy, SigmaClippedMedian(), say; got {strategy!r}"
            )
        frames = frames.balanced() if balance else frames
        names = "+".join(item.name for item in frames.filters)
        work = partial(_combine_band, frames=frames, strategy=strategy)
        height = _band_height(len(frames), frames.shape[1])
        bands = map_ordered(
            work,
            [slice(start, start + height) for start in range(0, frames.shape[0], height)],
            executor=frames.sharing(executor),
            stage=f"combine {frames.detector} {names}",
        )
        data, err, n_used, influences, scatter = zip(*bands, strict=True)
        # The stack keeps the mean of the stripes that were taken out of each frame.
        pulls = np.concatenate(influences, axis=1) + frames.stripes / len(frames)
        if balance:
            pulls *= _freedom(frames)[:, None, None]
        return cls(
            detector=frames.detector,
            filters=frames.filters,
            data=readonly(np.concatenate(data)),
            err=readonly(np.concatenate(err)),
            n_used=readonly(np.concatenate(n_used)),
            influences=readonly(pulls),
            scatter=readonly(np.concatenate(scatter)),
            flat_names=frames.flat_names,
            exposures=_table_of(frames),
            first_date=min((frame.start for frame in frames.frames if frame.start is not None), default=None),
            last_date=max((frame.end for frame in frames.frames if frame.end is not None), default=None),
            history=frames.history.then("combine", strategy=strategy, frames=len(frames)),
        )

    @classmethod
    def from_exposures(
        cls,
        exposures: ExposureSet,
        *,
        strategy: CombineStrategy | None = None,
        executor: Executor | None = None,
        **settings: Any,
    ) -> Self:
        """Mask, normalise and combine in one step; ``settings`` are those of `NormalizedFrames.from_exposures`."""
        frames = NormalizedFrames.from_exposures(exposures, executor=executor, **settings)
        return cls.from_frames(frames, strategy=strategy, executor=executor)

    def relative_to(self, grey: "DeltaSkyflat") -> FilterDependence:
        """Return the `FilterDependence` of this delta skyflat of one filter: it divided by ``grey``, with errors.

        Raises
        ------
        InvalidInputError
            As `FilterDependence.between` does.
        """
        return FilterDependence.between(self, grey)

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a FITS file (extensions SCI, ERR, N_USED, INFLUENCES, SCATTER, EXPOSURES) that `read` reads back."""
        _fits.write_delta(self, path, overwrite=overwrite)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what `write` wrote.

        Raises
        ------
        InvalidInputError
            If the file is not a delta skyflat; the text names it and what is missing.
        """
        with reading(path):
            return cls(**_fits.read_delta(path))

    def plot(self, ax: Any = None, **artist_options: Any) -> Any:
        """Draw the delta skyflat; returns the artist."""
        from nircam_flats.plotting import draw_flat

        return draw_flat(self.data, ax=ax, title=f"{self.detector} {self.label}: delta skyflat", **artist_options)


def _freedom(frames):
    """Factor for the influences of each frame that gives back what balancing hides of its noise.

    Balanced frames depart from the mean of their filter, not from that of all n frames. Their scatter is smaller by
    sqrt((n_f - 1) / n_f), with n_f frames in the filter, while the jackknife expects sqrt((n - 1) / n).
    """
    names = [frame.filter.name for frame in frames.frames]
    of_filter = np.array([max(names.count(name), 2) for name in names])
    n = len(names)
    return np.sqrt(of_filter / (of_filter - 1) * (n - 1) / n).astype(np.float32)


def _table_of(frames):
    table = frames.table
    table["used"], table["reason"] = True, ""
    facts = ["name", "filter", "used", "reason", "start", "ra", "dec", "roll"]
    table.keep_columns([*facts, "level", "level_err", "noise", "masked_fraction"])
    for item in frames.excluded:
        table.add_row(
            {
                "name": item.name,
                "filter": "" if item.header is None else item.header.filter.name,
                "used": False,
                "reason": item.reason,
                "level": np.nan * table["level"].unit,
                "level_err": np.nan * table["level"].unit,
                "noise": np.nan,
                "masked_fraction": np.nan,
                "start": "",
                **dict.fromkeys(("ra", "dec", "roll"), np.nan * u.deg),
            }
        )
    return table
