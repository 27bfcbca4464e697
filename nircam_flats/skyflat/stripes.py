"""Broad 1/f stripes along the rows of frames: noise that the boxes of a row share, in an amplifier and between all."""

from typing import Self

import numpy as np
from attrs import evolve, frozen

from nircam_flats.instrument.detector import N_AMPLIFIERS

__all__ = ["StripeNoise"]

FAR = 4
"""Boxes that are so many apart share stripes, and no light of sources."""


@frozen(kw_only=True, eq=False)
class StripeNoise:
    """Variances of what the boxes of a row have in common, in each of some frames.

    Meshes have the shape (frames, boxes in y, boxes in x); weights are 1 / variance of the noise of a box alone, 0
    where a box does not count.

    Attributes
    ----------
    everywhere
        Of what all amplifiers share, shape (frames, 1, 1).
    within
        Of what those of an amplifier share beside that.
    """

    everywhere: np.ndarray
    within: np.ndarray

    @classmethod
    def of(cls, residuals: np.ndarray, used: np.ndarray) -> Self:
        """Return what the residuals of frames show: the covariance of boxes that are far apart in a row.

        Parameters
        ----------
        residuals
            Meshes of frames less all that is known to be in them.
        used
            Which of the boxes count, boolean.
        """
        n_columns = residuals.shape[-1]
        columns, starts = np.arange(n_columns), _starts(n_columns)
        amplifiers = np.searchsorted(starts, columns, side="right")
        same = np.equal.outer(amplifiers, amplifiers)
        apart = np.clip(n_columns // len(starts) - 1, 1, FAR)
        far = np.abs(np.subtract.outer(columns, columns)) >= apart
        used = used.astype(float)
        residuals = residuals * used
        products, pairs = (np.swapaxes(meshes, 1, 2) @ meshes for meshes in (residuals, used))

        def shared(where):
            return np.sum(products * where, axis=(1, 2)) / np.maximum(np.sum(pairs * where, axis=(1, 2)), 1.0)

        within = same & far if (same & far).any() else ~same
        between, inside = (np.maximum(shared(where), 0.0)[:, None, None] for where in (~same, within))
        return cls(everywhere=np.minimum(between, inside), within=np.maximum(inside - between, 0.0))

    def where(self, kept: np.ndarray) -> Self:
        """Return that of the frames ``kept``."""
        return evolve(self, everywhere=self.everywhere[kept], within=self.within[kept])

    def expected(self, residuals: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the stripes that are expected in the residuals, meshes: where little is seen, they are near to 0.

        The best linear prediction: the mean over the row, and what each amplifier adds to it, both drawn toward 0 by
        their noise.
        """
        seen, alone, of_row = self._of_rows(weights)
        sums = _in_amplifiers(weights * residuals)
        mean = of_row * np.sum(alone * sums, axis=2, keepdims=True)
        return _in_boxes(mean + self.within * alone * (sums - seen * mean), weights.shape[2])

    def variance(self, weights: np.ndarray) -> np.ndarray:
        """Return the variance of the stripes about what is `expected`, meshes."""
        _, alone, of_row = self._of_rows(weights)
        return _in_boxes(self.within * alone + alone**2 * of_row, weights.shape[2])

    def whitened(self, meshes: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return meshes times the inverse of the covariance of all noise: stripes, and 1 / weights of each box."""
        return weights * (meshes - self.expected(meshes, weights))

    def _of_rows(self, weights):
        """Sum of the weights in each amplifier, what noise leaves of its own stripe, and the variance of the mean."""
        seen = _in_amplifiers(weights)
        alone = 1 / (1 + self.within * seen)
        return seen, alone, self.everywhere / (1 + self.everywhere * np.sum(alone * seen, axis=2, keepdims=True))


def _starts(n_columns):
    """First column of each amplifier; of each column where there are fewer."""
    n = min(N_AMPLIFIERS, n_columns)
    return -(-np.arange(n) * n_columns // n)


def _in_amplifiers(meshes):
    """Sums over the boxes of each row in each amplifier."""
    return np.add.reduceat(meshes, _starts(meshes.shape[2]), axis=2)


def _in_boxes(values, n_columns):
    return np.repeat(values, np.diff(_starts(n_columns), append=n_columns), axis=2)
