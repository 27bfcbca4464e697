"""A compact model of the background that needs no files: the offline default."""

from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from nircam_flats.background._dust import LineOfSight, black_body, ecliptic_vector, sun
from nircam_flats.background.model import BackgroundModel, told
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.instrument._tables import packaged_table

__all__ = ["ZodiacalBackground"]

FIELD_OF_REGARD = (85.0, 135.0)
"""Angles from the Sun at which JWST can look, deg."""


class ZodiacalBackground(BackgroundModel):
    """Zodiacal, stray, thermal and other light from a compact model, for any field and date.

    Zodiacal light is that of the smooth dust cloud of Kelsall et al. 1998 (ApJ 508, 44), integrated along the line of
    sight: sunlight scattered with their phase functions, and the thermal light of the dust. How bright the cloud is at
    each wavelength, the stray light (a constant and a part of the zodiacal light), the thermal light of the observatory
    (one grey body) and the light of other sources (the same everywhere) are tuned to the files of the JWST Backgrounds
    Tool for four fields, by ``benchmarks/accuracy_background.py --fit``.

    Parameters
    ----------
    tuning
        `~astropy.table.QTable` of the tuned spectra; by default the packaged one.
    any_angle
        Whether to answer for directions that JWST cannot look at, less than 85 or more than 135 degrees from the Sun;
        otherwise that is an error.

    Notes
    -----
    Against the tool's files, 0.7 to 4.8 um, all visible days of four fields, each scored with a tuning that has not
    seen it, ``benchmarks/accuracy_background.py --files`` prints how far off the totals are; `relative_err` is the root
    mean square of that. Like the files, the zodiacal light has no thermal part below 3.4 um, where some is real. Fields
    near the Galactic plane are brighter than said here.

    Examples
    --------
    >>> from astropy import units as u
    >>> from astropy.coordinates import SkyCoord
    >>> from nircam_flats import ZodiacalBackground
    >>> cosmos = SkyCoord(150.1 * u.deg, 2.2 * u.deg)
    >>> print(f"{ZodiacalBackground().predict(cosmos, '2022-05-01', 'F200W'):.2f}")
    0.24 MJy / sr
    """

    def __init__(self, *, tuning: Any = None, any_angle: bool = False) -> None:
        self.tuning = packaged_table("zodiacal", "nircam_flats.background") if tuning is None else tuning
        self.any_angle = bool(any_angle)

    def __repr__(self):
        source = self.tuning.meta.get("source", "...")
        return f"ZodiacalBackground(any_angle={self.any_angle}, tuning=<{source}>)"

    @property
    def relative_err(self) -> float:  # type: ignore[override]
        """1 sigma error of the total, relative: as scored against the files of the JWST Backgrounds Tool."""
        return float(self.tuning.meta["relative_err"])

    def spectrum(self, coordinate: SkyCoord, date: Any, wavelength: np.ndarray) -> Any:
        table = self.tuning
        grid = table["wavelength"].to_value(u.um)
        if wavelength.min() < grid[0] or wavelength.max() > grid[-1]:
            raise InvalidInputError(
                f"ZodiacalBackground has predictions from {grid[0]} to {grid[-1]} um; asked were "
                f"{wavelength.min():.4g} to {wavelength.max():.4g} um"
            )
        direction = ecliptic_vector(coordinate)
        if not self.any_angle:
            _check_angle(direction, coordinate, date)
        tuned = {name: np.interp(wavelength, grid, table[name]) for name in table.colnames[1:]}
        dust = LineOfSight.towards(direction, date)
        zodiacal = tuned["scattering"] * dust.scattered(wavelength) + tuned["emissivity"] * dust.emitted(wavelength)
        observatory = table.meta["thermal"]
        return {
            "zodiacal": zodiacal,
            "stray": tuned["stray_constant"] + tuned["stray_part"] * zodiacal,
            "thermal": observatory["emissivity"] * black_body(wavelength, observatory["temperature"]),
            "other": tuned["other"],
        }


def _check_angle(direction, coordinate, date):
    longitude, _ = sun(date)
    angle = np.degrees(np.arccos(np.clip(direction @ [np.cos(longitude), np.sin(longitude), 0], -1, 1)))
    low, high = FIELD_OF_REGARD
    if not low - 0.5 <= angle <= high + 0.5:  # for an edge that is a matter of the attitude
        raise InvalidInputError(
            f"ZodiacalBackground: JWST looks {low:.0f} to {high:.0f} deg away from the Sun; the field around "
            f"{told(coordinate)} is {angle:.0f} deg away on {date.utc.iso[:10]}, so it is not visible: say "
            "any_angle=True to have an answer all the same"
        )
