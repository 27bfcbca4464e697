"""The file format of fits."""

import numpy as np

from nircam_flats._files import open_product, read_image, read_keyword, read_table, write_product
from nircam_flats.skyflat._fits import origin_header, origin_table, read_origin

__all__ = ["read_fit", "write_fit"]

IMAGES = {"SURFACE": ("surface", 2), "RESIDUAL": ("residual", 2), "MODES": ("covariance_modes", 3)}


def write_fit(fit, path, *, overwrite):
    images = {extension: getattr(fit, name) for extension, (name, _) in IMAGES.items()}
    write_product(
        path,
        "FlatModelFit",
        origin_header(fit) | {"STRATEGY": fit.strategy, "MISFIT": fit.misfit},
        images | {"ERR": fit.err},
        {"FILTERS": origin_table(fit), "EXPOSURES": fit.exposures},
        fit.history,
        overwrite=overwrite,
    )


def read_fit(path):
    with open_product(path, "FlatModelFit") as hdus:
        header = hdus[0].header
        fields = {name: read_image(hdus, ext, np.float32, path, ndim=ndim) for ext, (name, ndim) in IMAGES.items()}
        return (
            fields
            | read_origin(hdus, path)
            | {
                "exposures": read_table(hdus, "EXPOSURES", path),
                "strategy": read_keyword(header, "STRATEGY", str, path),
                "misfit": read_keyword(header, "MISFIT", float, path),
            }
        )
