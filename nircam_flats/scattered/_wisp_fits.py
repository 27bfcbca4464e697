"""The file format of wisp templates."""

import numpy as np

from nircam_flats._files import open_product, read_image, read_keyword, read_table, unit_text, write_product
from nircam_flats.instrument import Filter
from nircam_flats.provenance import History

__all__ = ["read_template", "write_template"]


def write_template(template, path, *, overwrite):
    images = {"SCI": template.data, "ERR": template.err, "OUTLINE": template.outline.view(np.uint8)}
    images |= {"INFLUENCES": template.influences}
    header = {"TELESCOP": "JWST", "INSTRUME": "NIRCAM", "DETECTOR": template.detector.name}
    header |= dict(zip(("FILTER", "PUPIL"), template.filter.keywords, strict=True))
    header |= {"BUNIT": unit_text(template.unit), "AMPERR": template.amplitude_err}
    write_product(
        path,
        "WispTemplate",
        header,
        {name: image for name, image in images.items() if image is not None},
        {} if template.exposures is None else {"EXPOSURES": template.exposures},
        template.history,
        overwrite=overwrite,
    )


def read_template(path):
    with open_product(path, "WispTemplate") as hdus:
        header = hdus[0].header
        return {
            "detector": read_keyword(header, "DETECTOR", str, path),
            "filter": Filter.from_keywords(*(read_keyword(header, name, str, path) for name in ("FILTER", "PUPIL"))),
            "unit": read_keyword(header, "BUNIT", str, path),
            "amplitude_err": read_keyword(header, "AMPERR", float, path),
            "data": read_image(hdus, "SCI", np.float32, path),
            "err": read_image(hdus, "ERR", np.float32, path, required=False),
            "outline": read_image(hdus, "OUTLINE", bool, path),
            "influences": read_image(hdus, "INFLUENCES", np.float32, path, ndim=3, required=False),
            "exposures": read_table(hdus, "EXPOSURES", path) if "EXPOSURES" in hdus else None,
            "history": History.from_table(read_table(hdus, "HISTORY", path)),
        }
