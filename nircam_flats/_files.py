"""What every file format of the library is built on: atomic writing, and reading whose errors name the file."""

import gzip
import io
import os
import re
import zlib
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path
from uuid import uuid4

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.io.fits.verify import VerifyError
from astropy.table import QTable, Table
from attrs import frozen

from nircam_flats.exceptions import InvalidInputError, StorageError
from nircam_flats.kernels import swap_bytes

__all__ = [
    "Section",
    "ascii_text",
    "atomic_path",
    "bare_file_name",
    "image_hdu",
    "let_go",
    "open_fits",
    "open_product",
    "read_ahead",
    "read_image",
    "read_keyword",
    "read_sections",
    "read_table",
    "read_text",
    "reading",
    "table_hdu",
    "unit_text",
    "write_fits",
    "write_product",
]


_BLOCK = 2880
_PIECE = 364 * _BLOCK  # about 1 MB: for larger ones Linux makes larger pages, which takes it much longer
_AHEAD = 1 << 17  # Linux reads no more ahead for one request, if it is set up as usual
_CARD = 80
_ASTROPY_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)  # anything at all
_OF_DAMAGED_FILES = (OSError, EOFError, VerifyError, zlib.error, *_ASTROPY_ERRORS)
TEXTS = "TEXTS"
_GZIP = b"\x1f\x8b"
_LARGEST = 0xFFFFFFFF
"""Of 32 bits; what the words of an extension with a CHECKSUM add up to."""


@contextmanager
def atomic_path(path, *, overwrite=False):
    """Context manager that yields a temporary path; on a clean exit the file written there becomes ``path``.

    The temporary file lies in the folder of ``path``, so that the final step is one rename: other readers see
    the whole new file or the old state, never a part. After an error nothing is left behind.

    Raises
    ------
    InvalidInputError
        If ``path`` exists and ``overwrite`` is false, or its folder does not exist.
    StorageError
        If the system cannot write it (a full disk, no permission).
    """
    path = Path(path)
    if not overwrite:
        _refuse_existing(path)
    if not path.parent.is_dir():
        raise InvalidInputError(f"{path}: its folder must exist before writing; make {path.parent} first")
    temporary = path.with_name(f".{uuid4().hex}{path.suffix}")
    try:
        open(temporary, "xb").close()
        yield temporary
        if overwrite:
            temporary.replace(path)
        else:
            _move_beside(temporary, path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written; {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _refuse_existing(path):
    if path.exists():
        raise InvalidInputError(f"{path}: exists already and is not replaced; say overwrite=True to replace it")


def _move_beside(temporary, path):
    """Rename ``temporary`` to ``path`` unless somebody else has made that meanwhile."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        _refuse_existing(path)
        raise
    except OSError:  # a file system without hard links
        _refuse_existing(path)
        temporary.replace(path)


def read_ahead(path):
    """Ask the system to read a file that will soon be needed from the disk, and do not wait for it.

    Some systems cannot. What is wrong with the file is told by who reads it.
    """
    _advise(path, "POSIX_FADV_WILLNEED")


def let_go(path):
    """Tell the system that it need not hold what it has read of a file that nobody will need again soon.

    Where many large files are read once, it would touch new memory for each of them, which costs more than the reading.
    """
    _advise(path, "POSIX_FADV_DONTNEED")


def _advise(path, advice):
    if not hasattr(os, "posix_fadvise"):
        return
    with suppress(OSError), open(path, "rb", buffering=0) as handle:
        for start in range(0, handle.seek(0, os.SEEK_END), _AHEAD):
            os.posix_fadvise(handle.fileno(), start, _AHEAD, getattr(os, advice))


@contextmanager
def reading(path):
    """Context manager for what is read from ``path``: what goes wrong inside is an `InvalidInputError` that names it.

    That holds for our own errors, of values that make no object, and for those of astropy about a damaged file.
    """
    try:
        yield
    except InvalidInputError as error:
        if str(path) in str(error):
            raise
        raise InvalidInputError(f"{path}: {error}") from error
    except _OF_DAMAGED_FILES as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        reason = f"no {reason}" if isinstance(error, KeyError) else reason
        raise InvalidInputError(f"{path}: needed a whole, readable FITS file; got {reason}") from error


@contextmanager
def open_fits(path, *, sealed=False):
    """Context manager that yields the `~astropy.io.fits.HDUList` of ``path``, extensions loaded when asked for.

    Whatever goes wrong, while opening it or later inside the block, is an `InvalidInputError` that names the file.
    ``sealed`` is that of `read_sections`.
    """
    path = Path(path)
    read_sections(path, sealed=sealed)  # finds what is not FITS or not whole: astropy would only warn
    with reading(path), _open(path) as handle, fits.open(handle, memmap=False, lazy_load_hdus=True) as hdus:
        yield hdus


@frozen
class Section:
    """One header-data unit of a file.

    Attributes
    ----------
    text
        The cards of its header, without END.
    shape
        Of its image, ``[..., y, x]``; None if it holds none.
    is_integer
        Whether its numbers are integers.
    is_compressed
        Whether it is a table that holds a compressed image.
    """

    text: str
    shape: tuple | None
    is_integer: bool
    is_compressed: bool = False


def _open(path):
    """Return a handle of the file, or of what is in it if it is compressed with gzip."""
    handle = path.open("rb")
    is_packed = handle.read(len(_GZIP)) == _GZIP
    handle.seek(0)
    if not is_packed:
        return handle
    with handle:
        return io.BytesIO(gzip.decompress(handle.read()))


def _read_text(handle):
    """Return the cards of the header that begins here, without END; None if no header begins here."""
    text = ""
    while True:
        block = handle.read(_BLOCK)
        if not text and not block.startswith((b"SIMPLE  =", b"XTENSION=")):
            return None
        if len(block) < _BLOCK:
            raise ValueError("a header without its END, as in a truncated file")
        block = block.decode("ascii")
        for start in range(0, _BLOCK, _CARD):
            if block.startswith("END     ", start):
                return text + block[:start]
        text += block


def _parse(text):
    """Return the name of the section with these cards, the `Section`, and how many bytes its data take."""
    numbers = {"PCOUNT": 0, "GCOUNT": 1}
    strings = {"EXTNAME": "PRIMARY", "XTENSION": "IMAGE"}
    for start in range(0, len(text), _CARD):
        keyword, value = text[start : start + 8].rstrip(), text[start + 10 : start + _CARD]
        if keyword in strings:
            strings[keyword] = value.split("'")[1].rstrip()
        elif keyword in ("BITPIX", "PCOUNT", "GCOUNT") or keyword.startswith("NAXIS"):
            numbers[keyword] = int(value.partition("/")[0])
    axes = tuple(numbers[f"NAXIS{axis}"] for axis in range(numbers["NAXIS"], 0, -1))
    if min(numbers["PCOUNT"], numbers["GCOUNT"], *axes) < 0 or numbers["BITPIX"] not in (8, 16, 32, 64, -32, -64):
        raise ValueError(f"an extension of {axes} values with BITPIX {numbers['BITPIX']}")
    n_values = numbers["GCOUNT"] * (numbers["PCOUNT"] + (prod(axes) if axes else 0))
    section = Section(
        text=text,
        shape=axes if axes and strings["XTENSION"] == "IMAGE" else None,
        is_integer=numbers["BITPIX"] > 0,
        is_compressed="ZIMAGE  = " in text,
    )
    return strings["EXTNAME"], section, abs(numbers["BITPIX"]) // 8 * n_values


def _is_as_written(handle, start, end):
    """Whether the words of an extension add up as its CHECKSUM says (FITS standard 4.0, appendix J)."""
    handle.seek(start)
    total = 0
    while piece := handle.read(min(_PIECE, end - handle.tell())):
        total += int(np.frombuffer(piece, ">u4").sum(dtype=np.uint64))
    while total > _LARGEST:
        total = (total & _LARGEST) + (total >> 32)
    return total == _LARGEST


def read_sections(path, *, sealed=False):
    """Return the sections of a FITS file as a dictionary by name, reading its headers but no data.

    The primary one is called PRIMARY; of several with one name, it is the first. astropy does the same in 3.5 ms
    for a file of nine extensions; here it takes a tenth of that, and a thousand exposures are opened this way.

    With ``sealed`` the data are read too, and must be those of which the sections have a CHECKSUM, if they have one.

    Raises
    ------
    InvalidInputError
        If this is no FITS file, not a whole one, or one that was changed since.
    """
    sections: dict[str, Section] = {}
    with reading(path):
        if not path.is_file():
            came = "a folder" if path.is_dir() else "nothing there"
            raise InvalidInputError(f"{path}: needed a FITS file; got {came}")
        with _open(path) as handle:
            size = handle.seek(0, os.SEEK_END)
            start = handle.seek(0)
            while start < size:
                text = _read_text(handle)
                if text is None:
                    break
                name, section, n_bytes = _parse(text)
                end = handle.tell() + -(-n_bytes // _BLOCK) * _BLOCK
                if end > size:
                    raise InvalidInputError(
                        f"{path}: needed a whole, readable FITS file; got one truncated at byte {size}: its extension "
                        f"{name} ends at {end}; fetch it again"
                    )
                if sealed and "CHECKSUM= " in text and not _is_as_written(handle, start, end):
                    raise InvalidInputError(
                        f"{path}: needed the file as it was written; extension {name} is damaged or was changed (its "
                        "CHECKSUM says so): make it again, or write changes that are meant with checksum=True"
                    )
                sections.setdefault(name if sections else "PRIMARY", section)
                start = handle.seek(end)
    if "PRIMARY" not in sections:
        came = "an empty file" if size == 0 else "something else"
        raise InvalidInputError(f"{path}: needed a FITS file; got {came}")
    return sections


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
    kinds: dict = {str: str, bool: (bool, np.bool_), int: (int, np.integer), float: (int, float, np.number)}
    if not isinstance(value, kinds[kind]) or (kind is not bool and isinstance(value, bool)):
        raise InvalidInputError(f"{path}: keyword {name} in the {where} must be of type {kind.__name__}; got {value!r}")
    if kind is float and not np.isfinite(value):
        raise InvalidInputError(f"{path}: keyword {name} in the {where} must be finite; got {value!r}")
    return value.strip() if kind is str else kind(value)


def read_image(hdus, name, dtype, path, *, ndim=2, required=True):
    """Return the image of extension ``name`` as a native, read-only array; None if absent and not ``required``.

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
    data = getattr(hdus[name], "data", None)  # which a damaged extension has not
    if not isinstance(data, np.ndarray) or data.dtype.fields is not None or data.ndim != ndim:
        came = "no image" if data is None or getattr(data.dtype, "fields", None) else f"shape {data.shape}"
        raise InvalidInputError(f"{path}: extension {name} must hold an image of {ndim} dimensions; got {came}")
    if data.dtype == np.dtype(dtype).newbyteorder() and data.flags.writeable:  # in place: large images are read often
        swap_bytes(data)
        values = hdus[name].data = data.view(dtype)
        data.flags.writeable = False  # so that nobody else can write to it, and an owner need not copy it
    else:
        values = _converted(data, np.dtype(dtype))
    if values is None:
        needed = "0 or 1" if dtype is bool else f"integers, as {np.dtype(dtype).name} can hold"
        raise InvalidInputError(f"{path}: extension {name} must hold {needed}; got other values ({data.dtype.name})")
    values.flags.writeable = False
    return values


def _converted(data, dtype):
    """Return ``data`` as ``dtype``; None if that would change integers, or make integers of something else.

    Flags keep their bits: the last of 32 makes a negative number where they are written with a sign.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # beyond float32 is infinite, and not good
        values = data.astype(dtype, copy=False)
    if dtype.kind == "f":
        return values
    if data.dtype.kind not in "iu":
        return None
    same_bits = dtype.kind == "u" and data.itemsize == values.itemsize
    return values if same_bits or np.can_cast(data.dtype, dtype) or np.array_equal(values, data) else None


def write_fits(hdus, path, *, overwrite=False, digest=None, **options):
    """Write an `~astropy.io.fits.HDUList` to ``path``, which appears whole or not at all.

    Parameters
    ----------
    path, overwrite
        As in `atomic_path`.
    digest
        An object of `hashlib` that is told what is written, as it is written; None for none.
    options
        Of `~astropy.io.fits.HDUList.writeto`.
    """
    with atomic_path(path, overwrite=overwrite) as temporary, open(temporary, "wb", buffering=0) as handle:
        hdus.writeto(_Pieces(handle, digest), **options)


def image_hdu(array, name):
    """Return extension ``name`` that holds ``array``, in the byte order of the file.

    astropy would reverse the bytes while it writes, and hold up all other threads meanwhile.
    """
    return fits.ImageHDU(array.astype(array.dtype.newbyteorder(">")), name=name)


class _Pieces(io.RawIOBase):
    """A stream that writes large images to a file piece by piece."""

    def __init__(self, handle, digest):
        self.handle, self.digest = handle, digest
        self.name = handle.name  # by which astropy looks for the reason of a failure

    def writable(self):
        return True

    def write(self, data):
        data = memoryview(data).cast("B")
        if self.digest is not None:
            self.digest.update(data)
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            while piece:
                piece = piece[self.handle.write(piece) :]
        return len(data)


def ascii_text(text):
    """Return a text as a FITS header can hold it: ``\\xfc`` in place of the letter, ``\\n`` of the new line."""
    return re.sub("[^ -~]", lambda found: found[0].encode("unicode_escape").decode(), text)


def table_hdu(table, name):
    """Return extension ``name`` that holds ``table``; what is not ASCII in its texts is written as ``\\xfc``."""
    changed = {
        key: np.char.encode(table[key], "ascii", "backslashreplace")
        for key in table.colnames
        if table[key].dtype.kind == "U" and not all(str(text).isascii() for text in table[key])
    }
    units = {key: unit for key in table.colnames if (unit := table[key].unit) is not None and not _is_of_fits(unit)}
    changed |= {key: np.asarray(table[key]) for key in units}
    if changed:
        table = table.copy(copy_data=False)
        for key, values in changed.items():
            table[key] = values
    hdu = fits.table_to_hdu(table)
    hdu.name = name
    for key, unit in units.items():
        hdu.columns[key].unit = unit.to_string()
    return hdu


def unit_text(unit):
    """Return a unit as the FITS standard writes it, or as astropy does where that has no word for it (DN, scales)."""
    return unit.to_string("fits" if _is_of_fits(unit) else "generic")


def _is_of_fits(unit):
    try:
        unit.to_string("fits")
    except ValueError:
        return False
    return True


def write_product(path, kind, header, images, tables, history, *, texts=None, further=(), overwrite=False):
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
    texts
        Dict of texts of any length for `read_text`: a header would cut or misread some of them.
    further
        Extensions made already, by parts of the product that have their own format.
    """
    primary = fits.PrimaryHDU()
    primary.header["PRODUCT"] = (kind, "class of nircam_flats that reads it")
    for key, value in header.items():
        if value is not None:
            primary.header[key] = ascii_text(value) if isinstance(value, str) else value
    hdus = fits.HDUList([primary])
    hdus.extend(image_hdu(array, name) for name, array in images.items())
    if texts:
        tables = tables | {TEXTS: Table({"name": list(texts), "text": list(texts.values())})}
    hdus.extend(table_hdu(table, name) for name, table in (tables | {"HISTORY": history.to_table()}).items())
    hdus.extend(further)
    write_fits(hdus, path, overwrite=overwrite, checksum=True)


@contextmanager
def open_product(path, kind):
    """Context manager that yields the HDUList of a product after checking that it holds a ``kind``.

    Raises
    ------
    InvalidInputError
        If the file is damaged or holds something else.
    """
    with open_fits(path, sealed=True) as hdus:
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
    table = QTable.read(hdus[name], mask_invalid=False, unit_parse_strict="silent")
    for keyword in ("EXTNAME", "CHECKSUM", "DATASUM", ""):  # of the extension, not of the table
        table.meta.pop(keyword, None)
    for key in table.colnames:
        if isinstance(table[key].unit, u.UnrecognizedUnit):  # see `unit_text`
            table[key] = u.Quantity(np.asarray(table[key]), str(table[key].unit))
    return table


def read_text(hdus, name, path):
    """Return the text ``name`` that `write_product` wrote.

    Raises
    ------
    InvalidInputError
        If it is missing.
    """
    table = read_table(hdus, TEXTS, path)
    found = [str(row["text"]) for row in table if row["name"] == name]
    if not found:
        raise InvalidInputError(f"{path}: table {TEXTS} must hold {name}; it is missing")
    return found[0]


def bare_file_name(reference):
    """Return the file name in a reference such as ``crds://name``, a path or a bare name.

    None for what names no file: None itself, ``override://...``, N/A.
    """
    text = "" if reference is None else str(reference).strip()
    return None if text.startswith("override:") or text == "N/A" else text.rpartition("/")[2] or None
