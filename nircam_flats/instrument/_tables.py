"""The packaged facts, most of them about the instrument; each ECSV file names its source in its header."""

from functools import cache
from importlib.resources import as_file, files

from astropy.table import QTable

__all__ = ["packaged_table"]


@cache
def packaged_table(name, package="nircam_flats.instrument"):
    """Return the table ``data/{name}.ecsv`` of ``package``; do not change it.

    Those of the instrument are 'detectors', 'subarrays', 'filters' and 'imaging_modes'.
    """
    with as_file(files(package) / "data" / f"{name}.ecsv") as path:
        return QTable.read(path, format="ascii.ecsv")
