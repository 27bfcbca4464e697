"""A second look at single pixels: their values in all frames, also where the frames are masked."""

from functools import partial

import numpy as np
from attrs import frozen

from nircam_flats.kernels import local_medians
from nircam_flats.parallel import map_ordered

__all__ = ["Looks", "look_at"]

REACH, LEAST = 4, 12
"""A pixel is compared with the good ones at most 4 rows and columns away, if there are a dozen."""
BRIGHTEST = 1.5
"""Where the surroundings are brighter than this, in units of the sky, they are too steep to be compared with."""


@frozen(kw_only=True)
class Looks:
    """What the frames say of some pixels, arrays with a value for each.

    Attributes
    ----------
    values
        Weighted mean of the pixel over its surroundings, relative.
    err
        1 sigma, from the noise of the frames alone.
    scatter
        Of the frames about the mean, in units of their noise; NaN where fewer than two saw the pixel.
    n
        Number of frames.
    """

    values: np.ndarray
    err: np.ndarray
    scatter: np.ndarray
    n: np.ndarray


def look_at(frames, excluded, y, x, *, executor=None):
    """Look at the pixels (y, x) in all ``frames``, and return the `Looks`.

    A source mask hides more than sources: all around them it takes pixels whose light is that of their neighbours. In
    each frame the pixel is divided by the median of its neighbours, those of ``excluded`` left out.
    """
    work = partial(_look, excluded=excluded, y=y, x=x)
    looks = zip(*map_ordered(work, frames.frames, executor=frames.sharing(executor)), strict=True)
    values, weights = (np.array(items) for items in looks)
    n, total = np.sum(weights > 0, axis=0), np.sum(weights, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.sum(weights * values, axis=0) / total
        chi2 = np.sum(weights * (values - mean) ** 2, axis=0)
        scatter = np.where(n > 1, np.sqrt(chi2 / (n - 1)), np.nan)
        return Looks(values=mean, err=1 / np.sqrt(total), scatter=scatter, n=n)


def _look(frame, *, excluded, y, x):
    data = frame.pixels[:] / np.float32(frame.scale)
    around = local_medians(data, excluded, y, x, reach=REACH, least=LEAST).astype(float)
    usable = np.isfinite(data[y, x]) & (around > 0) & (around < BRIGHTEST)
    around = np.where(usable, around, 1.0)
    # Photons: the relative noise falls with the square root of the light.
    return np.where(usable, data[y, x] / around, 0.0), np.where(usable, around, 0.0) / frame.noise**2
