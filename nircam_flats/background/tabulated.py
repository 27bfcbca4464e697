"""Backgrounds from a table of the user."""

from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable

from nircam_flats.background.model import BRIGHTNESS, BackgroundModel
from nircam_flats.exceptions import InvalidInputError

__all__ = ["TabulatedBackground"]


class TabulatedBackground(BackgroundModel):
    """One spectrum for all fields and dates, from an ECSV file, interpolated linearly.

    Parameters
    ----------
    path
        An ECSV file with the column ``wavelength`` and a column for each component, their units included. What
        `BackgroundModel.table` returns is such a table, and so is a measured sky.
    relative_err
        1 sigma error, relative, if it is known.

    Raises
    ------
    InvalidInputError
        If the file is no such table: the text names the column and what is needed.
    """

    def __init__(self, path: str | Path, *, relative_err: Any = np.nan) -> None:
        self.path = Path(path)
        self.relative_err = float(relative_err)
        self._read()

    def spectrum(self, coordinate: SkyCoord, date: Any, wavelength: np.ndarray) -> Any:
        grid, components = self._read()
        if wavelength.min() < grid[0] or wavelength.max() > grid[-1]:
            raise InvalidInputError(
                f"{self.path}: needed a table from {wavelength.min():.4g} to {wavelength.max():.4g} um; it covers "
                f"{grid[0]:.4g} to {grid[-1]:.4g} um"
            )
        return {name: np.interp(wavelength, grid, values) for name, values in components.items()}

    def _read(self):
        try:
            table = QTable.read(self.path, format="ascii.ecsv")
        except (OSError, TypeError, ValueError) as error:
            raise InvalidInputError(f"{self.path}: needed a table in ECSV format; got {error}") from None
        if "wavelength" not in table.colnames or len(table.colnames) < 2:
            needed = "a column wavelength and one for each component"
            raise InvalidInputError(f"{self.path}: needed {needed}; got {', '.join(table.colnames) or 'none'}")
        columns = {name: self._column(table, name) for name in table.colnames}
        grid = columns.pop("wavelength")
        if grid.size < 2 or not (np.diff(grid) > 0).all():
            raise InvalidInputError(f"{self.path}: column wavelength must rise; got {grid}")
        return grid, columns

    def _column(self, table, name):
        unit = u.um if name == "wavelength" else BRIGHTNESS
        try:
            values = table[name].to_value(unit)
        except (AttributeError, TypeError, u.UnitConversionError):
            came = getattr(table[name], "unit", None) or "no unit"
            raise InvalidInputError(f"{self.path}: column {name} must be in {unit} or the like; got {came}") from None
        if not np.isfinite(values).all():
            raise InvalidInputError(f"{self.path}: column {name} must be finite; got {values}")
        return values
