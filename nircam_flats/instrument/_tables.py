"""The packaged facts, most of them about the instrument; each ECSV file names its source in its header."""

from functools import cache
from importlib.resources import as_file, files

from astropy.table import QTable

__all__ = ["packaged_table"]


@cache
def packaged_table(name, package="nircam_flats.instrument"):
    """Return a packaged table of a subpackage ('detectors', 'subarrays', 'filters'...); do not change it."""
    with as_file(files(package) / "data" / f"{name}.ecsv") as path:
        return QTable.read(path, format="ascii.ecsv")
