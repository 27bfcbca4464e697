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
            If a filter is not in ``grey``, or `decide` returns no fit for it.
        """
        grey_filters = {item.name for item in grey.filters}
        for name, delta in by_filter.items():
            if delta.detector != grey.detector or name not in grey_filters:
                raise InvalidInputError(
                    f"{self} needs a grey delta skyflat of {delta.detector} that {name} is part of; got one of "
                    f"{grey.detector} {', '.join(sorted(grey_filters))}"
                )
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
    Empirical Bayes. The ratio of a filter's delta skyflat to the grey one is fitted as a delta skyflat is, and its
    surface written in cosines (the discrete cosine transform of its mesh of 32 px boxes). A coefficient c of error
    sigma is multiplied by ``tau^2 / (tau^2 + sigma^2)``. The errors come from the jackknife; tau^2, the variance of the
    true coefficients, is the mean of ``c^2 - sigma^2`` over the filters and over the coefficients of about the same
    scale, less half a standard deviation of that mean, since few coefficients exceed their errors by chance. So where
    the filters agree within the errors, the result is grey; where their exposures are many, it is their own.
    """

    def decide(self, grey: DeltaSkyflat, by_filter: ByFilter, fit: Fitter) -> dict[str, FlatModelFit]:
        common = fit(grey)
        ratios = {name: fit(delta.relative_to(grey)) for name, delta in by_filter.items()}
        found = {name: _Coefficients(ratio) for name, ratio in ratios.items()}
        any_found = next(iter(found.values()))
        bands = any_found.bands
        n_bands = bands.max() + 1
        excess = sum(np.bincount(bands.ravel(), (item.values**2).ravel(), n_bands) for item in found.values())
        noise = sum(item.noise * np.bincount(bands.ravel(), minlength=n_bands) for item in found.values())
        members = np.maximum(np.bincount(bands.ravel(), minlength=n_bands), 1)
        # The departures of all filters from their mean add up to nothing: one of them is not free.
        margin = 1 + 0.5 * np.sqrt(2 / (members * max(len(found) - 1, 1)))
        tau2 = np.maximum(excess - margin * noise, 0) / (members * len(found))
        return {name: _shrunk(common, ratios[name], found[name], tau2) for name in by_filter}


class _Coefficients:
    """Cosine coefficients of the departure of a filter from grey, and their errors by band of scale."""

    def __init__(self, ratio):
        mesh = box_means(ratio.surface, MESH_BOX).astype(np.float64) - 1
        self.values = dctn(mesh, norm="ortho")
        self.modes = dctn(ratio.covariance.modes.astype(np.float64), norm="ortho", axes=(1, 2))
        self.values[0, 0] = self.modes[:, 0, 0] = 0  # the scale of a flat is a convention
        y, x = np.indices(mesh.shape)
        wave = np.hypot(y, x)
        self.bands = np.ceil(np.log2(np.maximum(wave, 1) / 1.5) + 1).astype(int)
        variances = np.sum(self.modes**2, axis=0)
        members = np.bincount(self.bands.ravel())
        self.noise = np.bincount(self.bands.ravel(), variances.ravel()) / np.maximum(members, 1)


def _together(one, other):
    """Both errors in quadrature; None is none."""
    if one is None or other is None:
        return other if one is None else one
    return readonly(np.hypot(one, other))


def _shrunk(common, ratio, coefficients, tau2):
    noise = coefficients.noise
    gains = np.where(tau2 > 0, tau2 / np.maximum(tau2 + noise, 1e-300), 0.0)
    gain = gains[coefficients.bands]
    shape = common.surface.shape
    # What is taken away is interpolated, not what stays: with a gain of 1 the surface is the filter's own, exactly.
    departure = ratio.surface - 1 - expand_mesh(idctn((1 - gain) * coefficients.values, norm="ortho"), MESH_BOX, shape)
    surface = common.surface * (1 + departure)
    surface /= np.median(surface)
    grey_modes, own_modes = common.covariance.modes, idctn(gain * coefficients.modes, norm="ortho", axes=(1, 2))
    n = min(len(grey_modes), len(own_modes))
    modes = np.concatenate([grey_modes[:n] + own_modes[:n], grey_modes[n:], own_modes[n:]])
    # What shrinking leaves out is as large as its prior says: (1 - gain)^2 tau^2 of each coefficient.
    left = np.mean((1 - gain) ** 2 * tau2[coefficients.bands])
    misfit = np.hypot(common.misfit, np.sqrt(left))
    with np.errstate(invalid="ignore", divide="ignore"):
        residual = (1 + common.residual) * (1 + ratio.residual) * ratio.surface / (1 + departure) - 1
    return evolve(
        ratio,
        surface=readonly(surface),
        residual=readonly(residual),
        covariance=evolve(common.covariance, modes=modes, misfit=misfit),
        pixel_err=_together(common.pixel_err, ratio.pixel_err),
        strategy=f"Shrunk({common.strategy})",
        history=ratio.history.then("shrink toward grey", gains=", ".join(f"{gain:.2f}" for gain in gains[1:])),
    )
