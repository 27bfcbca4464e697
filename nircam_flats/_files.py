"""What every file format of the library is built on: atomic writing, and reading whose errors name the file."""

import os
import warnings
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError, VerifyWarning
from astropy.table import QTable
from astropy.utils.exceptions import AstropyUserWarning

from nircam_flats.exceptions import InvalidInputError

__all__ = [
    "atomic_path",
    "bare_file_name",
    "open_fits",
    "open_product",
    "read_image",
    "read_keyword",
    "read_table",
    "write_product",
]


@contextmanager
def atomic_path(path, *, overwrite=False):
    """Context manager that yields a temporary path; on a clean exit the file written there becomes ``path``.

    The temporary file lies in the folder of ``path``, so that the final step is one rename: other readers see
    the whole new file or the old state, never a part. After an error nothing is left behind.

    Raises
    ------
    InvalidInputError
        If ``path`` exists and ``overwrite`` is false, or its folder does not exist.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise InvalidInputError(f"{path}: exists already and is not replaced; say overwrite=True to replace it")
    if not path.parent.is_dir():
        raise InvalidInputError(f"{path}: its folder must exist before writing; make {path.parent} first")
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix, delete=False) as handle:
        temporary = Path(handle.name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def open_fits(path):
    """Context manager that yields the `~astropy.io.fits.HDUList` of ``path``, extensions loaded when asked for.

    Whatever astropy says of a damaged file, while opening it or later inside the block, becomes an
    `InvalidInputError` that names the file.
    """
    path = Path(path)
    if not path.is_file():
        came = "a folder" if path.is_dir() else "nothing there"
        raise InvalidInputError(f"{path}: needed a FITS file; got {came}")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*truncated.*", category=AstropyUserWarning)
        warnings.simplefilter("ignore", VerifyWarning)
        try:
            with fits.open(path, memmap=False, lazy_load_hdus=True) as hdus:
                yield hdus
        except InvalidInputError:
            raise
        except (OSError, EOFError, VerifyError, TypeError, ValueError, AstropyUserWarning) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InvalidInputError(
                f"{path}: needed a whole, readable FITS file; got {reason} (is it truncated or not FITS?)"
            ) from error


def read_keyword(header, name, kind, path, *, where="primary header", default=...):
    """Return the value of keyword ``name`` as ``kind`` (str, int, float or bool).

    Raises
    ------
    InvalidInputError
        If it is missing (and no ``default`` is given) or cannot be such a value; the text names ``path``.
    """
    value = header.get(name)
    if value is None or isinstance(value, fits.card.Undefined):
        if default is not ...:
            return default
        raise InvalidInputError(f"{path}: keyword {name} is needed in the {where}; it is missing")
    if kind is str:
        return str(value).strip()
    accepted = {bool: (bool, np.bool_), int: (int, np.integer), float: (int, float, np.number)}[kind]
    if not isinstance(value, accepted) or (kind is not bool and isinstance(value, bool)):
        raise InvalidInputError(f"{path}: keyword {name} in the {where} must be of type {kind.__name__}; got {value!r}")
    if kind is float and not np.isfinite(value):
        raise InvalidInputError(f"{path}: keyword {name} in the {where} must be finite; got {value!r}")
    return kind(value)


def read_image(hdus, name, dtype, path, *, ndim=2, required=True):
    """Return the image of extension ``name`` as a native array of ``dtype``; None if absent and not ``required``.

    Raises
    ------
    InvalidInputError
        If the extension is needed and missing, holds no image, or has another number of dimensions.
    """
    if name not in hdus:
        if not required:
            return None
        found = ", ".join(hdu.name or "(unnamed)" for hdu in hdus)
        raise InvalidInputError(f"{path}: extension {name} is needed; the file has {found}")
    data = hdus[name].data
    if not isinstance(data, np.ndarray) or data.dtype.fields is not None or data.ndim != ndim:
        came = "no image" if data is None or getattr(data.dtype, "fields", None) else f"shape {data.shape}"
        raise InvalidInputError(f"{path}: extension {name} must hold an image of {ndim} dimensions; got {came}")
    return data.astype(dtype)


def write_product(path, kind, header, images, tables, history, *, overwrite=False):
    """Write a product of the library: images and tables as named extensions, its history as table HISTORY.

    Parameters
    ----------
    path, overwrite
        As in `atomic_path`.
    kind
        Name of the class, kept as keyword PRODUCT.
    header
        Dict of further primary keywords; None is left out.
    images, tables
        Dicts from extension name to array or table.
    history
        A `~nircam_flats.provenance.History`.
    """
    primary = fits.PrimaryHDU()
    primary.header["PRODUCT"] = (kind, "class of nircam_flats that reads this file")
    for key, value in header.items():
        if value is not None:
            primary.header[key] = value
    hdus = fits.HDUList([primary])
    hdus.extend(fits.ImageHDU(array, name=name) for name, array in images.items())
    for name, table in tables.items():
        hdu = fits.table_to_hdu(table)
        hdu.name = name
        hdus.append(hdu)
    hdus.append(history.to_hdu())
    with atomic_path(path, overwrite=overwrite) as temporary:
        hdus.writeto(temporary, overwrite=True, checksum=True)


@contextmanager
def open_product(path, kind):
    """Context manager that yields the HDUList of a product after checking that it holds a ``kind``.

    Raises
    ------
    InvalidInputError
        If the file is damaged or holds something else.
    """
    with open_fits(path) as hdus:
        found = read_keyword(hdus[0].header, "PRODUCT", str, path, default="no product of nircam_flats")
        if found != kind:
            raise InvalidInputError(f"{path}: needed a {kind} written by nircam_flats; got {found}")
        yield hdus


def read_table(hdus, name, path):
    """Return extension ``name`` as a `~astropy.table.QTable` of native arrays, empty texts kept as they are.

    Raises
    ------
    InvalidInputError
        If it is missing.
    """
    if name not in hdus:
        raise InvalidInputError(f"{path}: table extension {name} is needed; the file has none")
    return QTable.read(hdus[name], mask_invalid=False)


def bare_file_name(reference):
    """Return the file name in a reference such as ``crds://name``, a path or a bare name.

    None for what names no file: None itself, ``override://...``, N/A.
    """
    text = "" if reference is None else str(reference).strip()
    name = text.rpartition("/")[2]
    return None if text.startswith("override:") or name in ("", "N/A") else name
