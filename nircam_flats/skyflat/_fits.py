"""The file format of delta skyflats, and the part that every product made of one shares: where it comes from."""

import numpy as np
from astropy.table import Table
from astropy.time import Time

from nircam_flats._files import open_product, read_image, read_keyword, read_table, write_product
from nircam_flats.provenance import History

__all__ = [
    "origin_header",
    "origin_table",
    "read_delta",
    "read_dependence",
    "read_images",
    "read_origin",
    "write_delta",
    "write_dependence",
]

IMAGES = {"SCI": ("data", np.float32, 2), "ERR": ("err", np.float32, 2), "N_USED": ("n_used", np.int32, 2)}
IMAGES |= {"INFLUENCES": ("influences", np.float32, 3), "SCATTER": ("scatter", np.float32, 2)}
OPTIONAL = ("SCATTER",)
DATES = {"FIRSTDAT": "first_date", "LASTDATE": "last_date"}


def origin_header(product):
    """Primary keywords that say of which detector and dates ``product`` is."""
    dates = {keyword: getattr(product, name) for keyword, name in DATES.items()}
    return {"TELESCOP": "JWST", "INSTRUME": "NIRCAM", "DETECTOR": product.detector.name} | {
        keyword: None if date is None else Time(date, precision=9).isot for keyword, date in dates.items()
    }


def origin_table(product):
    """Table of the filters of ``product`` and the ground flat of each."""
    return Table(
        {
            "filter": [item.name for item in product.filters],
            "flat_name": [product.flat_names[item.name] or "" for item in product.filters],
        }
    )


def read_origin(hdus, path):
    """Return the fields detector, filters, flat_names, first_date, last_date and history of a product as a dict."""
    header = hdus[0].header
    filters = read_table(hdus, "FILTERS", path)
    fields = {
        "detector": read_keyword(header, "DETECTOR", str, path),
        "filters": [str(name) for name in filters["filter"]],
        "flat_names": {str(row["filter"]): str(row["flat_name"]) or None for row in filters},
        "history": History.from_table(read_table(hdus, "HISTORY", path)),
    }
    for keyword, name in DATES.items():
        date = read_keyword(header, keyword, str, path, default=None)
        fields[name] = None if date is None else Time(date)
    return fields


def write_delta(delta, path, *, overwrite):
    images = {extension: getattr(delta, name) for extension, (name, _, _) in IMAGES.items()}
    write_product(
        path,
        "DeltaSkyflat",
        origin_header(delta),
        {extension: image for extension, image in images.items() if image is not None},
        {"FILTERS": origin_table(delta), "EXPOSURES": delta.exposures},
        delta.history,
        overwrite=overwrite,
    )


def read_delta(path):
    with open_product(path, "DeltaSkyflat") as hdus:
        fields = read_images(hdus, path)
        return fields | read_origin(hdus, path) | {"exposures": read_table(hdus, "EXPOSURES", path)}


def read_images(hdus, path):
    return {
        name: read_image(hdus, extension, dtype, path, ndim=ndim, required=extension not in OPTIONAL)
        for extension, (name, dtype, ndim) in IMAGES.items()
    }


def write_dependence(dependence, path, *, overwrite):
    grey = Table({"filter": [item.name for item in dependence.grey_filters]})
    write_product(
        path,
        "FilterDependence",
        origin_header(dependence),
        {extension: getattr(dependence, IMAGES[extension][0]) for extension in IMAGES if extension not in OPTIONAL}
        | {"MESH": dependence.mesh},
        {
            "FILTERS": origin_table(dependence),
            "GREY": grey,
            "FRAMES": Table({"name": list(dependence.frames)}),
            "EXPOSURES": dependence.exposures,
        },
        dependence.history,
        overwrite=overwrite,
    )


def read_dependence(path):
    with open_product(path, "FilterDependence") as hdus:
        fields = read_images(hdus, path) | read_origin(hdus, path)
        del fields["scatter"]
        fields["mesh"] = read_image(hdus, "MESH", np.float32, path)
        (fields["filter"],) = fields.pop("filters")
        fields["grey_filters"] = [str(name) for name in read_table(hdus, "GREY", path)["filter"]]
        fields["frames"] = [str(name) for name in read_table(hdus, "FRAMES", path)["name"]]
        return fields | {"exposures": read_table(hdus, "EXPOSURES", path)}
