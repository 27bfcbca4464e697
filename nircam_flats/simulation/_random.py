"""Random streams that do not depend on the order in which they are asked for, and smooth random fields."""

from enum import IntEnum

import numpy as np

__all__ = ["Stream", "generator", "smooth_field"]

N_MODES = 26
"""Cosine modes along each axis: the shortest half wave is 100 pixels of a frame of 2048."""
SPECTRUM = 1.5
"""The amplitude of a mode falls as its wave number to the power of -SPECTRUM."""
MARGIN = 0.1
"""Part of the domain of the cosines on each side that is cut off: at its edges their slopes are zero."""
N_BOXES = 32
"""Boxes along each axis in which a field's peak to peak is counted: 64 pixels of a frame of 2048."""


class Stream(IntEnum):
    """What a random stream is for: the first number of its key. A number, once given, keeps its meaning."""

    GROUND = 1
    GROUND_FILTER = 2
    GROUND_NOISE = 3
    CHANGE = 4
    FILTER_PATTERN = 5
    CROSSHATCH = 6
    CORNERS = 7
    DEAD = 8
    BAD = 9
    POINTING = 10
    DITHER = 11
    SKY = 12
    SOURCES = 13
    BRIGHT_STARS = 14
    LARGE_GALAXY = 15
    WISP_SHAPE = 16
    WISP_LEVEL = 17
    NOISE = 18
    STRIPES = 19
    JUMPS = 20
    NOISY = 21
    TELEGRAPH = 22


def generator(seed, stream, *key):
    """Return the `numpy.random.Generator` for ``stream`` and the whole numbers ``key``.

    Its numbers depend on nothing else, so that any part of a program can be made alone.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(int(stream), *(int(part) for part in key)))
    return np.random.Generator(np.random.SFC64(sequence))


def _bases(n, at):
    """Legendre polynomials of degree 0 to 3 and cosines 1 to N_MODES at ``at`` (0 to 1), side by side."""
    legendre = np.polynomial.legendre.legvander(2 * at - 1, 3)
    phase = np.pi * (MARGIN + (1 - 2 * MARGIN) * at)
    return np.hstack([legendre, np.cos(np.outer(phase, np.arange(N_MODES + 1)))])


def smooth_field(rng, shape, *, peak_to_peak, non_cubic):
    """Draw a smooth random field that looks the same whatever the size of the frame.

    It is a gradient with some curvature (a cubic), plus a Gaussian random field with structure down to 1/20 of the
    frame from which the best cubic has been taken off.

    Parameters
    ----------
    rng
        A `numpy.random.Generator`.
    shape
        Of the image.
    peak_to_peak
        Range of the field at the centres of 32 x 32 boxes.
    non_cubic
        Range, at the same places, of the part that no cubic can follow.

    Returns
    -------
    numpy.ndarray
        float32 image with mean about 0.
    """
    n_legendre, n_all = 4, 5 + N_MODES
    degree = np.add.outer(np.arange(n_legendre), np.arange(n_legendre))
    strength = np.choose(np.minimum(degree, 4), [0, 1, 0.35, 0.15, 0])
    large = strength * rng.standard_normal(degree.shape)
    angle = rng.uniform(0, 2 * np.pi)
    large[0, 1], large[1, 0] = np.cos(angle), np.sin(angle)
    wave = np.hypot.outer(np.arange(N_MODES + 1), np.arange(N_MODES + 1))
    wave[0, 0] = np.inf
    fine = rng.standard_normal(wave.shape) * np.where(wave <= N_MODES, wave, np.inf) ** -SPECTRUM

    centres = (np.arange(N_BOXES) + 0.5) / N_BOXES
    basis = _bases(N_BOXES, centres)
    legendre, cosines = basis[:, :n_legendre], basis[:, n_legendre:]
    rough = cosines @ fine @ cosines.T
    terms = [(i, j) for i in range(n_legendre) for j in range(n_legendre) if i + j < n_legendre]
    design = np.stack([np.outer(legendre[:, i], legendre[:, j]).ravel() for i, j in terms], axis=1)
    cubic = np.zeros_like(large)
    cubic[tuple(zip(*terms, strict=True))] = np.linalg.lstsq(design, rough.ravel(), rcond=None)[0]
    rough -= legendre @ cubic @ legendre.T
    scale = non_cubic / np.ptp(rough)
    smooth = legendre @ large @ legendre.T
    factor = peak_to_peak / np.ptp(smooth)
    for _ in range(10):
        factor *= peak_to_peak / np.ptp(factor * smooth + scale * rough)

    coefficients = np.zeros((n_all, n_all))
    coefficients[:n_legendre, :n_legendre] = factor * large - scale * cubic
    coefficients[n_legendre:, n_legendre:] = scale * fine
    along_y, along_x = (_bases(n, (np.arange(n) + 0.5) / n).astype(np.float32) for n in shape)
    return (along_y @ coefficients.astype(np.float32)) @ along_x.T
