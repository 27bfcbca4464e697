"""Which surface corrects the flat of which filter: one for all, one for each, or something in between."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import numpy as np
from attrs import evolve
from scipy.fft import dctn, idctn

from nircam_flats._fields import readonly
from nircam_flats._strategy import Strategy
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.fit.model import FlatModelFit
from nircam_flats.kernels import box_means, expand_mesh
from nircam_flats.skyflat import DeltaSkyflat, FilterDependence
from nircam_flats.skyflat.meshes import MESH_BOX

__all__ = ["FlatPolicy", "Grey", "PerFilter", "Shrunk"]

ByFilter = Mapping[str, DeltaSkyflat]
Fitter = Callable[[DeltaSkyflat | FilterDependence], FlatModelFit]


class FlatPolicy(Strategy, ABC):
    """How the filters of a detector share what the sky says about their flats.

    Subclasses write `decide`.
    """

    @abstractmethod
    def decide(self, grey: DeltaSkyflat, by_filter: ByFilter, fit: Fitter) -> dict[str, FlatModelFit]:
        """Return a `FlatModelFit` for each filter, a dict by filter name.

        Parameters
        ----------
        grey
            The `~nircam_flats.DeltaSkyflat` of all filters.
        by_filter
            Those of the single filters, a dict by filter name.
        fit
            ``fit(delta)`` returns the `FlatModelFit` of a delta skyflat with the strategy that was asked for.
        """

    def __call__(
        self, grey: DeltaSkyflat, by_filter: ByFilter, fit: Fitter = FlatModelFit.from_delta
    ) -> dict[str, FlatModelFit]:
        """Return a `FlatModelFit` for each filter of ``by_filter``, a dict by filter name.

        Parameters
        ----------
        grey, by_filter, fit
            As in `decide`; by default delta skyflats are fitted as `FlatModelFit.from_delta` does.

        Raises
        ------
        InvalidInputError
            If ``by_filter`` is no dict of delta skyflats by their filter, one of them is not in ``grey``, or `decide`
            returns no fit for it.
        """
        if not isinstance(by_filter, Mapping) or not by_filter:
            raise InvalidInputError(
                f"{self} needs the delta skyflats of single filters as a dict {{filter name: DeltaSkyflat}}; got "
                f"{by_filter!r:.80}"
            )
        grey_filters = {item.name for item in grey.filters}
        for name, delta in by_filter.items():
            if delta.detector != grey.detector or name not in grey_filters:
                raise InvalidInputError(
                    f"{self} needs a grey delta skyflat of {delta.detector} that {name} is part of; got one of "
                    f"{grey.detector} {', '.join(sorted(grey_filters))}"
                )
            if [item.name for item in delta.filters] != [name]:
                raise InvalidInputError(f"{self} needs the delta skyflat of {name} under that name; got {delta.label}")
        fits = self.decide(grey, by_filter, fit)
        missing = [name for name in by_filter if not isinstance(fits.get(name), FlatModelFit)]
        if missing:
            raise InvalidInputError(f"{self}.decide must return a FlatModelFit for each filter; {missing[0]} has none")
        return fits


class Grey(FlatPolicy):
    """One surface for all filters: the report's choice, with the least noise; what filters differ by stays wrong."""

    def decide(self, grey: DeltaSkyflat, by_filter: ByFilter, fit: Fitter) -> dict[str, FlatModelFit]:
        found = fit(grey)
        return dict.fromkeys(by_filter, found)


class PerFilter(FlatPolicy):
    """A surface for each filter from its own exposures: nothing stays wrong, but few exposures mean much noise."""

    def decide(self, grey: DeltaSkyflat, by_filter: ByFilter, fit: Fitter) -> dict[str, FlatModelFit]:
        return {name: fit(delta) for name, delta in by_filter.items()}


class Shrunk(FlatPolicy):
    """The grey surface, from which each filter departs as far as its exposures demand.

    Notes
    -----
    Empirical Bayes. What the surface of a filter is over the grey one is written in cosines (the discrete cosine
    transform of the mesh of 32 px boxes). A coefficient c of error sigma is multiplied by
    ``tau^2 / (tau^2 + sigma^2)``. The errors come from the jackknife of the ratio of the delta skyflats, over fields
    where filters saw the same ones (`~nircam_flats.FilterDependence`); the ratio itself is not fitted for the
    coefficients, as medians of ratios are too near to 1. tau^2, the variance of the true coefficients, is the mean of
    ``c^2 - sigma^2`` over the filters and over the coefficients of about the same scale, less one standard deviation of
    that mean, since few coefficients exceed their errors by chance. So where the filters agree within the errors,
    the result is grey; where their exposures are many, it is their own. A single filter is grey. What is finer than
    the mesh is that of the grey surface times that of the ratio.
    """

    def decide(self, grey: DeltaSkyflat, by_filter: ByFilter, fit: Fitter) -> dict[str, FlatModelFit]:
        common = fit(grey)
        if len(grey.filters) == 1:
            return dict.fromkeys(by_filter, common)
        found = {
            name: _Departure(common, fit(delta), fit(delta.relative_to(grey))) for name, delta in by_filter.items()
        }
        power = sum(item.values**2 for item in found.values())
        variance = sum(item.variances for item in found.values())
        by_band = next(iter(found.values())).by_band
        # The departures of all filters from their mean add up to nothing: one of them is not free.
        chance = np.sqrt(2 / max(len(found) - 1, 1) * by_band(variance**2))
        n = len(found) * by_band(np.ones_like(power))
        beyond = by_band(power - variance)
        seen, tau2 = np.maximum(beyond, 0) / n, np.maximum(beyond - chance, 0) / n
        return {name: item.shrunk(tau2, seen) for name, item in found.items()}


class _Departure:
    """What the fit of a filter is over the grey one in cosines, and the errors of that by band of scale."""

    def __init__(self, common, own, ratio):
        self.common, self.own, self.ratio = common, own, ratio
        self.values = _cosines(_mesh(own.surface) / _mesh(common.surface))
        self.values[0, 0] = 0  # the scale of a flat is a convention
        self.variances = np.sum(_cosines(ratio.covariance.modes.astype(np.float64)) ** 2, axis=0)
        y, x = np.indices(self.values.shape)
        self.bands = np.ceil(np.log2(np.maximum(np.hypot(y, x), 0.5) / 0.75)).astype(int)  # the level is band 0

    def by_band(self, values):
        """Sum over the coefficients of each band."""
        return np.bincount(self.bands.ravel(), values.ravel())

    def shrunk(self, tau2, seen):
        """Return the fit of the filter, drawn toward grey.

        ``tau2`` is the variance of the true values by band that is certain, ``seen`` all that there seems to be.
        """
        common, ratio = self.common, self.ratio
        noise = self.by_band(self.variances) / self.by_band(np.ones_like(self.variances))
        gains = np.where(tau2 > 0, tau2 / np.maximum(tau2 + noise, 1e-300), 0.0)
        gain = gains[self.bands]
        change = _image(gain * self.values - _cosines(_mesh(ratio.surface) - 1))
        departure = ratio.surface + expand_mesh(change, MESH_BOX, ratio.surface.shape)
        surface = common.surface * departure
        surface /= np.median(surface[np.isfinite(self.own.residual)])
        # Departures of the filters from their mean do not go with it: its variance and theirs add up.
        modes = [
            _image(np.sqrt(1 - gain**2) * _cosines(common.covariance.modes)),
            _image(gain * _cosines(self.own.covariance.modes)),
        ]
        # What shrinking leaves out is as large as it seems, certain or not: (1 - gain)^2 of a coefficient's variance.
        left = np.mean((1 - gain) ** 2 * seen[self.bands])
        with np.errstate(invalid="ignore", divide="ignore"):
            residual = (1 + self.own.residual) * self.own.surface / surface - 1
        return evolve(
            ratio,
            surface=readonly(surface),
            residual=readonly(residual),
            covariance=evolve(
                common.covariance,
                modes=np.concatenate(modes),
                misfit=np.hypot(common.covariance.misfit, np.sqrt(left)),
            ),
            pixel_err=_together(common.pixel_err, ratio.pixel_err),
            strategy=f"Shrunk({common.strategy})",
            history=ratio.history.then("shrink toward grey", gains=", ".join(f"{gain:.2f}" for gain in gains[1:])),
        )


def _mesh(surface):
    return box_means(surface, MESH_BOX).astype(np.float64)


def _cosines(meshes):
    """Cosine coefficients of a mesh or of each of a stack of meshes."""
    return dctn(meshes, norm="ortho", axes=(-2, -1))


def _image(coefficients):
    return idctn(coefficients, norm="ortho", axes=(-2, -1))


def _together(one, other):
    """Both errors in quadrature; None is none."""
    if one is None or other is None:
        return other if one is None else one
    return readonly(np.hypot(one, other))
