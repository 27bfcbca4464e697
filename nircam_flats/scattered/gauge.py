"""What fixes the one number that the frames cannot tell: how much light there is when strengths are only compared."""

from abc import ABC, abstractmethod

import numpy as np
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, image
from nircam_flats._strategy import Strategy, checked_image
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.scattered._separation import Regression, legendre_terms, total_degrees
from nircam_flats.skyflat.stripes import StripeNoise

__all__ = ["CleanestExposures", "Gauge", "GaugeFit", "SmoothResponse"]

ITERATIONS = 5
ROBUST = 3.0
N_BLOCKS = 8
LEAST_WHITE = 1 / 9
"""Part of the variance of a box that its row does not share, at least."""
FINEST = 8
"""Total degree of the finest structure of a smooth surface: half a wave is an eighth of the frame."""
STRUCTURE = 3e-4
"""1 sigma of each Legendre term of the first degree beyond the polynomial, relative to the response."""


@frozen(kw_only=True, eq=False)
class GaugeFit(HoldsArrays):
    """What a gauge found.

    Attributes
    ----------
    constant, constant_err
        The mean light is ``constant`` times what the frames gain per unit of strength; 1 sigma error.
    surface, surface_err
        The smooth response beside the light, a mesh, and its 1 sigma error.
    surface_modes
        How that error hangs together: meshes whose squares add up to its variance, shape (modes, boxes in y, boxes in
        x); by default one, the error itself.
    of_second, of_second_err
        How much of the second light there is beside that, on average, in units of its strengths; 1 sigma error.
    """

    constant: float = field()
    constant_err: float = field()
    surface: np.ndarray = image(np.float64)
    surface_err: np.ndarray = image(np.float64)
    surface_modes: np.ndarray = image(np.float64, ndim=3, follows_shape=False)
    of_second: float = field(default=0.0)
    of_second_err: float = field(default=0.0)

    @surface_modes.default
    def _of_one_piece(self):
        return self.surface_err[None]


class Gauge(Strategy, ABC):
    """How the gauge of a decomposition is fixed: a named rule.

    Frames tell how strengths differ, not where they are zero: strengths shifted by a constant c with the response
    changed by -c times the light describe the same frames. Subclasses write `fit` and say what they assume in
    ``statement``; everybody else calls the gauge itself: ``gauge(regression, light, misfit)``.
    """

    statement = ""
    """The assumption in words, for verdicts that rest on it."""

    @abstractmethod
    def fit(self, regression: Regression, light: np.ndarray, misfit: float) -> GaugeFit:
        """Return a `~nircam_flats.scattered.gauge.GaugeFit`.

        Parameters
        ----------
        regression
            Frames against strength, a `~nircam_flats.scattered.Regression`.
        light
            Mesh of the mean light as known so far, 0 outside its outline; shape (boxes in y, boxes in x).
        misfit
            1 sigma by which the response of a box departs from a smooth surface, noise included.
        """

    def __call__(self, regression: Regression, light: np.ndarray, misfit: float) -> GaugeFit:
        """Return a `~nircam_flats.scattered.gauge.GaugeFit`.

        Parameters
        ----------
        regression, light, misfit
            As in `fit`.

        Raises
        ------
        InvalidInputError
            If the arguments do not belong together, or `fit` returns what is no answer: another class, a mesh of
            another shape, a constant or a surface that is not finite, an error that is negative or NaN.
        """
        place = f"{type(self).__name__}.fit(regression, light, misfit)"
        shape = regression.mean.shape
        light = checked_image(light, shape, float, f"light of {place}")
        found = self.fit(regression, light, misfit)
        if not isinstance(found, GaugeFit):
            raise InvalidInputError(f"{place} must be a GaugeFit; got {found!r}")
        for name in ("surface", "surface_err"):
            checked_image(getattr(found, name), shape, float, f"{name} of {place}")
        for mode in found.surface_modes:
            checked_image(mode, shape, float, f"each of surface_modes of {place}")
        if not (np.isfinite([found.constant, found.of_second]).all() and np.isfinite(found.surface).all()):
            raise InvalidInputError(f"{place} must have a finite constant and surface; got constant={found.constant}")
        if not (min(found.constant_err, found.of_second_err) >= 0 and (found.surface_err >= 0).all()):
            raise InvalidInputError(
                f"{place} must have errors that are not negative; got constant_err={found.constant_err}"
            )
        return found


class SmoothResponse(Gauge):
    """The response is smooth across the light: a polynomial goes through what is left when the light is taken away.

    Parameters
    ----------
    degree
        Of the polynomial in x and y.

    Notes
    -----
    The mean of the frames is ``P + c V``, with the smooth surface P and the slope V of the frames against the strength.
    V is noisy, so least squares would find too small a c; the light as known so far, L, which is almost without
    noise, takes its place as the instrument: the residual is orthogonal to the terms of P and to L. Boxes that depart
    by more than 3 sigma lose weight. The noise of the mean is white and in stripes along the rows, with the variances
    that are seen beside the light. The error comes from the jackknife over blocks of the frame, which counts what
    neighbouring boxes share. A second light has a term and an instrument of its own.

    The response is not quite a polynomial: P has Legendre terms of higher degrees too, up to 8, which are expected to
    be zero with a standard deviation of 0.03 % of the response in the first of these degrees, and less as 1 / degree.
    That was chosen on the seeds for tuning of ``benchmarks/accuracy_decomposition.py``.
    """

    def __init__(self, *, degree: int = 3) -> None:
        if degree < 1 or int(degree) != degree:
            raise InvalidInputError(f"SmoothResponse needs a whole degree >= 1; got degree={degree}")
        self.degree = int(degree)

    @property
    def statement(self) -> str:  # type: ignore[override]
        return f"the response is smooth, nearly a polynomial of degree {self.degree}, across the outline of the light"

    def fit(self, regression: Regression, light: np.ndarray, misfit: float) -> GaugeFit:
        return _gauge_fit(*_fitted(regression, light, misfit, _Terms.of(light.shape, self.degree)))


class CleanestExposures(Gauge):
    """The cleanest exposures have no light at all: the lowest strengths are zero.

    Parameters
    ----------
    n
        How many of them; the mean of their strengths is taken for zero.
    degree
        Of the smooth surface that the response is compared with, as in `SmoothResponse`; the gauge does not rest on it.
    """

    def __init__(self, *, n: int = 1, degree: int = 3) -> None:
        if n < 1 or int(n) != n or degree < 1 or int(degree) != degree:
            raise InvalidInputError(
                f"CleanestExposures needs whole n >= 1 and degree >= 1; got n={n} and degree={degree}"
            )
        self.n = int(n)
        self.degree = int(degree)

    @property
    def statement(self) -> str:  # type: ignore[override]
        which = "the cleanest exposure holds" if self.n == 1 else f"the {self.n} cleanest exposures hold"
        return f"{which} none of the light"

    def fit(self, regression: Regression, light: np.ndarray, misfit: float) -> GaugeFit:
        if self.n > regression.shown.sum():
            raise InvalidInputError(
                f"CleanestExposures needs n of at most the {regression.shown.sum()} exposures that show the light; got "
                f"n={self.n}"
            )
        lowest = np.argsort(np.where(regression.shown, regression.strengths, np.inf))[: self.n]
        constants, all_errors = [1 - regression.strengths[lowest].mean()], [regression.strength_err]
        if regression.second is not None:
            constants.append(-regression.second.strengths[lowest].mean())
            all_errors.append(regression.second.strength_err)
        errors = [np.sqrt(np.sum(one[lowest] ** 2)) / len(lowest) for one in all_errors]
        terms = _Terms.of(light.shape, self.degree)
        _, _, *surfaces = _fitted(regression, light, misfit, terms, constants)
        return _gauge_fit(constants, errors, *surfaces)


def _gauge_fit(constants, errors, surface, modes):
    """The `GaugeFit` of the light and, if there is one, the second light."""
    of_second = {"of_second": float(constants[1]), "of_second_err": float(errors[1])} if len(constants) > 1 else {}
    return GaugeFit(
        constant=float(constants[0]),
        constant_err=float(errors[0]),
        surface=surface,
        surface_err=np.sqrt(np.sum(modes**2, axis=0)),
        surface_modes=modes,
        **of_second,
    )


@frozen
class _Terms:
    """What a smooth surface consists of: terms, shape (boxes, terms), and 1 / variance of each about 0."""

    values: np.ndarray
    precision: np.ndarray

    @classmethod
    def of(cls, shape, degree):
        finest = max(degree, FINEST)
        degrees = total_degrees(finest)
        expected = STRUCTURE * (degree + 1) / np.maximum(degrees, 1)
        return cls(values=legendre_terms(shape, finest), precision=np.where(degrees > degree, expected**-2.0, 0.0))


def _fitted(regression, light, misfit, terms, given=None):
    """Return how much light there is, which may be ``given``, and its error; the surface and the modes of its error."""
    constants, surface = given or (1.0,), None
    for _ in range(ITERATIONS):
        weights, stripes = _noise(regression, light, misfit, constants, surface)
        moments = _moments(terms, regression, light, weights, stripes, given)
        solved, surface = _solved(terms, moments.sum(axis=0), light.shape)
        constants = given or solved
    without = [_solved(terms, moments.sum(axis=0) - one, light.shape) for one in moments]
    of_constants, modes = (_jackknife(np.array(items)) for items in zip(*without, strict=True))
    return constants, np.sqrt(np.sum(of_constants**2, axis=0)), surface, modes


def _blocks(shape):
    """Number of the block that each box belongs to, a mesh."""
    of_row, of_column = (np.arange(n) * N_BLOCKS // n for n in shape)
    return np.add.outer(N_BLOCKS * of_row, of_column)


def _jackknife(without):
    """Departures whose squares add up to the variance, by what was found without one block each."""
    n = len(without)
    return np.sqrt((n - 1) / n) * (without - without.mean(axis=0))


def _varying(regression, light, constants):
    """What varies of the mean light, and its error; 0 outside of the outline and where it is not known."""
    return [np.where(light != 0, np.nan_to_num(one), 0.0) for one in regression.varying(*constants)]


def _noise(regression, light, misfit, constants, surface):
    """Noise of the mean without what varies: 1 / variance in each box alone, and what the boxes of a row share.

    The former is 0 where the mean is not known. Stripes are those that are left beside the light by the ``surface``;
    None without one.
    """
    varying, err = _varying(regression, light, constants)
    known = np.isfinite(regression.mean) & ((light == 0) | np.isfinite(regression.slope))
    if surface is None:
        return np.where(known, 1 / (misfit**2 + err**2), 0.0), None
    residual = np.where(known, regression.mean - surface - varying, 0.0)
    excess = np.abs(residual) / (ROBUST * np.hypot(misfit, err))
    beside = known & (light == 0) & (excess < 1)
    stripes = StripeNoise.of(np.where(beside, residual, 0.0)[None], beside[None])
    white = max(misfit**2 - float((stripes.everywhere + stripes.within).item()), LEAST_WHITE * misfit**2)
    return np.where(known, 1 / (white + err**2) / np.maximum(excess, 1), 0.0), stripes


def _moments(terms, regression, light, weights, stripes, given):
    """Moments of ``mean = terms a + c slope`` with ``light`` as the instrument of the slope, for each block.

    The slope of a second light stands beside it, with that light as its instrument. Neither does if c is ``given``.
    """
    mean, slopes, lights = np.nan_to_num(regression.mean), [], []
    if given:
        mean = mean - _varying(regression, light, given)[0]
    else:
        slopes, lights = [_varying(regression, light, (1.0,))[0]], [light]
        if regression.second is not None:
            slopes.append(_varying(regression, light, (0.0, 1.0))[0])
            lights.append(np.where(light != 0, regression.second.light, 0.0))
    instruments = np.stack([*terms.values.T.reshape(-1, *light.shape), *lights])
    weighted = weights * instruments if stripes is None else stripes.whitened(instruments, weights[None])
    design = np.column_stack([terms.values, *(one.ravel() for one in slopes), mean.ravel()])
    weighted, blocks = weighted.reshape(len(weighted), -1), _blocks(light.shape).ravel()
    return np.array([weighted[:, blocks == one] @ design[blocks == one] for one in np.unique(blocks)])


def _solved(terms, moments, shape):
    """Return what there is of the light, and of the second if there is one, and the surface, a mesh."""
    n = len(terms.precision)
    matrix = moments[:, :-1] + np.diag(np.pad(terms.precision, (0, len(moments) - n)))
    solution = np.linalg.lstsq(matrix, moments[:, -1], rcond=1e-10)[0]
    return solution[n:], (terms.values @ solution[:n]).reshape(shape)
