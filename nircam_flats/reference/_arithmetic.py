"""The arithmetic of flat fields: what the JWST pipeline's own step does with one.

Source of the pipeline's rules: ``jwst.flatfield.flat_field.apply_flat_field`` and
``jwst.lib.pipe_utils.match_nans_and_flags`` (jwst 3.0.0).
"""

import numpy as np

from nircam_flats.instrument import DQ

__all__ = ["NO_ANSWER", "as_applied", "exchanged"]

#: Flags of a pixel that a flat says nothing about; its value is 1.0.
NO_ANSWER = DQ.NO_FLAT_FIELD | DQ.DO_NOT_USE


def as_applied(data, dq):
    """Return the values that the pipeline divides by, and the flags that it adds to the exposure.

    NaN and 0 in ``data`` set NO_FLAT_FIELD | DO_NOT_USE; NO_FLAT_FIELD sets DO_NOT_USE; where DO_NOT_USE is
    set the pipeline divides by 1.0.
    """
    missing = np.isnan(data) | (data == 0) | DQ.NO_FLAT_FIELD.is_set(dq)
    dq = np.where(missing, dq | np.uint32(NO_ANSWER), dq)
    return np.where(DQ.DO_NOT_USE.is_set(dq), np.float32(1), data), dq


def exchanged(exposure, old, new):
    """Return the planes of ``exposure``, by field name, after flat ``old`` is taken out and ``new`` applied.

    Either may be None. SCI is multiplied by ``old / new``, VAR_POISSON and VAR_RNOISE by the square of it; VAR_FLAT is
    ``(SCI / new)**2 err_new**2`` with the new SCI, or 0 without a new flat; ERR is the root of the sum of the three.
    Planes that the exposure does not hold are not made, but for DQ; ERR needs both variances.

    Then every pixel that is NaN in one plane or flagged DO_NOT_USE is NaN in all and flagged DO_NOT_USE: what
    the old flat made unusable was lost then, and does not come back.
    UNRELIABLE_FLAT, which only a flat can set, is taken back where it was the old flat's and a new one takes its
    place. All other flags stay, because it is not known who set them.
    """
    taken_out, old_dq = (np.float32(1), np.uint32(0)) if old is None else as_applied(old.data, old.dq)
    divided_by, new_dq = (np.float32(1), old_dq) if new is None else as_applied(new.data, new.dq)
    planes = {}
    with np.errstate(all="ignore"):
        ratio = np.float64(taken_out) / divided_by
        data = exposure.data * ratio
        planes["data"] = data.astype(np.float32)
        for name in ("var_poisson", "var_rnoise"):
            if getattr(exposure, name) is not None:
                planes[name] = (getattr(exposure, name) * ratio**2).astype(np.float32)
        if exposure.var_flat is not None or exposure.err is not None:
            var_flat = np.zeros_like(data) if new is None else (data / divided_by * new.err) ** 2
            if exposure.var_flat is not None:
                planes["var_flat"] = var_flat.astype(np.float32)
            if exposure.err is not None:
                variance = planes["var_poisson"].astype(np.float64) + planes["var_rnoise"] + var_flat
                planes["err"] = np.sqrt(variance).astype(np.float32)
    dq = np.zeros(exposure.data.shape, np.uint32) if exposure.dq is None else exposure.dq
    if new is not None:
        dq = dq & ~(old_dq & np.uint32(DQ.UNRELIABLE_FLAT))
    dq = dq | new_dq
    lost = DQ.DO_NOT_USE.is_set(dq)
    if new is not None and new.err is not None:
        lost |= np.isnan(new.err)
    for plane in planes.values():
        lost |= np.isnan(plane)
    for plane in planes.values():
        plane[lost] = np.nan
    return planes | {"dq": np.where(lost, dq | np.uint32(DQ.DO_NOT_USE), dq)}
