"""Two-dimensional polynomials, fitted by moments."""

from typing import Any

import numpy as np
from numpy.polynomial import legendre

from nircam_flats._fields import readonly
from nircam_flats.exceptions import FitError, InvalidInputError
from nircam_flats.fit.strategy import FitStrategy
from nircam_flats.fit.surface import Surface
from nircam_flats.kernels import add_changed_moments, evaluate_polynomial
from nircam_flats.skyflat.meshes import MESH_BOX

__all__ = ["Polynomial2D", "legendre_basis"]

MAX_ITERATIONS = 5
N_SIGMA = 5.0


class Polynomial2D(FitStrategy):
    """Least-squares polynomial of total degree ``degree`` in x and y (the report's choice for SW detectors: 3).

    Parameters
    ----------
    degree
        Highest sum of the powers of x and y; 3 has 10 terms.
    tolerance
        Pixels that depart from the surface by more than ``tolerance + 5 err`` are no flat but dead or hot pixels and
        are left out; the fit is repeated without them until nothing changes (at most 5 times). 0.2 is the report's
        limit for dead pixels.

    Notes
    -----
    The basis is ``P_i(x) P_j(y)``, Legendre polynomials on the square from -1 to 1, so that the normal equations are
    well conditioned. Pixels have the weight 1/err^2 if errors are given. Products of two Legendre polynomials are
    again sums of Legendre polynomials (up to twice the degree), so the normal matrix needs only the moments
    ``sum(w P_a(x) P_b(y))`` with a, b <= 2 degree: one pass over the pixels, no row of a matrix for each.

    Examples
    --------
    >>> import numpy as np
    >>> from nircam_flats import Polynomial2D
    >>> y, x = np.indices((64, 64)) / 64
    >>> truth = 1 + 0.05 * x - 0.03 * y**3
    >>> bool(np.allclose(Polynomial2D(degree=3)(truth), truth, atol=1e-6))
    True
    """

    def __init__(self, *, degree: int = 3, tolerance: float = 0.2) -> None:
        if degree < 0 or int(degree) != degree or tolerance <= 0:
            raise InvalidInputError(
                f"Polynomial2D needs a whole degree >= 0 and tolerance > 0; got degree={degree}, tolerance={tolerance}"
            )
        self.degree = int(degree)
        self.tolerance = tolerance

    def smooth(self, data: np.ndarray, err: np.ndarray | None, good: np.ndarray) -> Any:
        # The polynomial is fitted to the small difference from a constant, so that nothing cancels, and errors are
        # taken relative to a constant; which constants does not matter, but the first surface that outliers are sought
        # from is the constant.
        offset = _typical(data, good)
        scale = 1.0 if err is None else _typical(err, good)
        by, bx = (legendre_basis(np.arange(size) + 0.5, size, 2 * self.degree) for size in data.shape)
        used, coefficients = np.zeros(data.shape, bool), np.zeros((self.degree + 1, self.degree + 1))
        moments, values = np.zeros((len(by), len(bx))), np.zeros(coefficients.shape)
        for _ in range(MAX_ITERATIONS):
            n_changed = add_changed_moments(
                data,
                err,
                good,
                used,
                moments,
                values,
                offset=offset,
                scale=scale,
                by=by,
                bx=bx,
                coefficients=coefficients,
                tolerance=self.tolerance,
                n_sigma=N_SIGMA,
            )
            if n_changed == 0:
                break
            normal = self._normal(moments)
            coefficients = self._solve(normal, values, used)
        surface = readonly(evaluate_polynomial(coefficients, by, bx, offset))
        return Surface(values=surface, modes=None if err is None else scale * self._modes(normal, data.shape))

    def _terms(self):
        """Powers (j of y, i of x) of the terms, two arrays."""
        return np.array([(j, i) for j in range(self.degree + 1) for i in range(self.degree + 1 - j)]).T

    def _normal(self, moments):
        j, i = self._terms()
        products = _products(self.degree)
        # normal[(j,i),(l,k)] = sum_ab products[j,l,b] products[i,k,a] moments[b,a]
        full = np.einsum("jlb,ika,ba->jilk", products, products, moments, optimize=True)
        return full[j[:, None], i[:, None], j, i]

    def _solve(self, normal, values, used):
        j, i = self._terms()
        solution, _, rank, _ = np.linalg.lstsq(normal, values[j, i], rcond=1e-12)
        if rank < len(j):
            raise FitError(
                f"Polynomial2D of degree {self.degree} has {len(j)} terms, and the {np.count_nonzero(used)} good "
                f"pixels determine only {rank} of them; use a lower degree"
            )
        coefficients = np.zeros(values.shape)
        coefficients[j, i] = solution
        return coefficients

    def _modes(self, normal, shape):
        """Terms at the centres of boxes times a root of the covariance of their coefficients."""
        j, i = self._terms()
        values, vectors = np.linalg.eigh(normal)
        roots = vectors / np.sqrt(np.maximum(values, 1e-12 * values.max()))
        centres = (np.minimum(MESH_BOX * (np.arange(-(-size // MESH_BOX)) + 0.5), size) for size in shape)
        by, bx = (legendre_basis(place, size, self.degree) for place, size in zip(centres, shape, strict=True))
        return np.einsum("ty,tx,tm->myx", by[j], bx[i], roots, optimize=True)


def _typical(data, good):
    """Median of the good pixels, of a sparse grid of them if that has any."""
    step = max(1, min(data.shape) // 256)
    sample = data[::step, ::step][good[::step, ::step]]
    return float(np.median(sample if sample.size else data[good]))


def legendre_basis(place, size, degree):
    """Legendre polynomials 0 ... degree at places (pixels from the edge) of ``size`` pixels that fill -1 ... 1."""
    return np.ascontiguousarray(legendre.legvander(2 * place / size - 1, degree).T)


def _products(degree):
    """``P_i P_k = sum_a products[i, k, a] P_a``."""
    products = np.zeros((degree + 1, degree + 1, 2 * degree + 1))
    unit = np.eye(degree + 1)
    for i in range(degree + 1):
        for k in range(degree + 1):
            series = legendre.legmul(unit[i, : i + 1], unit[k, : k + 1])
            products[i, k, : len(series)] = series
    return products
