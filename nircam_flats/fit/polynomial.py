"""Two-dimensional polynomials, fitted by moments."""

import numpy as np
from numpy.polynomial import legendre

from nircam_flats.exceptions import FitError, InvalidInputError
from nircam_flats.fit.strategy import FitStrategy

__all__ = ["Polynomial2D"]

MAX_ITERATIONS = 5


class Polynomial2D(FitStrategy):
    """Least-squares polynomial of total degree ``degree`` in x and y (the report's choice for SW detectors).

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
    ``sum(w P_a(x) P_b(y))`` with a, b <= 2 degree: two small matrix products, no row per pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from nircam_flats import Polynomial2D
    >>> y, x = np.indices((64, 64)) / 64
    >>> truth = 1 + 0.05 * x - 0.03 * y**3
    >>> bool(np.allclose(Polynomial2D(degree=3)(truth), truth, atol=1e-6))
    True
    """

    def __init__(self, *, degree=3, tolerance=0.2):
        if degree < 0 or int(degree) != degree or tolerance <= 0:
            raise InvalidInputError(
                f"Polynomial2D needs a whole degree >= 0 and tolerance > 0; got degree={degree}, tolerance={tolerance}"
            )
        self.degree = int(degree)
        self.tolerance = tolerance

    def smooth(self, data, err, good):
        weight = np.where(good, np.float32(1), np.float32(0)) if err is None else _inverse_variance(err, good)
        # The polynomial is fitted to the small difference from a constant, so that float32 sums lose nothing.
        offset = np.float32(np.nanmedian(data))
        difference = np.where(good, data - offset, np.float32(0))
        allowed = np.float32(self.tolerance) + (0 if err is None else 5 * err)
        used, surface = good & (np.abs(difference) <= allowed), None
        for _ in range(MAX_ITERATIONS):
            coefficients = self._solve(difference, np.where(used, weight, np.float32(0)))
            surface = self._evaluate(coefficients, data.shape)
            still_used = good & (np.abs(difference - surface) <= allowed)
            if np.array_equal(still_used, used):
                break
            used = still_used
        return surface + offset

    def _terms(self):
        """Powers (j of y, i of x) of the terms."""
        return [(j, i) for j in range(self.degree + 1) for i in range(self.degree + 1 - j)]

    def _solve(self, data, weight):
        terms = self._terms()
        by, bx = (_basis(size, 2 * self.degree) for size in data.shape)
        moments = _moments(weight, by, bx)
        values = _moments(weight * data, by[:, : self.degree + 1], bx[:, : self.degree + 1])
        products = _products(self.degree)
        # normal[(j,i),(l,k)] = sum_ab products[j,l,b] products[i,k,a] moments[b,a]
        full = np.einsum("jlb,ika,ba->jilk", products, products, moments, optimize=True)
        j, i = np.array(terms).T
        normal = full[j[:, None], i[:, None], j, i]
        solution, _, rank, _ = np.linalg.lstsq(normal, values[j, i], rcond=1e-12)
        if rank < len(terms):
            raise FitError(
                f"Polynomial2D of degree {self.degree} has {len(terms)} terms, and the {int((weight > 0).sum())} good "
                f"pixels determine only {rank} of them; use a lower degree"
            )
        coefficients = np.zeros((self.degree + 1, self.degree + 1))
        coefficients[j, i] = solution
        return coefficients

    def _evaluate(self, coefficients, shape):
        by, bx = (_basis(size, self.degree) for size in shape)
        return (by @ coefficients @ bx.T).astype(np.float32)


def _inverse_variance(err, good):
    scale = np.float32(np.median(err[good]))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(good, (scale / err) ** 2, np.float32(0))


def _basis(size, degree):
    """Legendre polynomials 0 ... degree at the centres of ``size`` pixels that fill -1 ... 1; (size, degree + 1)."""
    centres = (2 * np.arange(size) + 1) / size - 1
    return legendre.legvander(centres, degree)


def _moments(image, by, bx):
    """Sums of ``image * by[y, b] * bx[x, a]``, shape (b, a), in float64 without a float64 copy of the image."""
    total = np.zeros((by.shape[1], bx.shape[1]))
    for start in range(0, image.shape[0], 256):
        rows = slice(start, start + 256)
        total += by[rows].T @ (image[rows].astype(np.float64) @ bx)
    return total


def _products(degree):
    """``P_i P_k = sum_a products[i, k, a] P_a``."""
    products = np.zeros((degree + 1, degree + 1, 2 * degree + 1))
    unit = np.eye(degree + 1)
    for i in range(degree + 1):
        for k in range(degree + 1):
            series = legendre.legmul(unit[i, : i + 1], unit[k, : k + 1])
            products[i, k, : len(series)] = series
    return products
