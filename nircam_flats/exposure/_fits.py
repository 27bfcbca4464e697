"""The ``_cal.fits`` format: one table maps the facts of an exposure to header keywords, both ways."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.io.fits.verify import VerifyError
from astropy.time import Time
from attrs import field, frozen

from nircam_flats._fields import readonly
from nircam_flats._files import (
    ascii_text,
    bare_file_name,
    open_fits,
    read_image,
    read_keyword,
    read_sections,
    write_fits,
)
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.exposure.pointing import POINTING_KEYWORDS, Pointing
from nircam_flats.instrument import Detector, Filter

__all__ = ["PLANES", "read_facts", "read_pixels", "write_exposure"]

# The planes beside SCI: their extensions and the kind of number these hold.
PLANES = {
    "err": ("ERR", np.float32),
    "dq": ("DQ", np.uint32),
    "area": ("AREA", np.float32),
    "var_poisson": ("VAR_POISSON", np.float32),
    "var_rnoise": ("VAR_RNOISE", np.float32),
    "var_flat": ("VAR_FLAT", np.float32),
}
_SURFACE_BRIGHTNESS = u.MJy / u.sr


# --- the table ------------------------------------------------------------------------------------------------


@frozen
class _Fact:
    """A fact of an exposure: the keywords it is read from, and all the cards that tell it.

    Keywords of the SCI header are written ``"SCI KEYWORD"``, those of the primary header plainly.
    """

    name: str
    keywords: tuple
    kind: type
    decode: Callable  # the values of the keywords -> the fact
    encode: Callable  # the fact -> {keyword: value}
    needed: bool = field(default=False)

    def read(self, headers, path):
        """Return the fact; None where its keywords are missing and not needed."""
        values = []
        for keyword in self.keywords:
            hdu, _, name = keyword.rpartition(" ")
            default = ... if self.needed else None
            where = f"{hdu or 'primary'} header"
            values.append(read_keyword(headers[hdu], name, self.kind, path, where=where, default=default))
        if None in values:
            return None
        try:
            return self.decode(*values)
        except ValueError as error:
            raise InvalidInputError(f"{path}: keyword {', '.join(self.keywords)}: {error}") from None


def _text(name, keyword, needed=False):
    return _Fact(name, (keyword,), str, str, lambda value: {keyword: value}, needed)


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


def _start_cards(time):
    day, _, clock = time.isot.partition("T")
    dates = {"DATE-BEG": time.isot, "DATE-OBS": day, "TIME-OBS": clock}
    return {"EXPSTART": time.mjd, "SCI MJD-BEG": time.mjd} | dates


def _end_cards(time):
    return {"EXPEND": time.mjd, "SCI MJD-END": time.mjd, "DATE-END": time.isot}


def _exposure_time_cards(value):
    seconds = value.to_value(u.s).item()
    return {"EFFEXPTM": seconds, "SCI XPOSURE": seconds}


@cache
def _to_unit(text):
    return u.Unit(text)


def _unit_cards(unit):
    return {"SCI BUNIT": "MJy/sr" if unit == _SURFACE_BRIGHTNESS else unit.to_string("fits")}


_FACTS = (
    _Fact("detector", ("DETECTOR",), str, Detector.get, _detector_cards, needed=True),
    _Fact(
        "filter",
        ("FILTER", "PUPIL"),
        str,
        Filter.from_keywords,
        lambda value: {"FILTER": value.keywords[0], "PUPIL": value.keywords[1]},
        needed=True,
    ),
    _Fact("start", ("EXPSTART",), float, _to_time, _start_cards),
    _Fact("end", ("EXPEND",), float, _to_time, _end_cards),
    _Fact("exposure_time", ("EFFEXPTM",), float, lambda value: value * u.s, _exposure_time_cards),
    _Fact("unit", ("SCI BUNIT",), str, _to_unit, _unit_cards, needed=True),
    _text("subarray", "SUBARRAY", needed=True),
    _Fact(
        "corner",
        ("SUBSTRT1", "SUBSTRT2"),
        int,
        lambda x, y: (x, y),
        lambda value: {"SUBSTRT1": value[0], "SUBSTRT2": value[1]},
        needed=True,
    ),
    _text("exposure_type", "EXP_TYPE", needed=True),
    _text("program", "PROGRAM"),
    _text("observation", "OBSERVTN"),
    _text("visit", "VISIT"),
    _text("visit_status", "VISITSTA"),
    _Fact("flat_name", ("R_FLAT",), str, bare_file_name, lambda value: {"R_FLAT": value}),
    _Fact("photmjsr", ("SCI PHOTMJSR",), float, float, lambda value: {"SCI PHOTMJSR": value}),
)


def _steps(primary, path="header"):
    return {
        keyword: read_keyword(primary, keyword, str, path, default="")
        for keyword in primary
        if keyword.startswith("S_")
    }


# --- reading --------------------------------------------------------------------------------------------------


def _demand_calibrated(exposure_type, unit, steps, where):
    """Refuse what is no flat-fielded image in surface brightness; the same on reading as on writing."""
    if exposure_type != "NRC_IMAGE":
        raise InvalidInputError(f"{where}: EXP_TYPE must be NRC_IMAGE (imaging); got {exposure_type}")
    missing = [step for step in ("S_FLAT", "S_PHOTOM") if step not in steps]
    if not unit.is_equivalent(_SURFACE_BRIGHTNESS) or missing:
        came = f"unit {unit}" + "".join(f", no {step}" for step in missing)
        raise InvalidInputError(
            f"{where}: needed a _cal image, flat-fielded and in MJy/sr, with S_FLAT and S_PHOTOM; got {came}; "
            "a _rate file becomes one by the pipeline's stage 2 (calwebb_image2)"
        )


def _demand_nircam_image(headers, path):
    primary = headers[""]
    for keyword, needed in (("TELESCOP", "JWST"), ("INSTRUME", "NIRCAM")):
        came = read_keyword(primary, keyword, str, path)
        if came.upper() != needed:
            raise InvalidInputError(f"{path}: {keyword} must be {needed}; got {came}")
    if "REFTYPE" in primary:
        came = read_keyword(primary, "REFTYPE", str, path)
        raise InvalidInputError(f"{path}: needed a _cal image; got a reference file (REFTYPE {came})")
    kind = read_keyword(primary, "EXP_TYPE", str, path)
    if kind != "NRC_IMAGE":
        raise InvalidInputError(f"{path}: EXP_TYPE must be NRC_IMAGE (imaging); got {kind}")


def _demand_planes(sections, steps, path):
    if "WHT" in sections or steps.get("S_RESAMP") == "COMPLETE":
        raise InvalidInputError(
            f"{path}: needed a _cal image, in detector pixels; got a resampled mosaic (_i2d); "
            "give the _cal files it was made of"
        )
    for name in ("SCI", "DQ"):
        if name not in sections:
            raise InvalidInputError(f"{path}: extension {name} is needed; the file has {', '.join(sections)}")
    shape = sections["SCI"].shape
    if shape is None or len(shape) != 2:
        packed = sections["SCI"].is_compressed
        came = (
            "a compressed one; unpack it with funpack" if packed else "no image" if shape is None else f"shape {shape}"
        )
        raise InvalidInputError(f"{path}: extension SCI must hold an image of 2 dimensions; got {came}")
    for name, _ in PLANES.values():
        if name in sections and sections[name].shape != shape:
            came = sections[name].shape or "no image"
            raise InvalidInputError(f"{path}: extension {name} must have the shape of SCI, {shape}; got {came}")
    if not sections["DQ"].is_integer:
        raise InvalidInputError(f"{path}: extension DQ must hold integers; got floating-point numbers")


def read_facts(path):
    """Return what the headers of a ``_cal`` file say, as constructor arguments, and the image's ``shape``.

    Raises
    ------
    InvalidInputError
        If this is no whole FITS file, or no calibrated NIRCam image; the text names the file.
    """
    path = Path(path)
    sections = read_sections(path)
    texts = {"": sections["PRIMARY"].text, "SCI": sections["SCI"].text if "SCI" in sections else ""}
    headers = {hdu: fits.Header.fromstring(text) for hdu, text in texts.items()}
    try:
        _demand_nircam_image(headers, path)
        steps = _steps(headers[""], path)
        _demand_planes(sections, steps, path)
        facts = {fact.name: fact.read(headers, path) for fact in _FACTS}
        _demand_calibrated(facts["exposure_type"], facts["unit"], steps, path)
        pointing = Pointing.from_header(headers["SCI"], path)
    except VerifyError as error:
        raise InvalidInputError(f"{path}: needed readable headers; got {' '.join(str(error).split())}") from error
    return facts | {
        "name": path.name.removesuffix(".fits").removesuffix("_cal"),
        "path": path,
        "steps": steps,
        "pointing": pointing,
        "shape": sections["SCI"].shape,
        "header": texts[""],
        "sci_header": texts["SCI"],
    }


def read_pixels(path, planes):
    """Return SCI, DQ and the ``planes`` of a ``_cal`` file by field name; None for one that the file has not."""
    unknown = [str(plane) for plane in planes if plane not in PLANES]
    if unknown:
        needed = ", ".join(PLANES)
        raise InvalidInputError(f"Exposure.read: planes must be among {needed}; got {', '.join(unknown)}")
    with open_fits(path) as hdus:
        pixels = {"data": read_image(hdus, "SCI", np.float32, path)}
        for plane, (name, dtype) in PLANES.items():
            if plane in planes or plane == "dq":
                pixels[plane] = read_image(hdus, name, dtype, path, required=plane == "dq")
    return {plane: image if image is None else readonly(image) for plane, image in pixels.items()}


# --- writing --------------------------------------------------------------------------------------------------


def _as_read(fact, headers):
    try:
        return fact.read(headers, "header")
    except InvalidInputError:
        return None


def _changed_cards(exposure, headers):
    """Return the cards of all facts that the exposure's own headers do not tell, or tell otherwise."""
    changed: dict = {}
    for fact in _FACTS:
        value, as_read = getattr(exposure, fact.name), _as_read(fact, headers)
        if value is not None and (as_read is None or as_read != value):
            changed |= fact.encode(value)
        elif value is None and as_read is not None:
            changed |= dict.fromkeys({*fact.keywords, *fact.encode(as_read)})
    steps = exposure.steps
    as_read = _steps(headers[""])
    changed |= {
        keyword: steps.get(keyword) for keyword in as_read | steps if as_read.get(keyword) != steps.get(keyword)
    }
    cards = dict.fromkeys(POINTING_KEYWORDS) | ({} if exposure.pointing is None else exposure.pointing.to_cards())
    return changed | {f"SCI {key}": value for key, value in cards.items() if headers["SCI"].get(key) != value}


def _headers(exposure, path):
    """Return the primary and the SCI header to write: the cards as read, where they still tell the facts."""
    headers = {"": exposure.header, "SCI": exposure.sci_header}
    cards = _changed_cards(exposure, headers)
    rows, columns = exposure.shape
    cards |= {
        "TELESCOP": "JWST",
        "INSTRUME": "NIRCAM",
        "DATAMODL": "ImageModel",
        "FILENAME": path.name,
        "DATE": Time.now().isot,
        "TIMESYS": "UTC",
        "SUBSIZE1": columns,
        "SUBSIZE2": rows,
    }
    for keyword, value in cards.items():
        hdu, _, name = keyword.rpartition(" ")
        if value is None:
            headers[hdu].remove(name, ignore_missing=True)
        else:
            headers[hdu][name] = ascii_text(value) if isinstance(value, str) else value
    return headers


def write_exposure(exposure, path, *, overwrite=False):
    """Write ``exposure`` as a ``_cal`` file; without ``dq``, its DQ flags nothing.

    Raises
    ------
    InvalidInputError
        If the exposure is not what `read_facts` accepts, or the file exists already.
    """
    path = Path(path)
    _demand_calibrated(exposure.exposure_type, exposure.unit, exposure.steps, f"Exposure.write to {path}")
    headers = _headers(exposure, path)
    images = {"SCI": exposure.data} | {name: getattr(exposure, plane) for plane, (name, _) in PLANES.items()}
    if images["DQ"] is None:
        images["DQ"] = np.zeros(exposure.shape, np.uint32)
    hdus = fits.HDUList([fits.PrimaryHDU(header=headers[""])])
    for name, pixels in images.items():
        if pixels is not None:
            hdus.append(fits.ImageHDU(pixels, headers["SCI"] if name == "SCI" else None, name=name))
            hdus[-1].header["EXTVER"] = (1, "extension value")
    if "ERR" in hdus:
        sci = headers["SCI"]
        hdus["ERR"].header["BUNIT"] = (sci["BUNIT"], sci.comments["BUNIT"])
    write_fits(hdus, path, overwrite=overwrite)
