"""Backgrounds from the files of the JWST Backgrounds Tool."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from nircam_flats.background._jbt_files import GRID, file_name, pixel_of, read_curve, read_field
from nircam_flats.background.model import BackgroundModel, day_of_year, one_coordinate, one_date, told
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.instrument._tables import packaged_table

__all__ = ["JBTBackground"]

WAVELENGTHS = "std_spectrum_wavelengths.txt"
THERMAL = "thermal_curve_*.csv"
TOOL = "jwst_backgrounds"
UNKNOWN = "unknown"


class JBTBackground(BackgroundModel):
    """What the JWST Backgrounds Tool predicts, from its own files, without a network.

    The total is zodiacal + stray + other (Galactic and extragalactic) light of the field's file, and the thermal light
    of the observatory, all interpolated linearly as the tool does.

    Parameters
    ----------
    source
        The folder of the cache, with ``sl_pix_NNNNNN.bin`` in it or in folders by their first four digits, as the
        tool's cache has them; or one such file.
    refdata
        The folder of the tool's wavelengths (``std_spectrum_wavelengths.txt``) and thermal curve
        (``thermal_curve_*.csv``). By default that of the cache, or else an installed copy of the tool.
    thermal
        Path of the thermal curve, where ``refdata`` holds several.
    correct_1p2_micron
        Multiply by the factors (0.65 at 0.7 um, 1 beyond 1.8 um) that the mission's exposure time calculator adopted
        after measurements in the bluest filters fell below the prediction. Version 3 of the cache already has them.
    nearest_day
        Take the nearest visible day where the field is not visible on the date; otherwise that is an error.
    cache_version
        Version of the cache, such as '2.0'. By default what the file VERSION in the folder says.
    relative_err
        1 sigma error of the prediction, relative, if you have one: the tool states none.

    Raises
    ------
    InvalidInputError
        If the source is not there, the two curves are not found, or ``cache_version`` is not what VERSION says.

    Notes
    -----
    The correction: E. Han, JETC-4464, as in pandeia.engine 2026.7.
    """

    def __init__(
        self,
        source: Any,
        *,
        refdata: Any = None,
        thermal: Any = None,
        correct_1p2_micron: bool = False,
        nearest_day: bool = False,
        cache_version: Any = None,
        relative_err: Any = np.nan,
    ) -> None:
        self.source = Path(source)
        if not self.source.exists():
            raise InvalidInputError(
                f"{self.source}: needed a folder or file of the JWST Backgrounds Tool's cache; nothing is there"
            )
        self.wavelengths, self.thermal = _curves(self._folder, refdata, thermal)
        self.cache_version = _cache_version(self._folder, cache_version)
        if correct_1p2_micron and self.cache_version.partition(".")[0] == "3":
            raise InvalidInputError(
                f"JBTBackground: version {self.cache_version} of the cache already has the 1.2 micron correction; say "
                "correct_1p2_micron=False"
            )
        self.correct_1p2_micron = bool(correct_1p2_micron)
        self.nearest_day = bool(nearest_day)
        self.relative_err = float(relative_err)

    @property
    def _folder(self):
        return self.source if self.source.is_dir() else self.source.parent

    def visible_days(self, coordinate: SkyCoord) -> Any:
        """Return the days of the year (1 January is day 0) on which a field is visible, an array."""
        return self._field(one_coordinate(coordinate, "JBTBackground"), self.grid).days

    def day_used(self, coordinate: SkyCoord, date: Any) -> Any:
        """Return the day of the year whose prediction is taken for a date.

        Raises
        ------
        InvalidInputError
            If the field is not visible then, and ``nearest_day`` is false.
        """
        coordinate, date = one_coordinate(coordinate, "JBTBackground"), one_date(date, "JBTBackground")
        return self._day(self.visible_days(coordinate), coordinate, date)

    def spectrum(self, coordinate: SkyCoord, date: Any, wavelength: np.ndarray) -> Any:
        grid = self.grid
        if wavelength.min() < grid[0] or wavelength.max() > grid[-1]:
            raise InvalidInputError(
                f"JBTBackground has predictions from {grid[0]} to {grid[-1]} um; asked were {wavelength.min():.4g} to "
                f"{wavelength.max():.4g} um"
            )
        found = self._field(coordinate, grid)
        number = np.searchsorted(found.days, self._day(found.days, coordinate, date))
        wavelengths, light = read_curve(self.thermal, 2)
        thermal = np.interp(grid, wavelengths, light, left=0, right=0)
        spectra = {
            "zodiacal": found.zodiacal[number],
            "stray": found.stray[number],
            "thermal": thermal,
            "other": found.other,
        }
        factor = _correction(wavelength) if self.correct_1p2_micron else 1.0
        return {name: np.interp(wavelength, grid, values) * factor for name, values in spectra.items()}

    @property
    def grid(self) -> Any:
        """Wavelengths of the files, um, an array."""
        return read_curve(self.wavelengths, 1)[0]

    def _field(self, coordinate, grid):
        pixel = pixel_of(coordinate)
        if self.source.is_dir():
            name = file_name(pixel)
            places = [self.source / name, self.source / f"{pixel:06d}"[:4] / name]
            path = next((place for place in places if place.is_file()), None)
            if path is None:
                raise InvalidInputError(
                    f"{self.source}: needed {name}, the field around {told(coordinate)}; it is not there: fetch it "
                    "from the cache of the JWST Backgrounds Tool, or use ZodiacalBackground"
                )
            return read_field(path, grid.size)
        found = read_field(self.source, grid.size)
        if found.pixel != pixel:
            lon, lat = GRID.healpix_to_lonlat(found.pixel)
            raise InvalidInputError(
                f"{self.source}: needed pixel {pixel}, the field around {told(coordinate)}; "
                f"this file is pixel {found.pixel}, around ({lon.deg:.2f}, {lat.deg:.2f}) deg: give the folder, or "
                f"{file_name(pixel)}"
            )
        return found

    def _day(self, days, coordinate, date):
        day = day_of_year(date)
        if day in days:
            return day
        where = told(coordinate)
        if not days.size:
            raise InvalidInputError(f"JBTBackground: the field around {where} is not visible on any day")
        if not self.nearest_day:
            raise InvalidInputError(
                f"JBTBackground: the field around {where} is not visible on {date.utc.iso[:10]} (day {day}); it is on "
                f"days {_ranges(days)}: say nearest_day=True to take the nearest"
            )
        away = np.abs(days - day)
        return int(days[np.argmin(np.minimum(away, 366 - away))])


def _curves(folder, refdata, thermal):
    """Return the paths of the wavelengths and of the thermal curve."""
    spec = find_spec(TOOL)
    installed = [] if spec is None or spec.origin is None else [Path(spec.origin).parent / "refdata"]
    folders = [folder, folder / "refdata", *installed] if refdata is None else [Path(refdata)]
    for place in folders:
        if (place / WAVELENGTHS).is_file():
            break
    else:
        raise InvalidInputError(
            f"JBTBackground needs {WAVELENGTHS}, which is in none of {', '.join(map(str, folders))}; say refdata=... "
            f"(the folder refdata of the tool, {TOOL})"
        )
    if thermal is None:
        found = sorted(place.glob(THERMAL))
        if len(found) != 1:
            came = ", ".join(path.name for path in found) or "none"
            raise InvalidInputError(f"{place}: needed one thermal curve {THERMAL}; got {came}: say thermal=...")
        thermal = found[0]
    grid, curve = place / WAVELENGTHS, Path(thermal)
    read_curve(grid, 1)
    read_curve(curve, 2)
    return grid, curve


def _cache_version(folder, version):
    path = folder / "VERSION"
    said = path.read_text().strip() if path.is_file() else None
    if version is not None and said is not None and str(version) != said:
        raise InvalidInputError(f"{path}: needed version {version} of the cache; got {said}")
    return str(version if version is not None else said or UNKNOWN)


def _correction(wavelength):
    table = packaged_table("correction_1p2_micron", "nircam_flats.background")
    return np.interp(wavelength, table["wavelength"].to_value(u.um), table["factor"])


def _ranges(days):
    """'0-45, 300-365' of a rising array of days."""
    runs = np.split(days, np.flatnonzero(np.diff(days) > 1) + 1)
    return ", ".join(f"{run[0]}-{run[-1]}" for run in runs)
