"""Delta skyflats of one detector over the years."""

from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any, Self

import numpy as np
from astropy import units as u
from astropy.table import QTable
from astropy.time import Time
from attrs import evolve, field, frozen
from numpy.polynomial import legendre

from nircam_flats._fields import HoldsArrays, image, quantity, readonly, to_tuple
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.exposure import Exposure, ExposureSet
from nircam_flats.instrument import Filter
from nircam_flats.kernels import box_medians
from nircam_flats.masks import Segmentation
from nircam_flats.skyflat.combine import PRIOR_FRAMES
from nircam_flats.skyflat.delta import DeltaSkyflat
from nircam_flats.skyflat.frames import NormalizedFrames
from nircam_flats.skyflat.gradient import jackknife_factor
from nircam_flats.skyflat.meshes import MESH_BOX, white_variance_of_medians
from nircam_flats.skyflat.trend import SkyflatTrend

__all__ = ["SkyflatEpoch", "SkyflatSeries"]

ORIGIN = Time("2022-07-12T00:00:00", scale="utc")
"""Where epochs are counted from (the first day of science): they never depend on the exposures that there are."""


@frozen(kw_only=True, eq=False)
class SkyflatEpoch(HoldsArrays):
    """One epoch of a `SkyflatSeries`: what is kept of its delta skyflat.

    Attributes
    ----------
    start, end
        The epoch.
    date
        Mean start of its exposures.
    names
        Names of its exposures, a tuple.
    filters
        Names of their filters, a tuple.
    mesh
        Medians of the delta skyflat in boxes of 32 px, divided by the median of all boxes; NaN where there is none.
    influences
        `DeltaSkyflat.influences`, the level of each frame taken out, which is no structure.
    white_variance
        Variance of ``mesh`` that they do not tell, because they are those of means and not of medians.
    """

    start: Time = field()
    end: Time = field()
    date: Time = field(repr=False)
    names: tuple = field(converter=to_tuple, repr=lambda names: f"<{len(names)} exposures>")
    filters: tuple = field(converter=to_tuple)
    mesh: np.ndarray = image()
    influences: np.ndarray = image(ndim=3)
    white_variance: np.ndarray = image()

    @property
    def errors(self) -> Any:
        """1 sigma errors of `mesh`, by the jackknife over the exposures; NaN where there is no value."""
        variance = jackknife_factor(len(self.names)) * np.sum(self.influences.astype(float) ** 2, axis=0)
        return np.where(np.isfinite(self.mesh), np.sqrt(variance + self.white_variance), np.nan)


@frozen(kw_only=True, eq=False)
class SkyflatSeries(HoldsArrays):
    """Delta skyflats of one detector, epoch by epoch.

    Each exposure is masked and normalised once, by itself, and kept in the store; so exposures can be added at any
    time, and any span combined exactly as if it had been stacked at once.

    Attributes
    ----------
    exposures
        `~nircam_flats.ExposureSet`, in order of time.
    frames
        The `NormalizedFrames` of all of them.
    length, min_exposures
        Length of an epoch, and how many exposures make one.
    epochs
        A `SkyflatEpoch` for each that has enough exposures, in order.
    settings
        How exposures are masked and combined, a dict.
    """

    exposures: ExposureSet = field()
    frames: NormalizedFrames = field()
    length: u.Quantity = quantity(u.day)
    min_exposures: int = field(converter=int)
    epochs: tuple = field(converter=to_tuple, repr=lambda epochs: f"<{len(epochs)} epochs>")
    settings: dict = field(converter=dict, repr=False)

    def __len__(self) -> int:
        return len(self.epochs)

    @classmethod
    def from_exposures(
        cls,
        exposures: ExposureSet,
        *,
        length: Any = 90 * u.day,
        min_exposures: int = 4,
        masks: Any = None,
        correction: Any = None,
        preprocess: Callable | None = None,
        strategy: Any = None,
        executor: Executor | None = None,
        memory_limit: u.Quantity = 1 * u.GiB,
        store: Any = None,
    ) -> Self:
        """Mask, normalise and combine the exposures of one detector, epoch by epoch.

        Parameters
        ----------
        exposures
            An `~nircam_flats.ExposureSet` of one detector.
        length
            Length of an epoch. Epochs are counted from 2022-07-12, the first day of science.
        min_exposures
            Epochs with fewer exposures (2 at least) wait for more: they are in the `table`, and not combined.
        masks
            As in `NormalizedFrames.from_exposures`; by default `~nircam_flats.Segmentation`, and that for a first pass
            without a ``correction``.
        correction
            A `~nircam_flats.FlatModelFit` that makes the data flat before they are masked, of any good flat of the
            detector: best that of its first epochs. It stays the same for the whole series.
        strategy
            A `CombineStrategy`; by default `SigmaClippedMedian`.
        preprocess, memory_limit, store
            As in `NormalizedFrames.from_exposures`. With a ``store`` a later run masks and combines nothing again.
        executor
            Any `concurrent.futures.Executor`; by default threads for all cores. The result is the same.

        Raises
        ------
        InvalidInputError
            As `NormalizedFrames.from_exposures` does; if ``length`` is not positive or ``min_exposures`` below 2; if no
            exposure says when it began.
        """
        if min_exposures < 2 or not u.Quantity(length) > 0 * u.day:
            raise InvalidInputError(
                f"SkyflatSeries needs a positive length and min_exposures from 2 on; got {length} and {min_exposures}"
            )
        if masks is None:
            masks = Segmentation.for_first_pass() if correction is None else Segmentation()
        settings = {"masks": masks, "correction": correction, "preprocess": preprocess, "strategy": strategy}
        exposures = _in_order(exposures)
        masking = {name: item for name, item in settings.items() if name != "strategy"}
        frames = NormalizedFrames.from_exposures(
            exposures, executor=executor, memory_limit=memory_limit, store=store, **masking
        )
        series = cls(
            exposures=exposures,
            frames=frames,
            length=length,
            min_exposures=min_exposures,
            epochs=(),
            settings=settings | {"memory_limit": memory_limit},
        )
        return series._with_epochs((), executor)

    def add(self, exposures: ExposureSet | Exposure, *, executor: Executor | None = None) -> "SkyflatSeries":
        """Return the series with more exposures, of any dates; only what is new is masked, only its epochs combined.

        Parameters
        ----------
        exposures
            An `~nircam_flats.ExposureSet`, or one exposure. Those that are in the series already are left out.
        executor
            As in `from_exposures`.

        Raises
        ------
        InvalidInputError
            As `from_exposures` does, if they are of another detector or were divided by another flat, say.
        """
        more = exposures if isinstance(exposures, ExposureSet) else ExposureSet.from_exposures(exposures)
        have = {member.name for member in self.exposures}
        more = more.exclude(np.array([member.name in have for member in more], bool), "is in the series already")
        settings = {name: item for name, item in self.settings.items() if name != "strategy"}
        together = _in_order(self.exposures + more)
        frames = NormalizedFrames.from_exposures(together, executor=executor, store=self.frames.store, **settings)
        return evolve(self, exposures=together, frames=frames)._with_epochs(self.epochs, executor)

    def where(self, *, filter: Filter | str, executor: Executor | None = None) -> "SkyflatSeries":
        """Return the series of one filter.

        Raises
        ------
        InvalidInputError
            If there is no frame in it.
        """
        frames, exposures = self.frames.where(filter=filter), self.exposures.where(filter=filter)
        return evolve(self, exposures=exposures, frames=frames)._with_epochs(self.epochs, executor)

    def between(self, start: Any = None, end: Any = None, *, executor: Executor | None = None) -> DeltaSkyflat:
        """Return the `DeltaSkyflat` of the exposures from ``start`` on and before ``end`` (times; None for no limit).

        Raises
        ------
        InvalidInputError
            If there are fewer than two.
        """
        low, high = (None if time is None else Time(time) for time in (start, end))
        chosen = [
            frame
            for frame in self.frames.frames
            if (low is None or frame.start >= low) and (high is None or frame.start < high)
        ]
        if len(chosen) < 2:
            raise InvalidInputError(
                f"SkyflatSeries.between needs a span with at least 2 exposures of {self.frames.detector}; from "
                f"{start} to {end} there are {len(chosen)}"
            )
        return self._combined(chosen, executor)

    @property
    def table(self) -> QTable:
        """A `~astropy.table.QTable` with a row per epoch: start, end, exposures, filters, whether it was combined."""
        combined = {epoch.start.mjd for epoch in self.epochs}
        groups = [(*self._limits(index), frames) for index, frames in self._groups()]
        return QTable(
            {
                "start": [start.isot[:10] for start, _, _ in groups],
                "end": [end.isot[:10] for _, end, _ in groups],
                "n_exposures": [len(frames) for _, _, frames in groups],
                "filters": [", ".join(_filters_of(frames)) for _, _, frames in groups],
                "combined": [start.mjd in combined for start, _, _ in groups],
            }
        )

    def box_trend(self) -> Any:
        """Return the `SkyflatTrend` of the medians in boxes of 32 px, relative to their median over the detector.

        Raises
        ------
        InvalidInputError
            If there are fewer than two epochs, or they are of different filters, whose flats differ.
        """
        self._demand_comparable("box_trend")
        ny, nx = self.epochs[0].mesh.shape
        return self._trend(
            [f"box y {y}, x {x}" for y in range(ny) for x in range(nx)],
            [epoch.mesh.ravel() for epoch in self.epochs],
            [epoch.errors.ravel() for epoch in self.epochs],
            mesh_shape=(ny, nx),
        )

    def coefficient_trend(self, *, degree: int = 3) -> Any:
        """Return the `SkyflatTrend` of the coefficients of a polynomial surface.

        Parameters
        ----------
        degree
            Of the polynomial, 1 or more; 3 in the report.

        Raises
        ------
        InvalidInputError
            As `box_trend` does; if ``degree`` is below 1.

        Notes
        -----
        The surface is that of `~nircam_flats.Polynomial2D`: products ``P_i(x) P_j(y)`` of Legendre polynomials on the
        square from -1 to 1, fitted to the boxes by least squares. The constant is left out, since the scale of
        a flat is a convention. Coefficients are linear in the data, so those of the influences of each exposure are
        their jackknife.
        """
        if degree < 1:
            raise InvalidInputError(f"SkyflatSeries.coefficient_trend needs a degree of 1 or more; got {degree}")
        self._demand_comparable("coefficient_trend")
        terms = [(i, total - i) for total in range(1, degree + 1) for i in range(total, -1, -1)]
        shape = self.frames.shape
        found = [_coefficients(epoch, shape, [(0, 0), *terms]) for epoch in self.epochs]
        values, errors = zip(*found, strict=True)
        return self._trend([f"P{i}(x) P{j}(y)" for i, j in terms], values, errors)

    def new_dead_pixels(self, find: Any, *, min_epochs: int = 2, executor: Executor | None = None) -> Any:
        """Return the pixels that died between two epochs of the series, a `~astropy.table.QTable`.

        Parameters
        ----------
        find
            Called with the delta skyflat of each epoch, returns a map with boolean images ``new``, ``uncertain`` and
            ``measured``: ``nf.DeadPixelMap.from_delta``, say.
        min_epochs
            In how many epochs a pixel must be dead: noise does not strike the same pixel twice.
        executor
            As in `from_exposures`.

        Returns
        -------
        astropy.table.QTable
            ``x``, ``y``; ``last_alive``, the end of the last epoch in which the pixel was measured and not dead;
            ``first_dead``, the start of the first from which on it is dead whenever it is measured; ``n_epochs``, the
            number of epochs in which it is; in order of ``first_dead``. Pixels that were dead from the first are not in
            it.
        """
        shape = self.frames.shape
        last_alive, first_dead, n_dead = (np.full(shape, value, np.int32) for value in (-1, -1, 0))
        for number, epoch in enumerate(self.epochs):
            delta = self.between(epoch.start, epoch.end, executor=executor)
            found = find(delta)
            dead, alive = found.new, found.measured & ~found.new & ~found.uncertain
            first_dead[dead & (first_dead < 0)] = number
            n_dead[dead] += 1
            first_dead[alive], n_dead[alive], last_alive[alive] = -1, 0, number
        y, x = np.nonzero((last_alive >= 0) & (first_dead > last_alive) & (n_dead >= min_epochs))
        order = np.argsort(first_dead[y, x], kind="stable")
        y, x = y[order], x[order]
        days = np.array([(epoch.start.isot[:10], epoch.end.isot[:10]) for epoch in self.epochs], "U10").reshape(-1, 2)
        return QTable(
            {
                "x": x * u.pix,
                "y": y * u.pix,
                "last_alive": days[last_alive[y, x], 1],
                "first_dead": days[first_dead[y, x], 0],
                "n_epochs": n_dead[y, x],
            }
        )

    def _combined(self, frames, executor):
        frames = evolve(self.frames, frames=frames, excluded=())
        make = partial(DeltaSkyflat.from_frames, executor=executor)
        return frames.remembered(DeltaSkyflat, make, strategy=self.settings["strategy"])

    def _groups(self):
        """Return pairs of the number of an epoch and its frames, in order."""
        groups: dict = {}
        for frame in self.frames.frames:
            index = int((frame.start - ORIGIN).to_value(u.day) // self.length.to_value(u.day))
            groups.setdefault(index, []).append(frame)
        return sorted(groups.items())

    def _limits(self, index):
        return ORIGIN + index * self.length, ORIGIN + (index + 1) * self.length

    def _with_epochs(self, known, executor):
        known = {(epoch.start.mjd, epoch.names): epoch for epoch in known}
        epochs = []
        for index, frames in self._groups():
            start, end = self._limits(index)
            names = tuple(frame.name for frame in frames)
            if (start.mjd, names) in known:
                epochs.append(known[start.mjd, names])
            elif len(frames) >= self.min_exposures:
                epochs.append(_epoch_of(frames, self._combined(frames, executor), start, end))
        return evolve(self, epochs=epochs)

    def _demand_comparable(self, what):
        if len(self.epochs) < 2:
            raise InvalidInputError(
                f"SkyflatSeries.{what} needs at least 2 epochs with {self.min_exposures} exposures; got "
                f"{len(self.epochs)}: choose another length or min_exposures"
            )
        kinds = {epoch.filters for epoch in self.epochs}
        if len(kinds) > 1:
            came = " and ".join(", ".join(kind) for kind in sorted(kinds))
            raise InvalidInputError(
                f"SkyflatSeries.{what} needs epochs of the same filters, since each has its own flat; got {came}: take "
                "series.where(filter=...)"
            )

    def _trend(self, names, values, errors, **facts):
        filters = self.epochs[0].filters
        return SkyflatTrend(
            detector=self.frames.detector,
            label="grey" if len(filters) > 1 else filters[0],
            names=names,
            dates=Time([epoch.date for epoch in self.epochs]),
            values=readonly(np.array(values, float)),
            errors=readonly(_pooled(np.array(errors, float), [len(epoch.names) for epoch in self.epochs])),
            **facts,
        )


def _in_order(exposures):
    """The set in order of time; exposures that do not say when they began are left out."""
    unknown = np.array([member.start is None for member in exposures], bool)
    exposures = exposures.exclude(unknown, "a series needs to know when an exposure began; its header does not say")
    if not len(exposures):
        raise InvalidInputError("SkyflatSeries needs exposures that say when they began; there is none")
    return evolve(exposures, members=sorted(exposures, key=lambda member: (member.start.mjd, member.name)))


def _filters_of(frames):
    return tuple(sorted({frame.filter.name for frame in frames}))


def _epoch_of(frames, delta, start, end):
    mesh = box_medians(delta.data, MESH_BOX)[0]
    influences = delta.influences - delta.influences.mean(axis=(1, 2), keepdims=True)
    return SkyflatEpoch(
        start=start,
        end=end,
        date=Time(np.mean([frame.start.mjd for frame in frames]), format="mjd"),
        names=[frame.name for frame in frames],
        filters=_filters_of(frames),
        mesh=readonly(mesh / np.nanmedian(mesh)),
        influences=readonly(influences),
        white_variance=readonly(np.nan_to_num(white_variance_of_medians(delta.err))),
    )


def _pooled(errors, sizes):
    """Errors of values with those of the other epochs counted in, shape (epochs, values).

    A jackknife over few exposures is rough. What one exposure contributes is much the same in all epochs: the mean of
    it counts as ten exposures beside those of the epoch.
    """
    sizes = np.array(sizes, float)[:, None]
    of_one = sizes * errors**2
    weights = np.where(np.isfinite(errors), sizes - 1, 0)
    with np.errstate(invalid="ignore"):
        usual = np.nansum(weights * of_one, axis=0) / weights.sum(axis=0)
    return np.sqrt((weights * of_one + PRIOR_FRAMES * usual) / (weights + PRIOR_FRAMES) / sizes)


def _coefficients(epoch, shape, terms):
    """Coefficients of the terms but the first, and their errors: those of the influences, added in quadrature."""
    places = [
        2 * np.minimum(MESH_BOX * (np.arange(n) + 0.5), size) / size - 1
        for n, size in zip(epoch.mesh.shape, shape, strict=True)
    ]
    degree = max(map(max, terms))
    by, bx = (legendre.legvander(place, degree) for place in places)
    seen = np.isfinite(epoch.mesh)
    basis = np.array([np.outer(by[:, j], bx[:, i])[seen] for i, j in terms]).T
    data = np.array([epoch.mesh[seen], *epoch.influences[:, seen]], float).T
    solve = np.linalg.pinv(basis)[1:]
    found = solve @ data
    variance = jackknife_factor(len(epoch.names)) * np.sum(found[:, 1:] ** 2, axis=1)
    return found[:, 0], np.sqrt(variance + solve**2 @ epoch.white_variance[seen].astype(float))
