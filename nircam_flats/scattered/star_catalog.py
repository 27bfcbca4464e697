"""Stars bright enough to make claws."""

from functools import cache, cached_property
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io.registry import IORegistryError
from astropy.table import Table
from attrs import field, frozen
from numpy.typing import ArrayLike

from nircam_flats._fields import HoldsArrays, quantity, readonly
from nircam_flats._files import open_fits, read_image
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.instrument.attitude import unit_vectors

__all__ = ["BANDS", "StarCatalog"]

BANDS = ("J", "H", "Ks")
FAINTEST, BRIGHTEST = 40.0, -10.0
MISSING = -32768
COLUMNS = {
    "ra": ("ra", "raj2000", "_raj2000", "ra_icrs"),
    "dec": ("dec", "de", "dej2000", "_dej2000", "de_icrs"),
    "j": ("j_m", "j", "jmag", "j_mag"),
    "h": ("h_m", "h", "hmag", "h_mag"),
    "ks": ("k_m", "ks", "k", "kmag", "ksmag", "k_mag", "ks_mag"),
    "name": ("name", "designation", "2mass", "main_id"),
}
"""Names under which a table may hold each thing, lower case."""


def _to_names(value):
    return None if value is None else tuple(map(str, value))


@frozen(kw_only=True, eq=False, repr=False)
class StarCatalog(HoldsArrays):
    """Positions and near-infrared magnitudes (2MASS) of stars.

    Attributes
    ----------
    ra, dec
        ICRS, deg, one dimension; right ascensions are brought to 0 to 360 deg.
    j, h, ks
        Magnitudes; NaN where a star's is missing, None where the catalogue has none in a band.
    names
        A text for each star; by default made from its position, as 2MASS names stars.

    Examples
    --------
    >>> from nircam_flats import StarCatalog
    >>> stars = StarCatalog.packaged()
    >>> stars
    <StarCatalog: 68661 stars; missing: J of 2, H of 36>
    >>> from astropy.table import Table
    >>> StarCatalog.from_table(Table({"ra": [10.0], "dec": [20.0], "H": [2.5]}))
    <StarCatalog: 1 star; without J, Ks>
    """

    ra: u.Quantity = quantity(u.deg, ndim=1, eq=False, repr=False)
    dec: u.Quantity = quantity(u.deg, ndim=1, eq=False, repr=False)
    j: u.Quantity | None = quantity(u.mag, ndim=1, optional=True, eq=False, repr=False)
    h: u.Quantity | None = quantity(u.mag, ndim=1, optional=True, eq=False, repr=False)
    ks: u.Quantity | None = quantity(u.mag, ndim=1, optional=True, eq=False, repr=False)
    _names: tuple | None = field(default=None, converter=_to_names, alias="names")

    def __attrs_post_init__(self):
        if not (np.all(np.isfinite(self.ra)) and np.all(np.abs(self.dec) <= 90 * u.deg)):
            raise InvalidInputError(
                "StarCatalog: ra must be finite and dec within -90 to 90 deg; leave out stars without a position"
            )
        object.__setattr__(self, "ra", readonly(_around(self.ra)))
        lengths = {"dec": self.dec, "j": self.j, "h": self.h, "ks": self.ks, "names": self._names}
        for name, values in lengths.items():
            if values is not None and len(values) != len(self.ra):
                raise InvalidInputError(
                    f"StarCatalog.{name} must have as many entries as ra, {len(self)}; got {len(values)}"
                )
        for band in self.bands:
            known = self.magnitude(band).to_value(u.mag)
            known = known[~np.isnan(known)]
            if np.any((known > FAINTEST) | (known < BRIGHTEST)):
                worst = known[np.argmax(np.abs(known))]
                raise InvalidInputError(
                    f"StarCatalog: magnitudes must be within {BRIGHTEST:g} to {FAINTEST:g}; got {worst:g} in {band}: "
                    "if it stands for a missing one, mask it or make it NaN"
                )

    def __len__(self) -> int:
        return len(self.ra)

    def __repr__(self):
        text = f"{len(self)} star{'' if len(self) == 1 else 's'}"
        missing = {band: np.count_nonzero(self.missing(band)) for band in self.bands}
        told = ", ".join(f"{band} of {count}" for band, count in missing.items() if count)
        absent = ", ".join(band for band in BANDS if band not in self.bands)
        text += f"; without {absent}" if absent else ""
        return f"<StarCatalog: {text}{f'; missing: {told}' if told else ''}>"

    @classmethod
    def packaged(cls) -> "StarCatalog":
        """Return all stars of 2MASS brighter than Ks = 5: 68,661, at their epoch of about 2000."""
        return _packaged()

    @classmethod
    def from_table(cls, table: Any, **columns: Any) -> Self:
        """Return the stars of a table.

        Parameters
        ----------
        table
            A `~astropy.table.Table` with a column of `~astropy.coordinates.SkyCoord`, or with right ascension and
            declination (ICRS; deg if they have no unit), and with magnitudes in any of J, H and Ks, masked or NaN
            where missing.
        **columns
            Names of the columns, where they are not the usual ones: ``ra``, ``dec``, ``j``, ``h``, ``ks``, ``name``.

        Raises
        ------
        InvalidInputError
            If there are no positions, or no magnitudes at all; if a named column is not there.
        """
        unknown = sorted(set(columns) - set(COLUMNS))
        if unknown:
            raise InvalidInputError(
                f"StarCatalog.from_table: columns must be among {', '.join(COLUMNS)}; got {', '.join(unknown)}"
            )
        found = {key: _find(table, key, columns.get(key)) for key in COLUMNS}
        places = [table[name] for name in table.colnames if isinstance(table[name], SkyCoord)]
        if places:
            ra, dec = places[0].icrs.ra, places[0].icrs.dec
        elif found["ra"] and found["dec"]:
            ra, dec = (_plain(table[found[key]], u.deg) for key in ("ra", "dec"))
        else:
            needed = "a column of SkyCoord, or columns ra and dec (say ra=..., dec=... if they are called otherwise)"
            raise InvalidInputError(f"StarCatalog.from_table: needed {needed}; got {', '.join(table.colnames)}")
        magnitudes = {key: _plain(table[found[key]], u.mag) for key in ("j", "h", "ks") if found[key]}
        if not magnitudes:
            needed = "magnitudes in one of J, H, Ks (say j=..., h=..., ks=... if they are called otherwise)"
            raise InvalidInputError(f"StarCatalog.from_table: needed {needed}; got {', '.join(table.colnames)}")
        names = table[found["name"]] if found["name"] else None
        return cls(ra=u.Quantity(ra), dec=u.Quantity(dec), names=names, **magnitudes)

    @classmethod
    def read(cls, path: str | Path, **columns: Any) -> Self:
        """Return the stars of a table that astropy can read; ``columns`` as in `from_table`.

        Raises
        ------
        InvalidInputError
            If the file cannot be read as a table, or as in `from_table`.
        """
        try:
            table = Table.read(path)
        except (OSError, ValueError, TypeError, IORegistryError) as error:
            reason = str(error).partition("\n")[0]
            raise InvalidInputError(f"{path}: needed a table that astropy can read; got {reason}") from error
        return cls.from_table(table, **columns)

    @property
    def bands(self) -> tuple:
        """The bands in which there are magnitudes, of 'J', 'H', 'Ks'."""
        return tuple(band for band in BANDS if getattr(self, band.lower()) is not None)

    def magnitude(self, band: Any) -> u.Quantity:
        """Return the magnitudes in a band, NaN where missing.

        Raises
        ------
        InvalidInputError
            If the catalogue has none in this band, or there is no such band.
        """
        if band not in BANDS:
            raise InvalidInputError(f"StarCatalog: band must be 'J', 'H' or 'Ks'; got {band!r}")
        values = getattr(self, band.lower())
        if values is None:
            came = ", ".join(self.bands) or "none"
            raise InvalidInputError(
                f"StarCatalog: magnitudes in {band} are needed; this catalogue has {came}: add a column, or leave out "
                "the filters that need it"
            )
        return values

    def missing(self, band: Any) -> Any:
        """Return a boolean for each star, True where its magnitude in ``band`` is missing."""
        return np.isnan(self.magnitude(band))

    @property
    def coordinates(self) -> SkyCoord:
        """The positions as a `~astropy.coordinates.SkyCoord`."""
        return SkyCoord(self.ra, self.dec)

    @cached_property
    def vectors(self):
        """Unit vectors to the stars, shape (n, 3)."""
        return readonly(unit_vectors(self.ra.to_value(u.rad), self.dec.to_value(u.rad)))

    @property
    def names(self) -> Any:
        """The names as a tuple; those made from positions as 2MASS makes them: ``J05551028+0724255``."""
        if self._names is not None:
            return self._names
        return tuple(map(_designation, self.ra.to_value(u.deg), self.dec.to_value(u.deg)))

    def where(self, flags: ArrayLike) -> "StarCatalog":
        """Return the catalogue of the stars that ``flags`` (booleans or indices) select, in their order."""
        flags = np.asarray(flags)
        picked = np.flatnonzero(flags) if flags.dtype == bool else flags.astype(int)
        values = {name: getattr(self, name) for name in ("ra", "dec", "j", "h", "ks")}
        chosen = {name: None if value is None else value[picked] for name, value in values.items()}
        return StarCatalog(**chosen, names=None if self._names is None else [self._names[i] for i in picked])


def _around(ra):
    degrees = ra.to_value(u.deg) % 360
    return np.where(degrees == 360, 0, degrees) * u.deg


def _designation(ra, dec):
    seconds, arcseconds = int(ra / 15 * 360000 + 1e-6), int(abs(dec) * 36000 + 1e-6)  # cut, not rounded
    hours, seconds = divmod(seconds, 360000)
    degrees, arcseconds = divmod(arcseconds, 36000)
    sign = "-" if dec < 0 else "+"
    return (
        f"J{hours:02d}{seconds // 6000:02d}{seconds % 6000:04d}"
        f"{sign}{degrees:02d}{arcseconds // 600:02d}{arcseconds % 600:03d}"
    )


def _find(table, key, wanted):
    if wanted is not None:
        if wanted not in table.colnames:
            raise InvalidInputError(
                f"StarCatalog.from_table: {key}={wanted!r} must be a column; the table has {', '.join(table.colnames)}"
            )
        return wanted
    usual = {str(name).lower(): name for name in reversed(table.colnames)}
    return next((usual[name] for name in COLUMNS[key] if name in usual), None)


def _plain(column, unit):
    """Return a column as a Quantity, NaN where masked."""
    own = getattr(column, "unit", None) or unit
    mask = np.ma.getmaskarray(column) if isinstance(column, np.ma.MaskedArray) else getattr(column, "mask", False)
    try:
        values = np.array(getattr(column, "value", column), float)
        return u.Quantity(np.where(mask, np.nan, values), own).to(unit)
    except (TypeError, ValueError, u.UnitConversionError) as error:
        name = getattr(getattr(column, "info", None), "name", "a column")
        raise InvalidInputError(
            f"StarCatalog.from_table: {name} must hold numbers convertible to {unit}; {error}"
        ) from None


@cache
def _packaged():
    with as_file(files("nircam_flats.scattered") / "data" / "bright_stars.fits") as path, open_fits(path) as hdus:
        places = read_image(hdus, "PLACES", float, path) / 1e6
        packed = read_image(hdus, "MAGNITUDES", float, path)
    magnitudes = np.where(packed == MISSING, np.nan, packed / 1e3)
    bands = {band.lower(): values * u.mag for band, values in zip(BANDS, magnitudes, strict=True)}
    return StarCatalog(ra=places[0] * u.deg, dec=places[1] * u.deg, **bands)
