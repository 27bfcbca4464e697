"""Typical numbers of NIRCam: photometric calibration, gain, read noise, brightness of the sky."""

from functools import cache

import numpy as np
from astropy import constants
from astropy import units as u

from nircam_flats.instrument import imaging_modes
from nircam_flats.instrument._tables import packaged_table

__all__ = [
    "EXPOSURE_TIME",
    "GROUP_TIME",
    "READ_NOISE",
    "WELL_DEPTH",
    "electrons_per_mjsr",
    "photmjsr",
    "sky_brightness",
]

GAIN = {"SW": 2.05, "LW": 1.82}
"""Electrons per DN (JWST user documentation, "NIRCam Detector Performance")."""
EXPOSURE_TIME = 837.46806
"""Seconds: 8 groups of the pattern MEDIUM8, what a program takes unless told otherwise."""
GROUP_TIME = 107.3677
"""Seconds from one group to the next."""
READ_NOISE = 0.0038
"""DN/s per pixel, of a slope fitted to 8 groups of MEDIUM8; in other exposure times the electrons stay the same."""
WELL_DEPTH = 60000
"""Electrons at which a pixel saturates."""
COLLECTING_AREA = 25.4 * u.m**2


@cache
def _peak_throughput():
    table = packaged_table("imaging_modes")
    return {(str(row["detector"]), str(row["filter"])): float(row["peak_throughput"]) for row in table}


@cache
def _modes():
    return {(mode.detector, mode.filter): mode for mode in imaging_modes()}


def photmjsr(detector, filter):
    """Return PHOTMJSR, the surface brightness in MJy/sr that gives 1 DN/s in a pixel.

    It is gain h / (A Omega int T dl / l), with the collecting area A and the pixel's solid angle Omega; the integral
    is peak throughput x bandwidth / pivot. The values in flight are 10 to 15 % higher.
    """
    mode = _modes()[detector, filter]
    band = _peak_throughput()[detector.name, filter.name] * (mode.bandwidth / mode.pivot).to_value(u.one)
    solid_angle = (detector.x_scale * detector.y_scale).to_value(u.sr)
    brightness = GAIN[detector.channel] / u.s * constants.h / (COLLECTING_AREA * solid_angle * band)
    return float(brightness.to_value(u.MJy))


def electrons_per_mjsr(detector, filter, exposure_time=EXPOSURE_TIME):
    """Return the electrons that 1 MJy/sr brings to a pixel in one exposure (of ``exposure_time``, s)."""
    return exposure_time * GAIN[detector.channel] / photmjsr(detector, filter)


def sky_brightness(filter):
    """Return a typical brightness of the sky, MJy/sr: zodiacal light falling with wavelength, thermal light rising."""
    wavelength = filter.pivot.to_value(u.um)
    return float(0.25 * (wavelength / 1.2) ** -0.9 + 0.2 * np.exp((wavelength - 4.4) / 0.35))
