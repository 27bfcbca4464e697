"""Noise of the readout that is not white."""

import numpy as np

from nircam_flats.instrument.detector import N_AMPLIFIERS

__all__ = ["row_stripes"]

STRIPES = 0.0005
"""Root mean square of the stripes, DN/s."""
SHARED = 0.7
"""Part of the stripes' variance that all four amplifiers have in common."""
KNEE = 8
"""Cycles per frame below which the spectrum is flat: the reference pixels take off slower variations."""


def row_stripes(rng, n_rows):
    """Draw 1/f noise along the slow direction of the readout, a value for each row and amplifier.

    The readout runs along the rows, so that slow drifts of the amplifiers become stripes along x, each amplifier a
    quarter of the columns. Power falls as 1 / frequency.

    Returns
    -------
    numpy.ndarray
        Shape (n_rows, 4), DN/s.
    """
    frequency = np.fft.rfftfreq(n_rows, 1 / n_rows)
    amplitude = np.maximum(frequency, KNEE) ** -0.5
    amplitude[0] = 0
    weight = np.where(frequency == n_rows / 2, 1, 2)
    amplitude *= n_rows / np.sqrt(np.sum(weight * amplitude**2))
    parts = rng.standard_normal((2, N_AMPLIFIERS + 1, frequency.size)) / np.sqrt(2)
    series = np.fft.irfft(amplitude * (parts[0] + 1j * parts[1]), n_rows, axis=1)
    return STRIPES * (np.sqrt(SHARED) * series[0] + np.sqrt(1 - SHARED) * series[1:]).T
