"""The image DQ of a file, and the table DQ_DEF by which a reference file names its bits."""

import numpy as np
from astropy.io import fits

from nircam_flats.instrument.dq import DQ
from nircam_flats.kernels import swap_bytes

__all__ = ["decoded_flags", "dq_definition", "dq_image"]

_SIGN = 1 << 31


def decoded_flags(stored, table):
    """Translate the bits of a file to the standard ones, by name.

    Parameters
    ----------
    stored
        DQ image of the file, uint32.
    table
        Rows of its DQ_DEF, a structured array with columns NAME and VALUE or BIT; None if it has none.

    Returns
    -------
    dq
        uint32 image of `DQ` bits; bits without a name that the pipeline knows are left out.
    told, faults
        What was left out or assumed, and what is wrong but changes nothing: lists of texts.
    """
    columns = getattr(getattr(table, "dtype", None), "names", None) or ()
    if "NAME" not in columns or not {"VALUE", "BIT"} & set(columns) or len(table) == 0:
        fault = ["extension DQ_DEF must name the bits of DQ; it does not, and the standard ones are assumed"]
        return (stored, fault, []) if stored.any() else (stored, [], fault)
    if _is_standard(table) and not np.bitwise_or.reduce(stored, axis=None) & ~np.bitwise_or.reduce(table["VALUE"]):
        return stored, [], []
    flagged = np.flatnonzero(stored)
    theirs = stored.ravel()[flagged]
    ours, explained = np.zeros_like(theirs), 0
    told: list[str] = []
    faults: list[str] = []
    for row in table:
        name = str(row["NAME"]).strip()
        value = int(row["VALUE"]) if "VALUE" in table.dtype.names else 1 << int(row["BIT"])
        value &= 0xFFFFFFFF
        explained |= value
        here = (theirs & np.uint32(value)) != 0
        if name in DQ.__members__:
            ours[here] |= np.uint32(DQ[name])
        elif value:  # GOOD has value 0 and flags nothing
            n_pixels = np.count_nonzero(here)
            one = f"DQ_DEF must use the pipeline's names; {name!r} is left out, set at {n_pixels} pixels"
            (told if n_pixels else faults).append(one)
    rest = theirs & ~np.uint32(explained)
    if rest.any():
        bits = [bit for bit in range(32) if (rest & np.uint32(1 << bit)).any()]
        told.append(
            f"DQ_DEF must have a row for every bit of DQ; bits {bits} have none, and are left out at "
            f"{np.count_nonzero(rest)} pixels"
        )
    dq = np.zeros_like(stored)
    dq.ravel()[flagged] = ours
    return dq, told, faults


def _is_standard(table):
    names = [str(name).strip() for name in table["NAME"]]
    return "VALUE" in table.dtype.names and all(
        name in DQ.__members__ and int(value) == DQ[name] for name, value in zip(names, table["VALUE"], strict=True)
    )


def dq_image(dq):
    """Return the extension DQ that holds the uint32 image ``dq``.

    FITS keeps unsigned integers as signed ones and an offset, BZERO. They are made here as they will lie in the file:
    astropy makes more images on the way, and holds up other threads.
    """
    stored = dq ^ np.uint32(_SIGN)
    swap_bytes(stored)
    hdu = fits.ImageHDU(stored.view(">i4"), name="DQ", do_not_scale_image_data=True)
    hdu.header["BSCALE"], hdu.header["BZERO"] = 1, _SIGN
    return hdu


def dq_definition(dq, *, always=DQ.DO_NOT_USE):
    """Return the extension DQ_DEF that explains the bits set in ``dq``, and those in ``always`` besides."""
    used = int(np.bitwise_or.reduce(dq, axis=None)) | always
    flags = [flag for flag in DQ if flag & used]
    columns = [
        fits.Column("BIT", "J", array=np.array([flag.bit_length() - 1 for flag in flags], np.int32)),
        fits.Column("VALUE", "J", bzero=_SIGN, array=np.array(flags, np.uint32)),
        fits.Column("NAME", "40A", array=[flag.name for flag in flags]),
        fits.Column("DESCRIPTION", "80A", array=[str(flag.name).replace("_", " ").capitalize() for flag in flags]),
    ]
    return fits.BinTableHDU.from_columns(columns, name="DQ_DEF")
