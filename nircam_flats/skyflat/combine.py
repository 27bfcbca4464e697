"""Strategies that combine a stack of frames into one image."""

from abc import ABC, abstractmethod
from functools import cache

import numpy as np
from attrs import frozen
from scipy import stats

from nircam_flats._fields import HoldsArrays, image
from nircam_flats._strategy import Strategy, checked_image
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.kernels import combine_clipped

__all__ = ["CombineStrategy", "FrameStack", "SigmaClippedMean", "SigmaClippedMedian"]


@frozen(kw_only=True, eq=False)
class FrameStack(HoldsArrays):
    """A stack of frames, or of one band of their rows, to be combined.

    Attributes
    ----------
    values
        float32, shape (n, ny, nx), NaN where masked.
    noise
        1 sigma of one pixel of each frame, shape (n,), in units of the sky level.
    """

    values: np.ndarray = image(ndim=3)
    noise: np.ndarray = image(np.float64, ndim=1, follows_shape=False)

    def __attrs_post_init__(self):
        n = len(self.values)
        if n == 0 or len(self.noise) != n:
            raise InvalidInputError(
                f"FrameStack needs one or more frames, and the noise of each; got {n} and {len(self.noise)}"
            )


class CombineStrategy(Strategy, ABC):
    """How to combine the values that a pixel has in many frames.

    Subclasses write `combine`, which may be called on bands of rows in any order, at once in several threads. Those
    that answer to the sides on which values lie, as a median does, and not to the values, set ``centre`` to 'median':
    it says how much each frame pulls the combination (`DeltaSkyflat.influences`).
    """

    centre = "mean"

    @abstractmethod
    def combine(self, stack: "FrameStack") -> tuple:
        """Return ``data``, ``err`` and ``n_used``, three images of the shape of one frame, for a `FrameStack`.

        ``data`` is NaN where nothing was left, ``err`` is 1 sigma, ``n_used`` counts the frames used.
        """

    def __call__(self, stack: "FrameStack") -> tuple:
        """Combine ``stack``; returns float32, float32 and int32 images.

        Raises
        ------
        InvalidInputError
            If `combine` returns something else than three such images.
        """
        place = f"{type(self).__name__}.combine(stack)"
        result = self.combine(stack)
        if not isinstance(result, tuple) or len(result) != 3:
            raise InvalidInputError(
                f"{place} must return the three images data, err, n_used; got {type(result).__name__}"
            )
        shape = stack.values.shape[1:]
        data, err, n_used = (
            checked_image(item, shape, dtype, place)
            for item, dtype in zip(result, (np.float32, np.float32, np.int32), strict=True)
        )
        nothing = np.float32(np.nan)
        return np.where(n_used > 0, data, nothing), np.where(n_used > 0, err, nothing), n_used


PRIOR_FRAMES = 10
"""How many frames' worth the frames' own noise counts against the scatter that a pixel shows in the stack."""


class _SigmaClipped(CombineStrategy):
    """What the clipped median and the clipped mean share; they differ in the centre and its error."""

    def __init__(self, *, n_sigma: float = 3.0, max_iterations: int = 5) -> None:
        if n_sigma <= 0 or max_iterations < 0:
            raise InvalidInputError(
                f"{type(self).__name__} needs n_sigma > 0 and max_iterations >= 0; got {n_sigma} and {max_iterations}"
            )
        self.n_sigma = n_sigma
        self.max_iterations = max_iterations

    def combine(self, stack: "FrameStack") -> tuple:
        data, err, n_used = combine_clipped(
            stack.values,
            stack.noise,
            n_sigma=self.n_sigma,
            max_iterations=self.max_iterations,
            centre=self.centre,
            prior=PRIOR_FRAMES,
        )
        if self.centre == "median":
            err *= median_error_factors(len(stack.noise))[n_used]
        return data, err, n_used


class SigmaClippedMedian(_SigmaClipped):
    """Median of the values left after sigma clipping around the median (the report's choice).

    Parameters
    ----------
    n_sigma, max_iterations
        Where to cut, in standard deviations of the values, and how often; 3 and 5 as in the report.

    Notes
    -----
    The error is that of a median of normal values with unequal noise, ``f(n) sqrt(n) / sum(1/noise)``, where f(n)
    is the exact standard deviation of the median of n values times sqrt(n); it is scaled by the scatter that the
    pixel itself shows in the stack, which counts against ten frames' worth of the frames' own noise: a pixel
    noisier than its neighbours has the larger error it deserves, and chance does not make small errors.
    """

    centre = "median"


class SigmaClippedMean(_SigmaClipped):
    """Mean of the values left after sigma clipping around the median: less noise, but what is not masked pulls it.

    Parameters are those of `SigmaClippedMedian`. So is the error, but that of a mean: ``sqrt(sum(noise^2)) / n``,
    scaled by the scatter that the pixel shows.
    """


@cache
def median_error_factors(n_max):
    """Standard deviation of the median of n standard normal values, times sqrt(n), for n = 0 ... ``n_max``.

    Exact order statistics by quadrature up to n = 50; beyond, the expansion ``sqrt(pi/2 / (1 + c/n))`` that
    continues the exact values of even and odd n.

    Examples
    --------
    >>> from nircam_flats.skyflat.combine import median_error_factors
    >>> median_error_factors(3).round(4)
    array([1.    , 1.    , 1.    , 1.1602], dtype=float32)
    """
    exact = [1.0, *(np.sqrt(n * _median_variance(n)) for n in range(1, min(n_max, 50) + 1))]
    for n in range(51, n_max + 1):
        last = 50 - (n % 2)
        c = last * (np.pi / 2 / exact[last] ** 2 - 1)
        exact.append(np.sqrt(np.pi / 2 / (1 + c / n)))
    return np.array(exact[: n_max + 1], np.float32)


@cache
def _median_variance(n):
    x = np.linspace(-8, 8, 801)
    density, below = stats.norm.pdf(x), stats.norm.cdf(x)
    if n % 2:
        k = n // 2
        weight = density * (below * (1 - below)) ** k
        return np.sum(weight * x**2) / np.sum(weight)
    # The middle two of n values, a <= b: density ~ F(a)^(k-1) f(a) f(b) (1 - F(b))^(k-1), and the median is their mean.
    k = n // 2
    lower = density * below ** (k - 1)
    upper = density * (1 - below) ** (k - 1)
    joint = np.triu(np.outer(lower, upper))
    joint[np.diag_indices_from(joint)] /= 2
    middle = (x[:, None] + x) / 2
    return np.sum(joint * middle**2) / np.sum(joint)
