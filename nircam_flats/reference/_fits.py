"""The FLAT reference file: SCI, ERR, DQ, DQ_DEF, the keywords by which CRDS chooses it, and tables of its provenance.

Source: the pipeline's documentation of FLAT reference files and ``stdatamodels``' FlatModel.
"""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.time import Time

from nircam_flats._fields import readonly
from nircam_flats._files import (
    ascii_text,
    image_hdu,
    open_fits,
    read_image,
    read_keyword,
    read_sections,
    reading,
    write_fits,
)
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.fit import SurfaceCovariance
from nircam_flats.instrument import DQ, Detector, Filter
from nircam_flats.instrument.dq_table import decoded_flags, dq_definition, dq_image
from nircam_flats.reference.provenance import FlatProvenance
from nircam_flats.reference.rules import violations

__all__ = ["read_facts", "read_flat", "write_flat"]

#: Texts that are fields of the flat, by name.
TEXTS = {"author": "AUTHOR", "description": "DESCRIP", "pedigree": "PEDIGREE", "useafter": "USEAFTER"}
#: Keywords with one right value in a file, whatever the flat.
FIXED = {"TELESCOP": "JWST", "INSTRUME": "NIRCAM", "REFTYPE": "FLAT", "DATAMODL": "FlatModel"}
#: Bits that every written DQ_DEF explains, beside those that are set.
ALWAYS_DEFINED = DQ.DO_NOT_USE | DQ.NO_FLAT_FIELD | DQ.UNRELIABLE_FLAT
NOT_CARRIED = ("DATE", "FILENAME", "CHECKSUM", "DATASUM", "HISTORY", "COMMENT", "")


# ---------------------------------------------------------------------------------------------- reading


def read_flat(path):
    """Return the fields of the flat in ``path`` by name, and what was left out or assumed, a list of texts.

    What is wrong with the file, those texts included, is the field ``faults``.
    """
    path = Path(path)
    faults: list[str] = []
    told: list[str] = []
    with open_fits(path) as hdus:
        fields = _facts(hdus[0].header.copy(), path)
        fields["data"] = _read_floats(hdus, "SCI", path, faults)
        fields["err"] = _read_floats(hdus, "ERR", path, faults, required=False)
        shape = fields["data"].shape
        if fields["err"] is not None and fields["err"].shape != shape:
            raise InvalidInputError(
                f"{path}: extension ERR must have the shape of SCI, {shape}; got {fields['err'].shape}"
            )
        fields["dq"] = readonly(_read_flags(hdus, path, shape, faults, told))
        fields["provenance"] = _read_provenance(hdus, path, faults)
        fields["covariance"] = _read_covariance(hdus, path, shape, faults)
        faults += _keyword_faults(fields)
    return fields | {"faults": (*told, *faults)}, told


def read_facts(path):
    """Return the fields that the primary header of a flat tells, by name; no pixels are read."""
    path = Path(path)
    with reading(path):
        return _facts(fits.Header.fromstring(read_sections(path)["PRIMARY"].text), path)


def _facts(header, path):
    _refuse_other_file(header, path)
    fields = _read_mode(header, path)
    for name, keyword in TEXTS.items():
        fields[name] = read_keyword(header, keyword, str, path, default=None)
    fields["history"] = tuple(str(line) for line in header.get("HISTORY", ()))
    return fields | {"header": header, "name": path.name}


def _read_provenance(hdus, path, faults):
    try:
        return FlatProvenance.from_hdus(hdus, path)
    except (InvalidInputError, KeyError, ValueError, TypeError) as error:
        faults.append(f"tables EXPOSURES, HISTORY and PHOTOMETRY must be as they were written; {error}")
        return None


def _read_covariance(hdus, path, shape, faults):
    if "MODES" not in hdus:
        return None
    try:
        return SurfaceCovariance.from_hdus(hdus, path, shape)
    except InvalidInputError as error:
        faults.append(f"extensions MODES, MISFIT and OUTLIERS must be as they were written; {error}")
        return None


def _refuse_other_file(header, path):
    instrument = read_keyword(header, "INSTRUME", str, path, default="NIRCAM")
    if instrument.upper() != "NIRCAM":
        raise InvalidInputError(f"{path}: INSTRUME must be NIRCAM; got {instrument}")
    kind = read_keyword(header, "REFTYPE", str, path, default=None)
    model = read_keyword(header, "DATAMODL", str, path, default=header.get("PRODUCT", "FlatModel"))
    if (kind or "FLAT").upper() != "FLAT" or (kind is None and model != "FlatModel"):
        raise InvalidInputError(f"{path}: needed a FLAT reference file (REFTYPE); got REFTYPE {kind}, DATAMODL {model}")


def _read_mode(header, path):
    names = {name: read_keyword(header, name, str, path) for name in ("DETECTOR", "FILTER", "PUPIL")}
    detector = Detector.get(names["DETECTOR"])
    filter = Filter.from_keywords(names["FILTER"], names["PUPIL"])
    if filter.channel != detector.channel:
        raise InvalidInputError(
            f"{path}: FILTER must be one of the {detector.channel} channel of {detector}; got {filter}"
        )
    corner = tuple(read_keyword(header, f"SUBSTRT{axis}", int, path, default=1) for axis in (1, 2))
    subarray = read_keyword(header, "SUBARRAY", str, path, default="FULL")
    return {"detector": detector, "filter": filter, "subarray": subarray, "corner": corner}


def _read_floats(hdus, name, path, faults, *, required=True):
    with np.errstate(over="ignore"):
        image = read_image(hdus, name, np.float32, path, required=required)
    if image is None:
        faults.append(f"extension {name} must be there; it is missing")
        return None
    if hdus[name].data.dtype.newbyteorder("=") != np.float32:
        faults.append(f"extension {name} must be float32; got {hdus[name].data.dtype.name}")
    return readonly(image)


def _read_flags(hdus, path, shape, faults, told):
    if "DQ" not in hdus:
        told.append("extension DQ must be there; it is missing, and no pixel is taken as flagged")
        return np.zeros(shape, np.uint32)
    if getattr(hdus["DQ"].data, "dtype", np.dtype(int)).kind not in "iu":
        raise InvalidInputError(f"{path}: extension DQ must hold integers; got {hdus['DQ'].data.dtype.name}")
    stored = read_image(hdus, "DQ", np.uint32, path)
    if stored.shape != shape:
        raise InvalidInputError(f"{path}: extension DQ must have the shape of SCI, {shape}; got {stored.shape}")
    dq, left_out, unused = decoded_flags(stored, hdus["DQ_DEF"].data if "DQ_DEF" in hdus else None)
    told += left_out
    faults += unused
    return dq


def _keyword_faults(fields):
    header = fields["header"]
    for keyword, value in FIXED.items():
        if str(header.get(keyword, "")).strip().upper() != value.upper():
            yield f"{keyword} must be {value!r}; got {header.get(keyword)!r}"
    ny, nx = fields["data"].shape
    x, y = fields["corner"]
    detector = fields["detector"]
    wanted = {"SUBSTRT1": x, "SUBSTRT2": y, "SUBSIZE1": nx, "SUBSIZE2": ny}
    wanted |= {"FASTAXIS": detector.fast_axis, "SLOWAXIS": detector.slow_axis}
    for keyword, value in wanted.items():
        if header.get(keyword) != value:
            yield f"{keyword} must be {value}; got {header.get(keyword)!r}"


# ---------------------------------------------------------------------------------------------- writing


def write_flat(flat, path, *, overwrite=False, digest=None):
    """Write ``flat`` to ``path``; ``digest``, an object of `hashlib`, is told what is written.

    Raises
    ------
    InvalidInputError
        If the flat breaks a rule (all are listed), or ``path`` exists and ``overwrite`` is false.
    """
    broken = violations(flat)
    if broken:
        raise InvalidInputError(f"{path}: this flat cannot be written: {'; '.join(broken)}")
    path = Path(path)
    hdus = fits.HDUList(
        [
            fits.PrimaryHDU(header=_primary_header(flat, path.name)),
            image_hdu(flat.data, "SCI"),
            image_hdu(flat.err, "ERR"),
            dq_image(flat.dq),
            dq_definition(flat.dq, always=ALWAYS_DEFINED),
            *(() if flat.provenance is None else flat.provenance.to_hdus()),
            *(() if flat.covariance is None else flat.covariance.to_hdus()),
        ]
    )
    for hdu in hdus[1:]:
        hdu.ver = 1
    hdus[0].verify("silentfix")  # has cards of other files
    write_fits(hdus, path, overwrite=overwrite, digest=digest, output_verify="ignore")


def _primary_header(flat, filename):
    ny, nx = flat.data.shape
    filter_keyword, pupil_keyword = flat.filter.keywords
    header = fits.Header()
    header["DATE"] = (Time.now().utc.isot, "UTC date this file was created")
    header["FILENAME"] = (ascii_text(filename), "Name of the file")
    header["DATAMODL"] = (FIXED["DATAMODL"], "Type of data model")
    header["TELESCOP"] = (FIXED["TELESCOP"], "Telescope used to acquire the data")
    header["REFTYPE"] = (FIXED["REFTYPE"], "Reference file type")
    for name, keyword in TEXTS.items():
        header[keyword] = getattr(flat, name)
    header["INSTRUME"] = (FIXED["INSTRUME"], "Instrument used to acquire the data")
    header["DETECTOR"] = (flat.detector.name, "Detector")
    header["MODULE"] = (flat.detector.module, "NIRCam module")
    header["CHANNEL"] = ({"SW": "SHORT", "LW": "LONG"}[flat.detector.channel], "Instrument channel")
    header["FILTER"] = (filter_keyword, "Filter wheel element")
    header["PUPIL"] = (pupil_keyword, "Pupil wheel element")
    header["EXP_TYPE"] = ("NRC_IMAGE", "Type of data in the exposure")
    header["SUBARRAY"] = (flat.subarray, "Subarray used")
    header["SUBSTRT1"] = (flat.corner[0], "Starting pixel in axis 1 direction")
    header["SUBSTRT2"] = (flat.corner[1], "Starting pixel in axis 2 direction")
    header["SUBSIZE1"] = (nx, "Number of pixels in axis 1 direction")
    header["SUBSIZE2"] = (ny, "Number of pixels in axis 2 direction")
    header["FASTAXIS"] = (flat.detector.fast_axis, "Fast readout axis direction")
    header["SLOWAXIS"] = (flat.detector.slow_axis, "Slow readout axis direction")
    for card in fits.Header.fromstring(flat._header).copy(strip=True).cards:
        if card.keyword not in header and card.keyword not in NOT_CARRIED:
            header.append(card, end=True)
    for line in flat.history:
        header.add_history(line)
    return header
