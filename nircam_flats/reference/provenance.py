"""What a flight flat was made of, kept in its file, so that the file alone tells how to make it again."""

from pathlib import Path
from typing import Any

from astropy.io import fits
from astropy.table import QTable
from astropy.time import Time
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays
from nircam_flats._files import read_keyword, read_table, table_hdu
from nircam_flats.provenance import History
from nircam_flats.reference.photometry import PhotometricShift

__all__ = ["FlatProvenance"]

DATES = {"FIRSTDAT": ("first_date", "start of the first exposure used"), "LASTDATE": ("last_date", "end of the last")}
SHIFTS = {"MEAN": "mean", "MEDIAN": "median", "SCATTER": "scatter"}


@frozen(kw_only=True, eq=False)
class FlatProvenance(HoldsArrays):
    """What a flight flat was made of.

    Attributes
    ----------
    exposures
        Table of the exposures used and left out (``name``, ``filter``, ``used``, ``reason``, ``start``, ``level``...).
    history
        The steps with their settings, and the versions of the software; the last ones name the ground flat and the fit.
    first_date, last_date
        Start of the first and end of the last exposure used; None if unknown.
    photometry
        The `PhotometricShift` from the ground flat to this one.
    """

    exposures: QTable = field(repr=lambda table: f"<{len(table)} exposures>")
    history: History = field(repr=False)
    first_date: Time | None = field(default=None, repr=str)
    last_date: Time | None = field(default=None, repr=str)
    photometry: PhotometricShift | None = field(default=None, repr=str)

    @property
    def used(self) -> tuple:
        """Names of the exposures that were used, a tuple."""
        return tuple(map(str, self.exposures["name"][self.exposures["used"]]))

    @property
    def left_out(self) -> dict:
        """Reasons by the names of the exposures that were not, a dictionary."""
        return {str(row["name"]): str(row["reason"]) for row in self.exposures[~self.exposures["used"]]}

    def settings(self, step: Any) -> dict:
        """Return the settings of the last step called ``step``, a dictionary of texts; empty if there is none."""
        found = [dict(item.settings) for item in self.history.steps if item.name == step]
        return found[-1] if found else {}

    def to_lines(self) -> list[str]:
        """Return what HISTORY cards tell of it."""
        lines = [f"Exposures: {len(self.used)} used, {len(self.left_out)} left out (table EXPOSURES)"]
        if self.photometry is not None:
            lines.append(f"Fluxes change by new / old - 1 (table PHOTOMETRY): {self.photometry}")
        return lines

    def to_hdus(self) -> list:
        """Return the FITS tables EXPOSURES, PHOTOMETRY and HISTORY."""
        exposures = table_hdu(self.exposures, "EXPOSURES")
        for keyword, (name, comment) in DATES.items():
            date = getattr(self, name)
            if date is not None:
                exposures.header[keyword] = (Time(date, precision=9).isot, comment)
        hdus = [exposures]
        if self.photometry is not None:
            photometry = table_hdu(self.photometry.places, "PHOTOMETRY")
            for keyword, name in SHIFTS.items():
                photometry.header[keyword] = (getattr(self.photometry, name), "new / old flux - 1")
            hdus.append(photometry)
        return [*hdus, table_hdu(self.history.to_table(), "HISTORY")]

    @classmethod
    def from_hdus(cls, hdus: fits.HDUList, path: str | Path) -> Any:
        """Return what `to_hdus` wrote; None if the file has no such tables.

        Raises
        ------
        InvalidInputError
            If a table is not as it was written.
        """
        if "EXPOSURES" not in hdus or "HISTORY" not in hdus:
            return None
        exposures = _bare_table(hdus, "EXPOSURES", path)
        dates = {}
        for keyword, (name, _) in DATES.items():
            text = read_keyword(hdus["EXPOSURES"].header, keyword, str, path, default=None)
            dates[name] = None if text is None else Time(text)
        photometry = None
        if "PHOTOMETRY" in hdus:
            header = hdus["PHOTOMETRY"].header
            shifts = {name: read_keyword(header, keyword, float, path) for keyword, name in SHIFTS.items()}
            photometry = PhotometricShift(**shifts, places=_bare_table(hdus, "PHOTOMETRY", path))
        history = History.from_table(read_table(hdus, "HISTORY", path))
        return cls(exposures=exposures, history=history, photometry=photometry, **dates)


def _bare_table(hdus, name, path):
    table = read_table(hdus, name, path)
    for keyword in ("EXTVER", *DATES, *SHIFTS):  # of the product, not of the table
        table.meta.pop(keyword, None)
    return table
