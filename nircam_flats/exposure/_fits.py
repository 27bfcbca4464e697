"""The ``_cal.fits`` format: one table maps the facts of an exposure to header keywords, for reading and writing."""

from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.io.fits.verify import VerifyError
from astropy.time import Time
from attrs import field, frozen

from nircam_flats._files import atomic_path, open_fits, read_image, read_keyword
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.exposure.pointing import Pointing
from nircam_flats.instrument import Detector, Filter

__all__ = ["PLANES", "read_facts", "read_pixels", "write_exposure"]

# Planes beside SCI: the extension and the kind of number it holds.
PLANES = {
    "err": ("ERR", np.float32),
    "dq": ("DQ", np.uint32),
    "area": ("AREA", np.float32),
    "var_poisson": ("VAR_POISSON", np.float32),
    "var_rnoise": ("VAR_RNOISE", np.float32),
    "var_flat": ("VAR_FLAT", np.float32),
}

_BLOCK = 2880
_CARD = 80


# --- facts and keywords -------------------------------------------------------------------------------------


def bare_flat_name(value):
    """Return the bare file name in the value of R_FLAT; None for ``override://`` and N/A, which name no file.

    Examples
    --------
    >>> bare_flat_name("crds://jwst_nircam_flat_0123.fits"), bare_flat_name("override://")
    ('jwst_nircam_flat_0123.fits', None)
    """
    name = value.strip().replace("\\", "/").rpartition("/")[2]
    return None if value.startswith("override:") or name in ("", "N/A") else name


def _time_cards(begin):
    """Return the function that makes all cards of the start (or, without ``begin``, of the end) of an exposure."""

    def cards(time):
        if not begin:
            return {"EXPEND": time.mjd, "DATE-END": time.isot, "SCI MJD-END": time.mjd}
        date, _, clock = time.isot.partition("T")
        return {
            "EXPSTART": time.mjd,
            "DATE-BEG": time.isot,
            "DATE-OBS": date,
            "TIME-OBS": clock,
            "SCI MJD-BEG": time.mjd,
        }

    return cards


def _detector_cards(detector):
    return {
        "DETECTOR": detector.name,
        "MODULE": detector.module,
        "CHANNEL": {"SW": "SHORT", "LW": "LONG"}[detector.channel],
        "SCA_NUM": detector.sca_id,
        "FASTAXIS": detector.fast_axis,
        "SLOWAXIS": detector.slow_axis,
    }


def _to_time(mjd):
    return Time(mjd, format="mjd", scale="utc")


@frozen
class _Fact:
    """A fact of an exposure: the keywords it is read from, how, and all the cards that tell it."""

    name: str
    keywords: tuple
    kind: type
    decode: object  # the values of the keywords -> the fact
    encode: object  # the fact -> {keyword: value}; "SCI KEYWORD" belongs to the SCI header
    needed: bool = field(default=False)

    def read(self, primary, sci, path):
        """Return the fact; None where its keywords are missing and not needed."""
        values = []
        for keyword in self.keywords:
            hdu, _, name = keyword.rpartition(" ")
            default = ... if self.needed else None
            where = "SCI header" if hdu else "primary header"
            values.append(
                read_keyword(sci if hdu else primary, name, self.kind, path, where=where, default=default)
            )
        if None in values:
            return None
        try:
            return self.decode(*values)
        except ValueError as error:
            raise InvalidInputError(
                f"{path}: {' and '.join(self.keywords)} cannot be used: {error}"
            ) from None


def _text(name, keyword, needed=False):
    return _Fact(name, (keyword,), str, str, lambda value: {keyword: value}, needed)


_FACTS = (
    _Fact("detector", ("DETECTOR",), str, Detector.get, _detector_cards, True),
    _Fact(
        "filter",
        ("FILTER", "PUPIL"),
        str,
        Filter.from_keywords,
        lambda value: dict(zip(("FILTER", "PUPIL"), value.keywords, strict=True)),
        True,
    ),
    _Fact("start", ("EXPSTART",), float, _to_time, _time_cards(True)),
    _Fact("end", ("EXPEND",), float, _to_time, _time_cards(False)),
    _Fact(
        "exposure_time",
        ("EFFEXPTM",),
        float,
        lambda value: value * u.s,
        lambda value: {"EFFEXPTM": value.to_value(u.s).item(), "SCI XPOSURE": value.to_value(u.s).item()},
    ),
    _Fact("unit", ("SCI BUNIT",), str, u.Unit, lambda value: {"SCI BUNIT": _unit_text(value)}, True),
    _text("subarray", "SUBARRAY", True),
    _Fact(
        "corner",
        ("SUBSTRT1", "SUBSTRT2"),
        int,
        lambda x, y: (x, y),
        lambda value: {"SUBSTRT1": value[0], "SUBSTRT2": value[1]},
        True,
    ),
    _text("exposure_type", "EXP_TYPE", True),
    _text("program", "PROGRAM"),
    _text("observation", "OBSERVTN"),
    _text("visit", "VISIT"),
    _text("visit_status", "VISITSTA"),
    _Fact("flat_name", ("R_FLAT",), str, bare_flat_name, lambda value: {"R_FLAT": value}),
    _Fact("photmjsr", ("SCI PHOTMJSR",), float, float, lambda value: {"SCI PHOTMJSR": value}),
)


def _unit_text(unit):
    return "MJy/sr" if unit == u.MJy / u.sr else unit.to_string("fits")


def _read_steps(primary):
    return {keyword: str(primary[keyword]).strip() for keyword in primary if keyword.startswith("S_")}


# --- headers, without the pixels ----------------------------------------------------------------------------


@frozen
class _Section:
    """One header-data unit of a file: its name, the text of its header, and the shape of its image (or None)."""

    name: str
    text: str
    shape: tuple | None
    integer: bool


def _read_text(handle):
    """Return the cards of the header that begins here, END excluded; None where there is none."""
    blocks = []
    while True:
        block = handle.read(_BLOCK)
        if len(block) < _BLOCK or (not blocks and block[:8] not in (b"SIMPLE  ", b"XTENSION")):
            return None
        blocks.append(block)
        for start in range(0, _BLOCK, _CARD):
            if block[start : start + 8] == b"END     ":
                return b"".join(blocks)[: (len(blocks) - 1) * _BLOCK + start].decode("ascii")


def _section(text):
    """Return the `_Section` of a header, and how many bytes of data follow it."""
    cards = {}
    for start in range(0, len(text), _CARD):
        keyword = text[start : start + 8].rstrip()
        if keyword in ("XTENSION", "BITPIX", "GCOUNT", "PCOUNT", "EXTNAME") or keyword.startswith("NAXIS"):
            cards[keyword] = fits.Card.fromstring(text[start : start + _CARD]).value
    axes = [int(cards[f"NAXIS{axis}"]) for axis in range(int(cards["NAXIS"]), 0, -1)]
    n_values = int(np.prod(axes, dtype=np.int64)) if axes else 0
    n_bytes = abs(cards["BITPIX"]) // 8 * cards.get("GCOUNT", 1) * (cards.get("PCOUNT", 0) + n_values)
    is_image = bool(axes) and cards.get("XTENSION", "IMAGE").strip() == "IMAGE"
    section = _Section(
        name=str(cards.get("EXTNAME", "PRIMARY")).strip(),
        text=text,
        shape=tuple(axes) if is_image else None,
        integer=cards["BITPIX"] > 0,
    )
    return section, -(-n_bytes // _BLOCK) * _BLOCK


def _read_sections(path):
    """Return the header-data units of a FITS file as a dictionary by name, reading the headers only.

    astropy would do it too, in 3.5 ms a file against 0.3 ms here: much for a thousand files.
    """
    if not path.is_file():
        came = "a folder" if path.is_dir() else "nothing there"
        raise InvalidInputError(f"{path}: needed a _cal.fits file; got {came}")
    size = path.stat().st_size
    sections = {}
    try:
        with path.open("rb") as handle:
            while handle.tell() < size:
                text = _read_text(handle)
                if text is None and sections:
                    break
                if text is None or (not sections and not text.startswith("SIMPLE")):
                    raise InvalidInputError(
                        f"{path}: needed a FITS file; got something else, or one cut in its first header"
                    )
                section, n_bytes = _section(text)
                sections.setdefault(section.name, section)
                if handle.tell() + n_bytes > size:
                    raise InvalidInputError(
                        f"{path}: needed a whole FITS file; it is truncated: extension {section.name} ends at byte "
                        f"{handle.tell() + n_bytes}, the file at {size}; fetch it again"
                    )
                handle.seek(n_bytes, 1)
    except (OSError, VerifyError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            f"{path}: needed a readable FITS file; got {type(error).__name__}: {error}"
        ) from error
    if not sections:
        raise InvalidInputError(f"{path}: needed a FITS file; got an empty file")
    return sections


def _demand_cal(primary, sci, sections, path):
    """Refuse what is no calibrated image of NIRCam's imaging mode, with the most telling reason first."""
    for keyword, needed in (("TELESCOP", "JWST"), ("INSTRUME", "NIRCAM")):
        came = read_keyword(primary, keyword, str, path)
        if came.upper() != needed:
            raise InvalidInputError(f"{path}: {keyword} must be {needed}; got {came}")
    kind = read_keyword(primary, "EXP_TYPE", str, path)
    if kind != "NRC_IMAGE":
        raise InvalidInputError(f"{path}: EXP_TYPE must be NRC_IMAGE (imaging); got {kind}")
    if primary.get("S_RESAMP") == "COMPLETE" or "WHT" in sections:
        raise InvalidInputError(
            f"{path}: needed a _cal file, in detector pixels; got a resampled mosaic (_i2d): use the exposures it was made of"
        )
    for name in ("SCI", "DQ"):
        if name not in sections:
            raise InvalidInputError(f"{path}: extension {name} is needed; the file has {', '.join(sections)}")
    shape = sections["SCI"].shape
    if shape is None or len(shape) != 2:
        came = (
            "no image"
            if shape is None
            else f"{len(shape)} dimensions (a _calints, _rateints or _uncal file?)"
        )
        raise InvalidInputError(
            f"{path}: extension SCI must hold an image of 2 dimensions, as in a _cal file; got {came}"
        )
    for name, _ in PLANES.values():
        if name in sections and sections[name].shape != shape:
            raise InvalidInputError(
                f"{path}: extension {name} must have the shape of SCI, {shape}; got {sections[name].shape}"
            )
    if not sections["DQ"].integer:
        raise InvalidInputError(f"{path}: extension DQ must hold integers; got floating-point numbers")
    unit = read_keyword(sci, "BUNIT", str, path, where="SCI header")
    if unit.upper().startswith("DN") or "S_FLAT" not in primary or "S_PHOTOM" not in primary:
        came = f"BUNIT {unit}, S_FLAT {primary.get('S_FLAT', 'missing')}, S_PHOTOM {primary.get('S_PHOTOM', 'missing')}"
        raise InvalidInputError(
            f"{path}: needed a _cal file (flat-fielded, in MJy/sr); got {came}; if this is a _rate file, "
            "run the pipeline's calwebb_image2 on it"
        )


def read_facts(path):
    """Return the facts in the headers of a ``_cal`` file, its image's ``shape`` included, as constructor arguments.

    Raises
    ------
    InvalidInputError
        If this is no whole FITS file, or no calibrated NIRCam image; the text names the file.
    """
    path = Path(path)
    sections = _read_sections(path)
    primary = fits.Header.fromstring(sections["PRIMARY"].text)
    sci_text = sections["SCI"].text if "SCI" in sections else ""
    sci = fits.Header.fromstring(sci_text)
    try:
        _demand_cal(primary, sci, sections, path)
        facts = {fact.name: fact.read(primary, sci, path) for fact in _FACTS}
        steps = _read_steps(primary)
        pointing = Pointing.from_header(sci, path)
    except VerifyError as error:
        raise InvalidInputError(
            f"{path}: needed readable headers; got {' '.join(str(error).split())}"
        ) from error
    return facts | {
        "name": path.name.removesuffix(".fits").removesuffix("_cal"),
        "path": path,
        "steps": steps,
        "pointing": pointing,
        "shape": sections["SCI"].shape,
        "header": sections["PRIMARY"].text,
        "sci_header": sci_text,
    }


# --- the pixels ---------------------------------------------------------------------------------------------


def read_pixels(path, planes):
    """Return SCI, DQ and the ``planes`` of a ``_cal`` file by field name; None for a plane the file has not."""
    unknown = [plane for plane in planes if plane not in PLANES]
    if unknown:
        raise InvalidInputError(
            f"Exposure.read: planes must be among {', '.join(PLANES)}; got {', '.join(map(str, unknown))}"
        )
    with open_fits(path) as hdus:
        pixels = {"data": read_image(hdus, "SCI", np.float32, path)}
        for plane, (name, dtype) in PLANES.items():
            if plane in planes or plane == "dq":
                pixels[plane] = read_image(hdus, name, dtype, path, required=plane == "dq")
    return pixels


# --- writing ------------------------------------------------------------------------------------------------


def _update(header, cards):
    for keyword, value in cards.items():
        header[keyword] = value


def _headers(exposure):
    """Return the primary and the SCI header of an exposure: the cards as read, where they still tell its facts."""
    primary, sci = exposure.header, exposure.sci_header
    for fact in _FACTS:
        value = getattr(exposure, fact.name)
        try:
            as_read = fact.read(primary, sci, "header")
        except InvalidInputError:
            as_read = None
        if value is None:
            stale = fact.keywords if as_read is not None else ()
            cards = dict.fromkeys(stale)
        elif as_read is not None and as_read == value:
            continue
        else:
            cards = fact.encode(value)
        for keyword, content in cards.items():
            hdu, _, name = keyword.rpartition(" ")
            header = sci if hdu else primary
            if content is None:
                header.remove(name, ignore_missing=True)
            else:
                header[name] = content
    return primary, sci


def write_exposure(exposure, path, *, overwrite=False):
    """Write ``exposure`` as a ``_cal`` file."""
    path = Path(path)
    primary, sci = _headers(exposure)
    for keyword in [
        keyword for keyword in primary if keyword.startswith("S_") and keyword not in exposure.steps
    ]:
        primary.remove(keyword)
    _update(primary, {k: v for k, v in exposure.steps.items() if primary.get(k) != v})
    for keyword, value in (("TELESCOP", "JWST"), ("INSTRUME", "NIRCAM"), ("TIMESYS", "UTC")):
        primary.setdefault(keyword, value)
    rows, columns = exposure.shape
    _update(primary, {"FILENAME": path.name, "DATE": Time.now().isot, "DATAMODL": "ImageModel"})
    _update(primary, {"SUBSIZE1": columns, "SUBSIZE2": rows})
    if exposure.pointing is not None:
        cards = exposure.pointing.to_cards()
        _update(sci, {k: v for k, v in cards.items() if v is not None and sci.get(k) != v})
    hdus = fits.HDUList([fits.PrimaryHDU(header=primary), fits.ImageHDU(exposure.data, sci, name="SCI")])
    for plane, (name, dtype) in PLANES.items():
        image = getattr(exposure, plane)
        if image is None and plane == "dq":
            image = np.zeros(exposure.shape, dtype)  # nothing is flagged
        if image is not None:
            hdus.append(fits.ImageHDU(image, name=name))
        if image is not None and plane == "err":
            hdus[-1].header["BUNIT"] = (sci["BUNIT"], sci.comments["BUNIT"])
    for hdu in hdus[1:]:
        hdu.header.setdefault("EXTVER", 1)
    with atomic_path(path, overwrite=overwrite) as temporary:
        hdus.writeto(temporary, overwrite=True)
