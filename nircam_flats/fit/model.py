"""Smooth models of delta skyflats."""

from concurrent.futures import Executor
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy.table import QTable
from astropy.time import Time
from attrs import evolve, field, frozen

from nircam_flats._fields import HoldsArrays, image, readonly
from nircam_flats._files import reading
from nircam_flats.exceptions import FitError, InvalidInputError, demand
from nircam_flats.fit import _fits
from nircam_flats.fit.covariance import SurfaceCovariance, correlation_by_distance, weights_of
from nircam_flats.fit.median import MedianFilter
from nircam_flats.fit.strategy import FitStrategy
from nircam_flats.instrument import Detector, Filter
from nircam_flats.instrument.detector import to_detector
from nircam_flats.kernels import box_means, box_medians, clipped_statistics, expand_mesh
from nircam_flats.parallel import map_ordered
from nircam_flats.provenance import History
from nircam_flats.skyflat import DeltaSkyflat, FilterDependence
from nircam_flats.skyflat.delta import to_filters
from nircam_flats.skyflat.meshes import MESH_BOX, WHITE_OF_MEDIAN

__all__ = ["FlatModelFit"]

OUTLYING = 5
CLIPPED_VARIANCE = 0.9733
"""Variance of a normal sample that is clipped at 3 sigma."""
TEXTURE = 0.1
"""Part of the variance of the noise from which on more scatter is structure: errors are not that exact."""


@frozen(kw_only=True, eq=False)
class FlatModelFit(HoldsArrays):
    """The smooth surface of a delta skyflat, by which a ground flat is multiplied.

    Attributes
    ----------
    surface
        float32 image, finite everywhere, median 1 over the pixels that the delta skyflat measured.
    residual
        delta skyflat / surface - 1; NaN where unmeasured.
    covariance
        Covariance of the surface between any two places, a `SurfaceCovariance`: low-rank modes from the jackknife over
        exposures, and the misfit, which is the structure that the surface leaves in the residual beyond the noise.
    pixel_err
        float32 image: 1 sigma error of each pixel that neighbours do not share: the strategy's own where it follows
        structure down to pixels, else the structure of pixels (crosshatch) that a smooth surface leaves in the residual
        beyond the noise. None if there is none.
    strategy
        What made the surface, as text.
    detector, filters, flat_names, exposures, first_date, last_date
        Those of the delta skyflat.
    history
        How it was made.
    """

    detector: Detector = field(converter=to_detector, repr=str)
    filters: tuple = field(converter=to_filters, repr=lambda items: f"<{', '.join(map(str, items))}>")
    surface: np.ndarray = image(sets_shape=True)
    residual: np.ndarray = image()
    covariance: SurfaceCovariance = field(repr=False)
    pixel_err: np.ndarray | None = image(optional=True)
    strategy: str = field(converter=str)
    flat_names: dict = field(converter=dict, repr=False)
    exposures: QTable = field(repr=lambda table: f"<{len(table)} exposures>")
    first_date: Time | None = field(default=None, repr=False)
    last_date: Time | None = field(default=None, repr=False)
    history: History = field(factory=History, repr=False)

    @surface.validator
    def _finite_and_positive(self, attribute, surface):
        if not (np.isfinite(surface).all() and (surface > 0).all()):
            came = np.count_nonzero(~(np.isfinite(surface) & (surface > 0)))
            raise InvalidInputError(
                f"FlatModelFit.surface must be finite and positive everywhere; got {came} pixels that are not"
            )

    @classmethod
    def from_delta(
        cls,
        delta: DeltaSkyflat | FilterDependence,
        *,
        strategy: FitStrategy | None = None,
        n_replicates: int = 16,
        executor: Executor | None = None,
    ) -> Self:
        """Fit a delta skyflat.

        Parameters
        ----------
        delta
            A `~nircam_flats.DeltaSkyflat`.
        strategy
            A `~nircam_flats.FitStrategy`; by default a `~nircam_flats.MedianFilter` with windows of 12 boxes for
            short-wavelength detectors, of 8 for long-wavelength ones, whose sky is brighter. The report's choices are
            ``Polynomial2D(degree=3)`` and ``MedianFilter.of_report()``.
        n_replicates
            Number of groups of exposures for the jackknife, at most, 2 or more; 0 makes no jackknife: then ``err`` is
            the misfit and what the strategy itself knows of white noise (for a fit that is only a step to something
            else).
        executor
            Any `concurrent.futures.Executor`; by default threads for all cores. The result is the same.

        Raises
        ------
        InvalidInputError
            If ``strategy`` is of another class, ``n_replicates`` is 1 or negative, or no pixel of ``delta`` is good.
        FitError
            If the pixels do not determine the model, or its surface is not positive.

        Notes
        -----
        The error comes from the jackknife: the strategy is run again with the pull of each group of exposures taken
        out, on top of which `misfit` is added in quadrature. The white noise of the pixels alone
        would give several times less. Each pull is taken out as many times as makes it as large as the noise itself,
        the root of the number of groups, and the answer divided by that: a median answers to small changes by chance.
        The errors of the pixels that the strategy is given are larger by the root of 2 then.

        For a strategy whose ``centre`` is the median, pulls have the white noise of medians.
        """
        if n_replicates != 0 and n_replicates < 2:
            raise InvalidInputError(
                f"FlatModelFit.from_delta needs n_replicates of 2 or more, or 0 for no jackknife; got {n_replicates}"
            )
        demand(delta, "influences", "FlatModelFit.from_delta needs a DeltaSkyflat or a FilterDependence")
        strategy = default_strategy(delta.detector) if strategy is None else strategy
        if not isinstance(strategy, FitStrategy):
            raise InvalidInputError(
                f"FlatModelFit.from_delta needs a FitStrategy, Polynomial2D(), say; got {strategy!r}"
            )
        found = strategy.fit(delta.data, delta.err, delta.good)
        surface = found.values
        scale = _median(surface, delta.good)
        if not scale > 0 or not (surface > 0).all():
            raise FitError(
                f"{strategy} gives a surface for {delta.detector} {delta.label} that is not positive everywhere (from "
                f"{surface.min():.3g} to {surface.max():.3g}); it cannot be a flat"
            )
        surface = surface / scale
        with np.errstate(invalid="ignore"):
            residual = delta.data / surface - 1
        boxes, of_err = map_ordered(partial(box_medians, box_size=delta.box_size), [residual, delta.err])
        pulls = _pulls(delta, n_replicates)
        on_medians = pulls + _beyond_means(of_err, pulls)
        pulls = on_medians if strategy.centre == "median" else pulls
        # As large as the noise of the delta skyflat, which has twice the variance with them.
        enlarged, err = np.float32(np.sqrt(max(len(pulls), 1))), np.float32(np.sqrt(2)) * delta.err
        sample = np.flatnonzero(delta.good)[::17]  # in all columns; tells the scale well enough
        work = partial(_mesh_without, delta=delta, err=err, strategy=strategy, sample=sample)
        stage = f"jackknife {delta.detector}"
        without = list(map_ordered(work, enlarged * pulls, executor=executor, stage=stage))
        shifts = np.array(without, np.float32).reshape(pulls.shape) - _mesh_of(surface, delta, sample)
        shifts /= enlarged
        misfit, correlation, outliers = _misfit(delta, boxes, _modes(-on_medians - shifts))
        own_modes = n_replicates == 0 and found.modes is not None
        own_pixels = None if found.pixel_err is None else found.pixel_err / scale
        return cls(
            detector=delta.detector,
            filters=delta.filters,
            surface=readonly(surface),
            residual=readonly(residual),
            covariance=SurfaceCovariance(
                modes=found.modes / scale if own_modes else _modes(shifts),
                misfit=misfit,
                misfit_correlation=correlation,
                outliers=outliers,
                shape=surface.shape,
                box_size=MESH_BOX,
            ),
            pixel_err=_pixel_misfit(delta, residual, boxes, of_err) if own_pixels is None else own_pixels,
            strategy=repr(strategy),
            flat_names=delta.flat_names,
            exposures=delta.exposures,
            first_date=delta.first_date,
            last_date=delta.last_date,
            history=delta.history.then("fit", strategy=strategy, scaled_by=f"{1 / scale:.6f}"),
        )

    def departing(self, filter: Filter, departure: np.ndarray) -> Self:
        """Return the fit for a filter whose flat departs from this one; all but surface and filter stay.

        Parameters
        ----------
        filter
            The `~nircam_flats.Filter`.
        departure
            What its flat is over this one, a smooth mesh of boxes of 32 px, as `NormalizedFrames.departures` tells it.
        """
        surface = self.surface * expand_mesh(departure, MESH_BOX, self.surface.shape)
        scale = _median(surface, np.isfinite(self.residual))
        return evolve(self, filters=[filter.name], surface=readonly(surface / scale))

    @property
    def misfit(self) -> float:
        """Structure on the scale of boxes that the surface leaves undescribed beyond the noise, 1 sigma."""
        return self.covariance.misfit

    @cached_property
    def err(self):
        """1 sigma error of the surface, float32: jackknife over exposures, misfit, and pixels' own, in quadrature."""
        err = self.covariance.err()
        return readonly(err if self.pixel_err is None else np.hypot(err, self.pixel_err))

    def error_of_mean(self, where: Any) -> float:
        """Return the 1 sigma error of the mean of the surface over a region, an aperture or an image of weights.

        Relative, and what it leaves in the flux summed there; see `SurfaceCovariance.error_of_mean`. Errors that pixels
        do not share are added.
        """
        shared = self.covariance.error_of_mean(where)
        if self.pixel_err is None:
            return shared
        weights = weights_of(where, self.surface.shape)
        return float(np.hypot(shared, np.sqrt(np.sum((weights * self.pixel_err) ** 2))))

    @property
    def label(self) -> str:
        """'grey', or the name of the filter."""
        return "grey" if len(self.filters) > 1 else self.filters[0].name

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a FITS file (extensions SURFACE, ERR, RESIDUAL, MODES, OUTLIERS) that `read` reads back."""
        _fits.write_fit(self, path, overwrite=overwrite)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what `write` wrote.

        Raises
        ------
        InvalidInputError
            If the file is no fit; the text names it and what is missing.
        """
        with reading(path):
            return cls(**_fits.read_fit(path))

    def plot(self, ax: Any = None, **artist_options: Any) -> Any:
        """Draw the surface; returns the artist."""
        from nircam_flats.plotting import draw_flat

        return draw_flat(self.surface, ax=ax, title=f"{self.detector} {self.label}: {self.strategy}", **artist_options)


def default_strategy(detector):
    """The strategy for the channel of ``detector``: the sky of LW is brighter, so a smaller window does."""
    return MedianFilter(filter_size=12 if Detector.get(detector).channel == "SW" else 8)


def _median(surface, where):
    """Median of a surface, by which it is divided."""
    return np.float32(clipped_statistics(surface, where=where, max_iterations=0)[0])


def _pulls(delta, n_replicates):
    """What the data lose without each group of exposures, shape (groups, boxes in y, boxes in x)."""
    n = len(delta.influences)
    groups = np.array_split(np.arange(n), min(n, n_replicates)) if n_replicates else []
    # Leaving a group out takes its pull away and leaves the rest to share its weight: n / (n - size of the group).
    pulls = [delta.influences[group].sum(axis=0) * (n / (n - len(group))) for group in groups]
    return np.array(pulls, np.float32).reshape(len(groups), *delta.influences.shape[1:])


def _beyond_means(of_err, pulls):
    """What the medians of boxes have of white noise beyond their means, drawn for each of the pulls.

    The influences are those of means. ``of_err`` are the `box_medians` of the errors of the pixels. Which draw belongs
    to which pull does not depend on their order.
    """
    errors, _, kept = of_err
    n = len(pulls)
    beyond = np.nan_to_num(errors) * np.sqrt(WHITE_OF_MEDIAN / np.maximum(kept, 1) / max(n - 1, 1))
    draws = np.random.default_rng(n).standard_normal((n, *errors.shape), np.float32) * beyond.astype(np.float32)
    return draws[np.argsort(np.argsort(np.sum(pulls.astype(np.float64) ** 2, axis=(1, 2))))]


def _mesh_without(pull, *, delta, err, strategy, sample):
    """The mesh of the surface when ``pull`` is taken from the data, box by box."""
    without = strategy(delta.data - expand_mesh(pull, delta.box_size, delta.data.shape), err, delta.good)
    return _mesh_of(without, delta, sample)


def _mesh_of(surface, delta, sample):
    return box_means(surface, delta.box_size) / np.median(surface.flat[sample])


def _modes(replicates):
    """Modes whose squares add up to the jackknife variance of what was replicated (delete-a-group)."""
    n = len(replicates)
    return (replicates - replicates.mean(axis=0)) * np.float32(np.sqrt((n - 1) / n)) if n else replicates


def _pixel_misfit(delta, residual, boxes, of_err):
    """1 sigma of what the residual shows from pixel to pixel beyond its noise, an image; None if there is nothing.

    ``boxes`` are the `box_medians` of the residual, ``of_err`` those of the errors of the pixels. Most pixels have to
    show it: where only the wings of the residual are wide, as in a ratio of medians that are often the same, it is
    noise.
    """
    pulls = (residual / delta.err)[delta.good][::17]
    if (1.4826 * np.median(np.abs(pulls - np.median(pulls)))) ** 2 < 1 + TEXTURE:
        return None
    scatter = boxes[1].astype(np.float64) ** 2 / CLIPPED_VARIANCE
    noise = of_err[0].astype(np.float64) ** 2
    excess = np.nanmedian(scatter - noise)
    if not excess > TEXTURE * np.nanmedian(noise):
        return None
    return readonly(np.full(delta.data.shape, np.sqrt(excess), np.float32))


def _misfit(delta, boxes, modes):
    """What the surface leaves undescribed: its root mean square over boxes, its correlation, and outlying boxes.

    It is what the `box_medians` of the residual, ``boxes``, show beyond their noise: that of the exposures as a whole
    (``modes``, the jackknife of the residual) and the white noise of the pixels in the box. A constant is no misfit:
    the scale of a surface is a convention. Boxes that depart by more than 5 robust standard deviations are told
    one by one, since a few deep features would otherwise make the error of the whole surface.
    """
    medians, stds, kept = boxes
    if np.isnan(medians).all():
        raise FitError(
            f"FlatModelFit of {delta.detector} needs a box of {delta.box_size} px with 10 % good pixels; there is none"
        )
    white = np.pi / 2 * stds.astype(np.float64) ** 2 / np.maximum(kept, 1)
    departures = np.nan_to_num(medians - np.nanmedian(medians))
    typical = 1.4826 * np.median(np.abs(departures[np.isfinite(medians)]))
    is_off = (np.abs(departures) > OUTLYING * typical) & (typical > 0)
    variance, correlation = correlation_by_distance(np.where(is_off, np.float32(np.nan), medians), modes, white)
    return np.sqrt(variance), correlation, np.where(is_off, departures, 0) if is_off.any() else None
