"""The flat that makes the same star equally bright wherever it falls, and whether it is that of the sky."""

from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy.table import QTable
from attrs import field, frozen
from scipy.stats import chi2

from nircam_flats._fields import HoldsArrays, image, readonly, to_tuple
from nircam_flats._files import reading
from nircam_flats.exceptions import InvalidInputError, demand
from nircam_flats.fit import FlatModelFit
from nircam_flats.instrument import Detector
from nircam_flats.instrument.detector import to_detector
from nircam_flats.provenance import History
from nircam_flats.validation import _fits
from nircam_flats.validation._star_fit import LegendreTerms, fit_stars

__all__ = ["StarFlat", "StarFlatComparison"]


@frozen(kw_only=True, eq=False)
class StarFlat(HoldsArrays):
    """The smooth response to starlight, relative to the flat that divided the exposures.

    Attributes
    ----------
    detector
        The detector.
    shape
        Rows and columns.
    degree
        Of the polynomial.
    coefficients
        float64, of the terms ``P_i(x) P_j(y)``, Legendre polynomials on the square from -1 to 1, with
        ``1 <= i + j <= degree``, in the logarithm of the response. There is no constant: the mean logarithm over the
        frame is zero.
    covariance
        Of the coefficients, float64, (terms, terms).
    jitter
        Scatter of the measurements beyond their noise and the polynomial, 1 sigma, relative; part of their weights.
    measurements
        `~astropy.table.QTable` of those used or clipped: ``star``, ``x``, ``y``, ``flux``, ``err`` (uJy) and ``used``.
    history
        How it was made.

    Notes
    -----
    Measurement m of star s has ``ln flux_m = a_s + sum_k c_k T_k(x_m, y_m) + noise``: least squares, linear in all. The
    stars' own brightnesses are eliminated by taking from each side its weighted mean over the measurements of a star;
    what is left is a small system for the coefficients, with exactly the solution and the covariance of the large
    sparse one. Measurements farther than 4 standard deviations away are left out in rounds. All exposures are taken to
    have one zero point: free ones could not be told from a gradient in a field that was dithered but not turned.
    """

    detector: Detector = field(converter=to_detector, repr=str)
    shape: tuple[int, int] = field(converter=to_tuple)
    degree: int = field(converter=int)
    coefficients: np.ndarray = image(np.float64, ndim=1, follows_shape=False)
    covariance: np.ndarray = image(np.float64, follows_shape=False)
    jitter: float = field(converter=lambda value: float(f"{value:.9g}"))  # as exact as a header keeps it
    measurements: QTable = field(repr=lambda table: f"<{len(table)} measurements>")
    history: History = field(factory=History, repr=False)

    @classmethod
    def from_photometry(cls, photometry: Any, *, flat: str = "old", degree: int = 3) -> Self:
        """Solve for the response that the stars of a `PhotometricRepeatability` see.

        Parameters
        ----------
        photometry
            A `PhotometricRepeatability`; its measurements without flags are used.
        flat
            'old' or 'new': the fluxes with which flat. With 'old' the result is what the ground flat got wrong, as a
            delta skyflat; with 'new' it is what is still wrong.
        degree
            Highest sum of the degrees in x and y.

        Raises
        ------
        FitError
            If the stars do not determine the coefficients.
        """
        if flat not in ("old", "new"):
            raise InvalidInputError(f"StarFlat.from_photometry: flat must be 'old' or 'new'; got {flat!r}")
        if degree < 1 or int(degree) != degree:
            raise InvalidInputError(f"StarFlat needs a whole degree from 1 on; got {degree}")
        table = photometry.measurements[np.asarray(photometry.measurements["flags"]) == 0]
        measurements = QTable({name: table[name] for name in ("star", "x", "y")})
        measurements["flux"], measurements["err"] = table[f"flux_{flat}"], table[f"err_{flat}"]
        terms = LegendreTerms(degree=degree, shape=photometry.shape)
        found = fit_stars(measurements, terms)
        measurements["used"] = found.used
        return cls(
            detector=photometry.detector,
            shape=photometry.shape,
            degree=degree,
            coefficients=found.coefficients,
            covariance=found.covariance,
            jitter=found.jitter,
            measurements=measurements,
            history=photometry.history.then("star flat", flat=flat, degree=degree, jitter=f"{found.jitter:.6f}"),
        )

    @property
    def terms(self) -> LegendreTerms:
        """The polynomial terms, a ``LegendreTerms``."""
        return LegendreTerms(degree=self.degree, shape=self.shape)

    @cached_property
    def surface(self):
        """The response, float32 ``[y, x]``; its mean logarithm is 0."""
        return readonly(np.exp(self.terms.image(self.coefficients)))

    @cached_property
    def err(self):
        """1 sigma error of `surface`, float32."""
        return readonly(self.surface * self.terms.errors(self.covariance))

    def compare(self, fit: FlatModelFit) -> Any:
        """Return the `StarFlatComparison` of this flat with the flat of the sky.

        Parameters
        ----------
        fit
            A `~nircam_flats.FlatModelFit` for exposures that the same flat divided.

        Raises
        ------
        InvalidInputError
            If it is of another detector or shape.
        """
        return StarFlatComparison.between(self, fit)

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a FITS file that `read` reads back."""
        _fits.write_star_flat(self, path, overwrite=overwrite)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what `write` wrote.

        Raises
        ------
        InvalidInputError
            If the file holds something else; the text names it.
        """
        with reading(path):
            return cls(**_fits.read_star_flat(path))

    def plot(self, ax: Any = None, **artist_options: Any) -> Any:
        """Draw the response with the places of the measurements; returns the artist of the response."""
        from nircam_flats.plotting import draw_star_flat

        return draw_star_flat(self, ax=ax, **artist_options)


@frozen(kw_only=True, eq=False)
class StarFlatComparison(HoldsArrays):
    """Whether starlight and skylight see the same response.

    A response multiplies both. Light that is added to the sky (wisps, glow) brightens the sky's flat and no star. So
    where the two flats differ by more than their errors, the sky flat holds additive light.

    Attributes
    ----------
    detector
        The detector.
    shape, degree
        Of the star flat.
    coefficients
        What the stars still ask for after division by the flat of the sky, float64; in the terms of `StarFlat`.
    covariance
        Their covariance: that of the stars, and the variances that the jackknife over exposures gives to the flat of
        the sky. (Its correlations are left out: a dozen exposures do not tell them well enough to be inverted.)
    """

    detector: Detector = field(converter=to_detector, repr=str)
    shape: tuple[int, int] = field(converter=to_tuple)
    degree: int = field(converter=int)
    coefficients: np.ndarray = image(np.float64, ndim=1, follows_shape=False)
    covariance: np.ndarray = image(np.float64, follows_shape=False)

    @classmethod
    def between(cls, star_flat: "StarFlat", fit: FlatModelFit) -> Self:
        """Compare a `StarFlat` with a `~nircam_flats.FlatModelFit`; see `StarFlat.compare`.

        The fluxes are divided by the surface of ``fit`` and solved again. So structure that the surface follows and no
        polynomial of this degree can follow does not disturb.
        """
        demand(fit, "surface", "StarFlat.compare needs a FlatModelFit")
        if (star_flat.detector, star_flat.shape) != (fit.detector, fit.surface.shape):
            raise InvalidInputError(
                f"StarFlat.compare needs a fit of {star_flat.detector} with shape {star_flat.shape}; got one of "
                f"{fit.detector} with {fit.surface.shape}"
            )
        terms, table = star_flat.terms, star_flat.measurements[star_flat.measurements["used"]]
        here = tuple(np.rint(table[axis]).astype(int) for axis in "yx")
        divided = QTable({name: table[name] for name in ("star", "x", "y", "flux", "err")})
        for name in ("flux", "err"):
            divided[name] = table[name] / fit.surface[here]
        found = fit_stars(divided, terms)
        of_sky = terms.variances_in(fit.covariance)
        return cls(
            detector=star_flat.detector,
            shape=star_flat.shape,
            degree=star_flat.degree,
            coefficients=found.coefficients,
            covariance=found.covariance + np.diag(of_sky),
        )

    @cached_property
    def chi2(self):
        """Difference squared over its covariance, summed over the coefficients."""
        return float(self.coefficients @ np.linalg.solve(self.covariance, self.coefficients))

    @property
    def degrees_of_freedom(self) -> int:
        """Number of coefficients."""
        return len(self.coefficients)

    @property
    def p_value(self) -> float:
        """Chance of a larger `chi2` if the two flats are the same: below 0.001, say, there is additive light."""
        return float(chi2.sf(self.chi2, self.degrees_of_freedom))

    @cached_property
    def ratio(self):
        """Flat of the stars over flat of the sky, float32; below 1 where the sky holds additive light."""
        return readonly(np.exp(LegendreTerms(degree=self.degree, shape=self.shape).image(self.coefficients)))

    @cached_property
    def significance(self):
        """Departure of `ratio` from 1 over its error, float32."""
        err = LegendreTerms(degree=self.degree, shape=self.shape).errors(self.covariance)
        return readonly(((self.ratio - 1) / err).astype(np.float32))

    def __str__(self):
        y, x = np.unravel_index(np.abs(self.ratio - 1).argmax(), self.shape)
        return (
            f"{self.detector}: star flat / sky flat: chi2 {self.chi2:.1f} for {self.degrees_of_freedom} coefficients, "
            f"chance {self.p_value:.2g}; largest departure {self.ratio[y, x] - 1:+.2%} at x={x}, y={y}"
        )

    def plot(self, ax: Any = None, **artist_options: Any) -> Any:
        """Draw the ratio; returns the artist."""
        from nircam_flats.plotting import draw_flat

        title = f"{self.detector}: star flat / sky flat (chance {self.p_value:.2g})"
        return draw_flat(self.ratio, ax=ax, **({"title": title, "label": "star flat / sky flat"} | artist_options))
