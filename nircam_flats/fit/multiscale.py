"""Structure at every spatial scale, as far as it stands out from the noise."""

from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable

from nircam_flats.exceptions import InvalidInputError
from nircam_flats.fit._planes import filled, noise_factors, power_gain, starlet
from nircam_flats.fit._texture import texture
from nircam_flats.fit.polynomial import Polynomial2D
from nircam_flats.fit.strategy import FitStrategy
from nircam_flats.fit.surface import Surface
from nircam_flats.instrument.detector import N_AMPLIFIERS

__all__ = ["MultiScale"]

SIGNIFICANT = 4.0
CERTAIN = 0.9
"""Gain from which on a coefficient is taken to be all structure."""
REFINEMENTS = 8


class MultiScale(FitStrategy):
    """A smooth surface and, on top, the finer structure that the data show, scale by scale.

    Two kinds of structure are sought in the residual of the smooth surface. First patterns that repeat (crosshatch),
    frequency by frequency in overlapping blocks of 64 px. Then, in what is left, compact structure (dust, corner
    features): it is split into planes of structure about 1, 2, 4 ... px wide. Each frequency and each plane is
    multiplied by a gain between 0 and 1: the part of its local power that noise does not explain.

    Parameters
    ----------
    base
        The strategy of the smooth surface; by default `Polynomial2D`.
    n_scales
        Number of planes; 6 reach from 1 to 32 px. Wider structure is for ``base``.
    window
        Side of the area over which the power of a plane is taken, in units of its scale.
    n_sigma
        Power that exceeds the noise by less than this many of its standard deviations is no structure.
    tolerance
        Pixels that depart from the smooth surface by more than ``tolerance + 5 err`` are dead or hot and not the
        flat of their neighbours; they are left out.

    Notes
    -----
    The planes are those of the isotropic undecimated wavelet transform with a cubic B spline ("starlet"; Starck,
    Murtagh & Fadili 2010, *Sparse Image and Signal Processing*, section 3.5). The gain is that of an empirical Wiener
    filter, ``1 - N / P`` with N the power of the noise (from ``err``) and P the power seen, or ``1 - (4 sigma / w)^2``
    for a single coefficient w, whichever is larger. Without ``err`` the noise is taken from the finest plane.

    What is constant along a row within one amplifier (a quarter of the columns) looks like the mean of the 1/f stripes
    of the exposures, and is left out.

    Examples
    --------
    >>> import numpy as np
    >>> from nircam_flats import MultiScale
    >>> rng = np.random.default_rng(1)
    >>> y, x = np.indices((128, 128))
    >>> lines = 0.01 * np.cos(2 * np.pi * (x + y) / 14)
    >>> noisy = 1 + lines + rng.normal(0, 0.005, lines.shape)
    >>> found = MultiScale()(noisy, np.full(lines.shape, 0.005)) - 1
    >>> bool(0.85 < (found * lines).sum() / (lines**2).sum() < 1.05)
    True
    """

    def __init__(
        self,
        *,
        base: FitStrategy | None = None,
        n_scales: int = 6,
        window: float = 8,
        n_sigma: float = 3.0,
        tolerance: float = 0.2,
    ) -> None:
        if n_scales < 1 or window < 2 or n_sigma < 0 or tolerance <= 0:
            raise InvalidInputError(
                "MultiScale needs n_scales >= 1, window >= 2, n_sigma >= 0 and tolerance > 0; got "
                f"n_scales={n_scales}, window={window}, n_sigma={n_sigma}, tolerance={tolerance}"
            )
        if base is not None and not isinstance(base, FitStrategy):
            raise InvalidInputError(f"MultiScale needs a FitStrategy as base, Polynomial2D(), say; got {base!r}")
        self.base = Polynomial2D() if base is None else base
        self.n_scales = int(n_scales)
        self.window = window
        self.n_sigma = n_sigma
        self.tolerance = tolerance

    @property
    def centre(self) -> str:  # type: ignore[override]
        """That of the smooth surface."""
        return self.base.centre

    def smooth(self, data: np.ndarray, err: np.ndarray | None, good: np.ndarray) -> Any:
        base, pattern, variance, compact, planes = self._parts(data, err, good)
        found = sum(gain * plane for plane, _, gain in planes)
        variance += sum(gain * noise for _, noise, gain in planes)
        # What is deep enough is found whole: the planes leave its mean over their widest scale, a halo around it.
        supports = [gain > CERTAIN for _, _, gain in planes]
        for _ in range(REFINEMENTS):
            left = starlet(compact - found, self.n_scales)
            found += sum(np.where(support, plane, 0) for support, plane in zip(supports, left, strict=True))
        return Surface(values=base * (1 + pattern + found), pixel_err=base * np.sqrt(variance))

    def scales(self, data: np.ndarray, err: np.ndarray | None = None, good: np.ndarray | None = None) -> Any:
        """Return what each scale holds, a QTable.

        Columns are scale (px), signal and noise (rms, relative), and response: the part of the signal at that scale
        that the surface keeps, NaN where there is less than a twentieth of the noise's power. Parameters are those of
        `fit`.
        """
        data = np.asarray(data, np.float32)
        good = np.isfinite(data) if good is None else good & np.isfinite(data)
        err = None if err is None else np.asarray(err, np.float32)
        data = np.where(good, data, np.float32(np.nan))
        _, pattern, passed, _, planes = self._parts(data, err, good)
        factors = noise_factors(self.n_scales)
        rows = []
        for number, (repeating, (plane, noise, gain)) in enumerate(
            zip(starlet(pattern, self.n_scales), planes, strict=True)
        ):
            seen, kept = (repeating + plane)[good], (repeating + gain * plane)[good]
            noise_kept = (gain * noise + factors[number][0] * passed)[good]
            noise = np.mean(noise[good], dtype=np.float64)
            signal = np.mean(seen**2, dtype=np.float64) - noise
            kept = np.mean(seen * kept, dtype=np.float64) - np.mean(noise_kept, dtype=np.float64)
            response = kept / signal if signal > 0.05 * noise else np.nan
            rows.append((2**number * u.pix, np.sqrt(max(signal, 0.0)), np.sqrt(noise), response))
        return QTable(rows=rows, names=["scale", "signal", "noise", "response"])

    def _parts(self, data, err, good):
        """Return the smooth surface, the repeating pattern, the variance of its noise, the rest, and its planes.

        A plane is (coefficients, variance of their noise, gain).
        """
        base = self.base(data, err, good)
        residual = data / base - 1
        allowed = self.tolerance + (0 if err is None else 5 * err)
        with np.errstate(invalid="ignore"):
            good = good & (np.abs(residual) <= allowed)
        residual = filled(residual - _stripes(np.where(good, residual, np.nan)), good)
        if err is None:
            variance = np.full(data.shape, _finest_noise(residual, good) ** 2, np.float32)
        else:
            variance = filled((err / base) ** 2, good)
        pattern, pattern_variance = texture(residual, variance, self.n_sigma)
        compact, planes = residual - pattern, []
        for number, (plane, (factor, width)) in enumerate(
            zip(starlet(compact, self.n_scales), noise_factors(self.n_scales), strict=True)
        ):
            noise = factor * variance
            planes.append((plane, noise, self._gain(plane, noise, width, 2**number)))
        return base, pattern, pattern_variance, compact, planes

    def _gain(self, plane, noise, width, scale):
        together = power_gain(plane, noise, width, self.window * scale, self.n_sigma)
        with np.errstate(divide="ignore", invalid="ignore"):
            alone = 1 - np.float32(SIGNIFICANT**2) * noise / plane**2
        return np.nan_to_num(np.clip(np.fmax(together, alone), 0, 1))  # NaN is neither power nor noise: a hole


def _finest_noise(residual, good):
    """1 sigma of white noise, from the finest plane."""
    finest, (factor, _) = starlet(residual, 1)[0], noise_factors(1)[0]
    return 1.4826 * np.median(np.abs(finest[good])) / np.sqrt(factor)


def _stripes(residual):
    """What is constant along each row within an amplifier, an image; 0 where nothing of the row is good."""
    parts = []
    for part in np.array_split(residual, N_AMPLIFIERS, axis=1):
        ordered = np.sort(part, axis=1)  # NaN last
        n = np.isfinite(part).sum(axis=1)
        rows = np.arange(len(part))
        low, high = ordered[rows, np.maximum(n - 1, 0) // 2], ordered[rows, np.minimum(n // 2, part.shape[1] - 1)]
        levels = np.where(n > 0, (low + high) / 2, 0)
        parts.append(np.broadcast_to(levels[:, None], part.shape))
    return np.concatenate(parts, axis=1)
