"""A table of exposures."""

import numpy as np
from astropy import units as u
from astropy.table import QTable
from astropy.time import Time
from astropy.utils.masked import Masked

__all__ = ["exposure_table"]


def _texts(values):
    return np.array(["" if value is None else str(value) for value in values], dtype=str)


def _times(times):
    known = np.array([time is not None for time in times], dtype=bool)
    mjd = np.array([time.mjd if time is not None else 0.0 for time in times])
    return Time(mjd if known.all() else Masked(mjd, ~known), format="mjd", scale="utc")


def _quantities(values, unit):
    return u.Quantity([np.nan if value is None else value.to_value(unit) for value in values], unit)


def exposure_table(members):
    """Return a `~astropy.table.QTable` with a row for each `Exposure` or `ExposureHeader`."""

    def texts(*names):
        return {name: _texts(getattr(member, name) for member in members) for name in names}

    columns = texts("name", "detector", "filter")
    for name in ("start", "end"):
        columns[name] = _times([getattr(member, name) for member in members])
    columns["exposure_time"] = _quantities([member.exposure_time for member in members], u.s)
    columns |= texts("program", "observation", "visit", "visit_status", "exposure_type", "subarray")
    columns["shape"] = np.array([member.shape for member in members], dtype=int).reshape(-1, 2)
    columns |= texts("flat_name", "path")
    for name in ("ra_ref", "dec_ref", "roll_ref", "pa_v3"):
        angles = [None if member.pointing is None else getattr(member.pointing, name) for member in members]
        columns[name] = _quantities(angles, u.deg)
    return QTable(columns)
