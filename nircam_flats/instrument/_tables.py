"""The packaged facts about the instrument; each ECSV file names its source in its header."""

from functools import cache
from importlib.resources import as_file, files

from astropy.table import QTable

__all__ = ["packaged_table"]


@cache
def packaged_table(name):
    """Return the packaged table ``name`` ('detectors', 'subarrays', 'filters' or 'imaging_modes'); do not change it."""
    with as_file(files("nircam_flats.instrument") / "data" / f"{name}.ecsv") as path:
        return QTable.read(path, format="ascii.ecsv")
