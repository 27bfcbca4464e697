"""Fine patterns that repeat, such as crosshatch: found frequency by frequency in overlapping blocks."""

from functools import cache

import numpy as np
from scipy import fft
from scipy.ndimage import uniform_filter
from scipy.stats import gamma

__all__ = ["texture"]

BLOCK = 64
STEP = BLOCK // 2
NEIGHBOURS = 5
COARSEST = 2
"""Frequencies below this many cycles per block are left out: that is structure wider than 32 px."""
INDEPENDENT = (NEIGHBOURS / 1.2) ** 2
"""Number of independent blocks among 5 x 5: neighbours overlap by half, and share (1/pi)^2 of their power."""


def texture(image, variance, n_sigma):
    """Return the repeating pattern in ``image``, and the variance of its noise, two float32 images.

    Each block of 64 x 64 px is multiplied by a window whose squares add up to 1 (root of Hann, half overlap) and
    Fourier transformed. A coefficient is multiplied by ``1 - m N / P``, at least 0: P is the power at its frequency,
    averaged over 5 x 5 blocks, N that of white noise of ``variance`` or the median of P over the frequencies, whichever
    is larger (what is white is no pattern), and m a margin of ``n_sigma`` standard deviations of P.

    A gain g lets through errors of g N where it goes by structure (the noise, and the structure that is lost), and of
    g^2 P where noise exceeds the margin by chance. The frequencies where that happens are too many to count with the
    first.
    """
    ny, nx = image.shape
    pad = [(STEP, STEP + -n % STEP) for n in image.shape]
    padded = np.pad(image, pad, mode="symmetric")
    window = np.sin(np.pi * (np.arange(BLOCK) + 0.5) / BLOCK).astype(np.float32)
    window = window[:, None] * window
    blocks = np.lib.stride_tricks.sliding_window_view(padded, (BLOCK, BLOCK))[::STEP, ::STEP]
    spectra = fft.rfft2(blocks * window)
    noise = uniform_filter(np.pad(variance, pad, mode="symmetric"), BLOCK)[STEP::STEP, STEP::STEP]
    noise = noise[: blocks.shape[0], : blocks.shape[1], None, None] * np.float32(np.sum(window**2))
    power = uniform_filter(np.abs(spectra) ** 2, (NEIGHBOURS, NEIGHBOURS, 1, 1), mode="nearest")
    white = np.median(power, axis=(2, 3), keepdims=True) / np.float32(_median_of_noise())
    noise = np.maximum(noise, white)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = 1 - np.float32(_margin(n_sigma)) * noise / power
    gain = np.where(gain > 0, gain, np.float32(0))
    y, x = np.abs(fft.fftfreq(BLOCK, 1 / BLOCK)), fft.rfftfreq(BLOCK, 1 / BLOCK)
    gain *= np.hypot(y[:, None], x) >= COARSEST
    parts = fft.irfft2(spectra * gain, (BLOCK, BLOCK)) * window
    gain_by_chance, passed_by_chance = _of_noise(n_sigma)
    kept = np.maximum(gain.mean(axis=(2, 3)) - gain_by_chance, 0) + passed_by_chance
    found, passed = np.zeros(padded.shape, np.float32), np.zeros(padded.shape, np.float32)
    for j in range(parts.shape[0]):
        for i in range(parts.shape[1]):
            area = np.s_[j * STEP : j * STEP + BLOCK, i * STEP : i * STEP + BLOCK]
            found[area] += parts[j, i]
            passed[area] += kept[j, i] * window**2
    inside = np.s_[STEP : STEP + ny, STEP : STEP + nx]
    return found[inside], passed[inside] * variance


def _power_of_noise():
    """The distribution of P / N of noise alone."""
    return gamma(INDEPENDENT, scale=1 / INDEPENDENT)


@cache
def _median_of_noise():
    return _power_of_noise().median()


def _margin(n_sigma):
    """The power of noise alone that is taken for structure, in units of its mean."""
    return 1 + n_sigma / np.sqrt(INDEPENDENT)


@cache
def _of_noise(n_sigma):
    """Mean gain of noise, and the part of its power that comes through."""
    margin, power = _margin(n_sigma), _power_of_noise()
    of_gain, of_power = (lambda p: 1 - margin / p), (lambda p: (1 - margin / p) ** 2 * p)
    return tuple(np.float32(power.expect(function, lb=margin)) for function in (of_gain, of_power))
