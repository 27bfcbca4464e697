"""Images of another shape, type or byte order, with values that are no numbers, packed or scaled."""

import io
from itertools import pairwise

import numpy as np
import pytest
from astropy.io import fits

from .changes import edited, sections_of, unsealed
from .formats import FORMATS, REFUSED

PLANES = {
    "cal": {"SCI": "data", "ERR": "err", "DQ": "dq", "AREA": "area", "VAR_FLAT": "var_flat"},
    "FLAT": {"SCI": "data", "ERR": "err", "DQ": "dq"},
    "DeltaSkyflat": {"SCI": "data", "ERR": "err", "N_USED": "n_used", "SCATTER": "scatter"},
    "FlatModelFit": {"SURFACE": "surface", "RESIDUAL": "residual"},
    "DeadPixelMap": {"CLASSES": "classes", "RESPONSE": "response", "ERR": "err", "KNOWN_DQ": "known_dq"},
    "WispTemplate": {"SCI": "data", "OUTLINE": "outline"},
}
OPTIONAL = {"cal": ("ERR", "AREA", "VAR_FLAT"), "FLAT": ("ERR",), "DeltaSkyflat": ("SCATTER",)}
INTEGERS = ("DQ", "N_USED", "CLASSES", "KNOWN_DQ", "OUTLINE")
CASES = [(kind, plane) for kind, found in PLANES.items() for plane in found]
EACH = pytest.mark.parametrize(("kind", "plane"), CASES)


def replaced(format, plane, image, maker=fits.ImageHDU):
    """Return the file with ``image`` in the extension ``plane``, whose header keeps what it says."""

    def edit(hdus):
        new = maker(image, name=plane)
        kept = hdus[plane].header.copy(strip=True)
        for keyword in ("CHECKSUM", "DATASUM", "BSCALE", "BZERO"):
            kept.remove(keyword, ignore_missing=True)
        new.header.extend(kept, unique=True)
        hdus[plane] = new

    return edited(unsealed(format.content), edit)


@EACH
def test_shapes(kind, plane, examine):
    format = FORMATS[kind]
    good = getattr(format.value, PLANES[kind][plane]).astype("f4" if plane != "DQ" else "i4")
    tall, wide = good.shape
    wrong = [good.T, good[:-1], good[:, 1:], good.ravel(), good[None], np.stack([good, good]), good[:0], good[:1, :1]]
    wrong += [np.zeros((tall, wide, 0), "f4"), np.vstack([good, good])]
    for image in wrong:
        examine(format, replaced(format, plane, image), REFUSED, f"{plane} of shape {image.shape}")


@EACH
def test_types(kind, plane, examine):
    format, field = FORMATS[kind], PLANES[kind][plane]
    good = getattr(format.value, field)
    is_float = good.dtype.kind == "f"
    for dtype in ("f4", "f8", "i2", "i4", "i8", "u1", "u2", "u4", "u8"):
        with np.errstate(invalid="ignore"):
            image = good.astype(dtype)  # what it says is what is to be read
        if is_float:
            wanted = {field: image.astype("f4")} if plane == "SCI" or dtype in ("f4", "f8") else None
        else:
            wanted = REFUSED if dtype.startswith("f") else {} if np.array_equal(image, good) else None
        if wanted is not None:
            wanted = _refused_if_no_object(kind, wanted, dtype)
            examine(format, replaced(format, plane, image), wanted, f"{plane} as {dtype}")


def _refused_if_no_object(kind, wanted, dtype):
    """A wisp template must show some light, which whole numbers of it do not."""
    return REFUSED if kind == "WispTemplate" and dtype[0] in "iu" and wanted else wanted


@pytest.mark.parametrize(("kind", "plane"), [case for case in CASES if case[1] not in INTEGERS])
def test_values_that_are_no_numbers(kind, plane, examine):
    format, field = FORMATS[kind], PLANES[kind][plane]
    good = getattr(format.value, field)
    for bad in (np.nan, np.inf, -np.inf, 1e300, -1e300):
        image = good.astype("f8")
        image[20:24, 10:14] = bad
        with np.errstate(over="ignore"):
            wanted = {field: image.astype("f4")}
        if kind in ("WispTemplate", "FlatModelFit") and plane in ("SCI", "SURFACE"):
            wanted = REFUSED
        examine(format, replaced(format, plane, image), wanted, f"{plane} with {bad}")


@EACH
def test_packed_and_scaled(kind, plane, examine):
    format, field = FORMATS[kind], PLANES[kind][plane]
    good = getattr(format.value, field)
    image = good.astype("u1") if good.dtype == bool else good
    if good.dtype.kind != "f":
        examine(format, replaced(format, plane, image, fits.CompImageHDU), REFUSED if kind == "cal" else {}, plane)
        return
    quantised = np.round(np.nan_to_num(good.astype("f8")) * 1e4).astype("i4")

    def scaled(image, name):
        hdu = fits.ImageHDU(image, name=name)
        hdu.header["BSCALE"] = 1e-4
        return hdu

    content = replaced(format, plane, quantised, scaled)
    with fits.open(io.BytesIO(content)) as hdus:
        wanted = {field: hdus[plane].data.astype("f4")}
    assert np.nanmax(np.abs(wanted[field] - good)) < 1e-4
    examine(format, content, wanted, f"{plane} as scaled integers")
    packed = replaced(
        format,
        plane,
        image,
        lambda image, name: fits.CompImageHDU(image, name=name, compression_type="GZIP_1", quantize_level=0),
    )
    examine(format, packed, REFUSED if kind == "cal" else {}, f"{plane} packed without loss")


@pytest.mark.parametrize("kind", PLANES)
def test_extensions(kind, examine):
    """Without one, twice, in another order, or a table in its place."""
    format = FORMATS[kind]
    content = unsealed(format.content)
    for plane, field in PLANES[kind].items():
        wanted = {field: None} if plane in OPTIONAL.get(kind, ()) else REFUSED
        if kind == "FLAT" and plane == "DQ":
            wanted = {field: np.zeros_like(format.value.dq)}
        examine(format, edited(content, lambda hdus, plane=plane: hdus.__delitem__(plane)), wanted, f"without {plane}")
        table = fits.BinTableHDU(np.zeros(3, [("x", "f4")]), name=plane)

        def in_its_place(hdus, plane=plane, table=table):
            hdus[plane] = table

        examine(format, edited(content, in_its_place), REFUSED, f"a table in place of {plane}")
        again = fits.ImageHDU(np.zeros((3, 4), "f4"), name=plane)
        examine(
            format, edited(content, lambda hdus, again=again: hdus.append(again)), {}, f"another {plane} at the end"
        )

    starts = [start for _, start, _ in sections_of(content)]
    parts = [content[start:stop] for start, stop in pairwise([*starts, len(content)])]
    examine(format, b"".join([parts[0], *parts[:0:-1]]), {}, "extensions in the opposite order")
