"""The interface of background models."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from astropy.time import Time

from nircam_flats._strategy import Strategy
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.instrument import Filter

__all__ = ["BRIGHTNESS", "BackgroundModel", "day_of_year", "one_coordinate", "one_date", "told"]

BRIGHTNESS = u.MJy / u.sr
N_SAMPLES = 41
"""Wavelengths at which a bandpass is sampled."""


class BackgroundModel(Strategy, ABC):
    """How bright the sky is, by component, in a direction, on a date, at any wavelength.

    Subclasses write `spectrum`. Everybody else asks `predict` for the total in a filter, `components` for its parts, or
    the model itself for spectra: ``model(coordinate, date, wavelength)``.

    Attributes
    ----------
    relative_err
        1 sigma error of the total, relative; NaN where it is not known.

    Examples
    --------
    >>> from astropy import units as u
    >>> from astropy.coordinates import SkyCoord
    >>> from nircam_flats import BackgroundModel
    >>> class Uniform(BackgroundModel):
    ...     '''The same sky everywhere.'''
    ...     def spectrum(self, coordinate, date, wavelength):
    ...         return {"zodiacal": 0.2 / wavelength, "thermal": 1e-3 * wavelength}
    >>> Uniform().predict(SkyCoord(10 * u.deg, -5 * u.deg), "2022-06-21", "F200W")
    <Quantity 0.1026 MJy / sr>
    """

    relative_err: float = np.nan

    @abstractmethod
    def spectrum(self, coordinate: SkyCoord, date: Any, wavelength: np.ndarray) -> Any:
        """Return the brightness by component, a dictionary from names to arrays like ``wavelength``, MJy/sr.

        Parameters
        ----------
        coordinate
            One `~astropy.coordinates.SkyCoord`, ICRS.
        date
            One `~astropy.time.Time`, UTC.
        wavelength
            Array of one dimension, um.
        """

    def __call__(self, coordinate: SkyCoord, date: Any, wavelength: u.Quantity) -> dict:
        """Return the spectrum by component, a dictionary of quantities in MJy/sr.

        Parameters
        ----------
        coordinate
            A `~astropy.coordinates.SkyCoord`.
        date
            A `~astropy.time.Time`, or a text that it understands.
        wavelength
            Quantity, an array or a scalar.

        Raises
        ------
        InvalidInputError
            If one of them is something else, or `spectrum` returns what is no brightness.
        """
        asked = _wavelength(wavelength, type(self).__name__)
        values = np.atleast_1d(asked.to_value(u.um))
        found = self.spectrum(
            one_coordinate(coordinate, type(self).__name__), one_date(date, type(self).__name__), values
        )
        return {name: value.reshape(asked.shape) for name, value in self._checked(found, values).items()}

    def _checked(self, found, wavelength):
        place = f"{type(self).__name__}.spectrum(coordinate, date, wavelength)"
        if not isinstance(found, dict) or not found:
            raise InvalidInputError(f"{place} must be a dictionary of components; got {found!r}")
        checked = {}
        for name, value in found.items():
            if isinstance(value, u.Quantity):
                raise InvalidInputError(f"{place}[{name!r}] must be a plain array, MJy/sr; got one in {value.unit}")
            value = np.asarray(value, float)
            if value.shape != wavelength.shape or not np.isfinite(value).all() or (value < 0).any():
                raise InvalidInputError(
                    f"{place}[{name!r}] must be finite, not negative, and of shape {wavelength.shape}; got "
                    f"{value if value.size < 4 else f'shape {value.shape} from {value.min()} to {value.max()}'}"
                )
            checked[name] = value * BRIGHTNESS
        return checked

    def components(self, coordinate: SkyCoord, date: Any, filter: Filter | str, *, band_average: bool = False) -> dict:
        """Return the brightness in a filter by component, a dictionary of quantities; parameters as in `predict`."""
        bandpass = Filter.get(filter)
        if not band_average:
            return self(coordinate, date, bandpass.pivot)
        half = bandpass.bandwidth / 2
        wavelength: u.Quantity = np.linspace(bandpass.pivot - half, bandpass.pivot + half, N_SAMPLES)
        weight = 1 / wavelength.to_value(u.um)  # photons are counted, for a brightness by frequency
        weight[[0, -1]] /= 2
        spectra = self(coordinate, date, wavelength)
        return {name: (value @ weight) / weight.sum() for name, value in spectra.items()}

    def predict(
        self, coordinate: SkyCoord, date: Any, filter: Filter | str, *, band_average: bool = False
    ) -> u.Quantity:
        """Return the brightness of the sky in a filter, a quantity in MJy/sr.

        Parameters
        ----------
        coordinate
            A `~astropy.coordinates.SkyCoord`.
        date
            A `~astropy.time.Time`, or a text that it understands.
        filter
            A `~nircam_flats.Filter` or its name.
        band_average
            Average over the bandpass, taken as a box of its bandwidth around the pivot, with the weight of photons,
            int f dl / l over int dl / l. False takes the value at the pivot, as the JWST Backgrounds Tool does.

        Raises
        ------
        InvalidInputError
            If an argument cannot be understood, or the model has no answer there.
        """
        return sum(self.components(coordinate, date, filter, band_average=band_average).values())

    def table(self, coordinate: SkyCoord, date: Any, wavelength: u.Quantity) -> QTable:
        """Return the spectrum as a `~astropy.table.QTable`, which `TabulatedBackground` reads as ECSV."""
        table = QTable({"wavelength": _wavelength(wavelength, type(self).__name__).to(u.um)})
        table.update(self(coordinate, date, wavelength))
        position, day = one_coordinate(coordinate, ""), one_date(date, "")
        table.meta = {"model": repr(self), "ra": position.ra.deg.item(), "dec": position.dec.deg.item()}
        table.meta["date"] = day.isot
        return table


def day_of_year(date):
    """Return the day of the year of a `~astropy.time.Time`, UTC: 1 January is day 0."""
    return int(date.utc.yday.split(":")[1]) - 1


def told(coordinate):
    """Return a `~astropy.coordinates.SkyCoord` as a short text."""
    return coordinate.to_string("hmsdms", precision=0)


def one_coordinate(value, place):
    """Return one direction as a `~astropy.coordinates.SkyCoord` in ICRS; an error names ``place``."""
    if not isinstance(value, SkyCoord) or not value.isscalar:
        raise InvalidInputError(f"{place} needs one SkyCoord; got {value!r}")
    return value.icrs


def one_date(value, place):
    """Return one date as a `~astropy.time.Time` in UTC; an error names ``place``."""
    try:
        date = Time(value, scale="utc") if isinstance(value, str) else value
    except ValueError:
        date = None
    if not isinstance(date, Time) or not date.isscalar:
        raise InvalidInputError(f"{place} needs one astropy Time, or a date such as '2022-06-21'; got {value!r}")
    return date.utc


def _wavelength(value, place):
    try:
        wavelength = u.Quantity(value).to(u.um)
    except (TypeError, u.UnitConversionError):
        wavelength = None
    if wavelength is None or wavelength.ndim > 1 or not np.all(wavelength > 0):
        raise InvalidInputError(f"{place} needs positive wavelengths with a unit, a scalar or a list; got {value!r}")
    return wavelength
