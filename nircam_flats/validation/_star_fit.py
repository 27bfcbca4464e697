"""Weighted least squares for a smooth response and the brightness of each star."""

import numpy as np
from astropy import units as u
from attrs import frozen

from nircam_flats.exceptions import FitError
from nircam_flats.fit.polynomial import legendre_basis
from nircam_flats.kernels import evaluate_polynomial
from nircam_flats.skyflat.meshes import MESH_BOX

__all__ = ["LegendreTerms", "fit_stars"]

N_SIGMA = 4.0
MAX_ROUNDS = 20


@frozen(kw_only=True)
class LegendreTerms:
    """The terms ``P_i(x) P_j(y)`` with ``1 <= i + j <= degree`` over a frame of ``shape``, by rising sum."""

    degree: int
    shape: tuple

    @property
    def powers(self):
        """j of y and i of x of each term, two integer arrays."""
        pairs = [(j, total - j) for total in range(1, self.degree + 1) for j in range(total + 1)]
        return np.array(pairs).T

    def at(self, x, y):
        """Return the terms at pixels (zero-based), float64, (places, terms)."""
        j, i = self.powers
        by, bx = (
            legendre_basis(np.asarray(place, float) + 0.5, size, self.degree)
            for place, size in zip((y, x), self.shape, strict=True)
        )
        return (by[j] * bx[i]).T

    def image(self, coefficients):
        """Return the sum of the terms, float32."""
        j, i = self.powers
        square = np.zeros((self.degree + 1, self.degree + 1))
        square[j, i] = coefficients
        by, bx = (legendre_basis(np.arange(size) + 0.5, size, self.degree) for size in self.shape)
        return evaluate_polynomial(square, by, bx, 0.0)

    def errors(self, covariance):
        """Return the 1 sigma error of `image` where the coefficients have this covariance, float32."""
        values, vectors = np.linalg.eigh(covariance)
        variance = np.zeros(self.shape, np.float32)
        for root in (vectors * np.sqrt(np.maximum(values, 0))).T:
            variance += self.image(root) ** 2
        return np.sqrt(variance)

    def on_mesh(self):
        """Return the terms at the centres of boxes of 32 px, (terms, boxes in y, boxes in x)."""
        j, i = self.powers
        by, bx = (
            legendre_basis(np.minimum(MESH_BOX * (np.arange(-(-size // MESH_BOX)) + 0.5), size), size, self.degree)
            for size in self.shape
        )
        return by[j][:, :, None] * bx[i][:, None, :]

    def variances_in(self, covariance):
        """Return the variance that the noise of a surface gives to each term fitted to it (and a constant).

        ``covariance`` is a `~nircam_flats.SurfaceCovariance`. Its misfit is left out: that is what the surface left in
        its residual, of which smooth terms hold next to nothing.
        """
        values = self.on_mesh().reshape(len(self.powers[0]), -1)
        design = np.vstack([np.ones(values.shape[1]), values]).T
        modes = covariance.modes.reshape(len(covariance.modes), -1)
        fitted = np.linalg.lstsq(design, modes.T.astype(np.float64), rcond=None)[0]
        return np.sum(fitted[1:] ** 2, axis=1)


@frozen
class StarSolution:
    """Coefficients, their covariance, the scatter beyond the noise, and which measurements were used."""

    coefficients: np.ndarray
    covariance: np.ndarray
    jitter: float
    used: np.ndarray


def fit_stars(table, terms):
    """Return the `StarSolution` of a table with ``star``, ``x``, ``y``, ``flux`` and ``err``."""
    flux, err = (table[name].to_value(u.uJy) for name in ("flux", "err"))
    star, design = np.asarray(table["star"]), terms.at(table["x"], table["y"])
    known = (flux > 0) & np.isfinite(flux) & (err > 0) & np.isfinite(err)
    with np.errstate(invalid="ignore", divide="ignore"):
        values, noise = np.log(flux), err / flux
    used, jitter = _repeated(star, known), 0.0
    for _ in range(MAX_ROUNDS):
        coefficients, covariance, residual, degrees = _solve(values, noise, star, design, used, jitter)
        was = jitter, used
        jitter = _jitter(residual[used], noise[used], degrees)
        with np.errstate(invalid="ignore"):
            near = np.abs(residual) < N_SIGMA * np.hypot(noise, jitter)
        used = _repeated(star, known & near)
        if abs(jitter - was[0]) < 1e-6 and np.array_equal(used, was[1]):
            break
    return StarSolution(coefficients=coefficients, covariance=covariance, jitter=jitter, used=used)


def _repeated(star, known):
    """Which of the ``known`` measurements are of stars that have another one."""
    return known & (np.bincount(star[known], minlength=star.max(initial=0) + 1)[star] > 1)


def _solve(values, noise, star, design, used, jitter):
    """Coefficients, covariance, residual of every measurement from its star, and degrees of freedom."""
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where(used, 1 / (noise**2 + jitter**2), 0.0)
    n_stars = len(np.unique(star[used]))
    degrees = np.count_nonzero(used) - n_stars - design.shape[1]
    if degrees < 1:
        raise FitError(
            f"StarFlat of {design.shape[1]} terms needs more measurements than terms and stars; got "
            f"{np.count_nonzero(used)} measurements of {n_stars} stars; use a lower degree or more dithers"
        )
    values = np.where(np.isfinite(values), values, 0.0)
    total = np.bincount(star, weight)

    def about_star(columns):
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.nan_to_num(np.array([np.bincount(star, weight * column) / total for column in columns.T]).T)
        return columns - means[star]

    left, right = about_star(design), about_star(values[:, None])[:, 0]
    normal = left.T @ (weight[:, None] * left)
    scale = np.sqrt(np.diag(normal))
    if scale.min() < 1e-6 * np.sqrt(weight.sum()) or np.linalg.cond(normal / np.outer(scale, scale)) > 1e8:
        raise FitError(
            f"StarFlat: {n_stars} stars do not determine {len(normal)} terms; the dithers must differ along both axes: "
            "use a lower degree, or more and larger dithers"
        )
    covariance = np.linalg.inv(normal / np.outer(scale, scale)) / np.outer(scale, scale)
    coefficients = covariance @ (left.T @ (weight * right))
    return coefficients, covariance, right - left @ coefficients, degrees


def _jitter(residual, noise, degrees):
    """Scatter that must be added to the noise for chi2 to be what it should be; 0 if none must."""

    def excess(jitter):
        return np.sum(residual**2 / (noise**2 + jitter**2)) - degrees

    if excess(0.0) <= 0:
        return 0.0
    low, high = 0.0, np.sqrt(np.sum(residual**2) / degrees)
    while high - low > 1e-7:
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high
