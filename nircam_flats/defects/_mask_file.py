"""The MASK reference file: extension DQ, and DQ_DEF, which names its bits.

Source: the pipeline's documentation of MASK reference files and ``stdatamodels``' MaskModel.
"""

import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.time import Time

from nircam_flats._files import ascii_text, open_fits, read_image, read_keyword, write_fits
from nircam_flats._keywords import pedigree_faults, text_faults, useafter_of
from nircam_flats.exceptions import FlatsWarning, InvalidInputError
from nircam_flats.instrument import DQ, Detector
from nircam_flats.instrument.dq_table import decoded_flags, dq_definition, dq_image

__all__ = ["read_mask", "write_mask"]


def read_mask(path):
    """Return the flags in a MASK reference file, uint32 as bits of `~nircam_flats.DQ`, and its `Detector`.

    Raises
    ------
    InvalidInputError
        If the file is no NIRCam MASK file with an extension DQ and keyword DETECTOR.

    Warns
    -----
    FlatsWarning
        If flags were left out, or what they mean was assumed.
    """
    path = Path(path)
    with open_fits(path) as hdus:
        header = hdus[0].header
        kind = read_keyword(header, "REFTYPE", str, path, default="none")
        instrument = read_keyword(header, "INSTRUME", str, path, default="NIRCAM")
        if kind.upper() != "MASK" or instrument.upper() != "NIRCAM":
            remedy = "; give FlatReference.read(path) to know what a flat flags" if kind.upper() == "FLAT" else ""
            came = f"REFTYPE {kind} of {instrument}{remedy}"
            raise InvalidInputError(f"{path}: needed a NIRCam MASK reference file (REFTYPE MASK); got {came}")
        stored = read_image(hdus, "DQ", np.uint32, path)
        detector = Detector.get(read_keyword(header, "DETECTOR", str, path))
        dq, told, _ = decoded_flags(stored, hdus["DQ_DEF"].data if "DQ_DEF" in hdus else None)
    if told:
        warnings.warn(f"{path}: {'; '.join(told)}", FlatsWarning, stacklevel=4)
    return dq, detector


def write_mask(dq, detector, path, *, author, description, pedigree, useafter, history, overwrite):
    """Write the flags ``dq`` as the MASK reference file of ``detector``."""
    faults = [
        *text_faults("author", "AUTHOR", author),
        *text_faults("description", "DESCRIP", description),
        *pedigree_faults(pedigree),
    ]
    if faults:
        raise InvalidInputError(f"{path}: a MASK reference file cannot be written: {'; '.join(faults)}")
    path, (ny, nx) = Path(path), dq.shape
    primary = fits.PrimaryHDU()
    primary.header.update(
        DATE=Time.now().utc.isot,
        FILENAME=ascii_text(path.name),
        DATAMODL="MaskModel",
        TELESCOP="JWST",
        REFTYPE="MASK",
        AUTHOR=str(author),
        DESCRIP=str(description),
        PEDIGREE=str(pedigree),
        USEAFTER=useafter_of(useafter, f"{path}: a MASK reference file needs"),
        INSTRUME="NIRCAM",
        DETECTOR=detector.name,
        EXP_TYPE="ANY",
        SUBARRAY="FULL" if tuple(dq.shape) == detector.shape else "GENERIC",
        SUBSTRT1=1,
        SUBSTRT2=1,
        SUBSIZE1=nx,
        SUBSIZE2=ny,
        FASTAXIS=detector.fast_axis,
        SLOWAXIS=detector.slow_axis,
    )
    for line in history.to_lines():
        primary.header.add_history(ascii_text(line))
    hdus = fits.HDUList([primary, dq_image(dq), dq_definition(dq, always=DQ.DO_NOT_USE | DQ.DEAD)])
    write_fits(hdus, path, overwrite=overwrite, output_verify="silentfix")
