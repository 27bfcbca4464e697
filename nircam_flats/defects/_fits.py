"""The file format of maps of dead pixels."""

import numpy as np

from nircam_flats._files import open_product, read_image, read_keyword, write_product
from nircam_flats.skyflat._fits import origin_header, origin_table, read_origin

__all__ = ["read_map", "write_map"]

IMAGES = {
    "CLASSES": ("classes", np.uint8),
    "RESPONSE": ("response", np.float32),
    "ERR": ("err", np.float32),
    "PROBABILITY": ("probability", np.float32),
    "KNOWN_DQ": ("known_dq", np.uint32),
}


def write_map(dead, path, *, overwrite):
    write_product(
        path,
        "DeadPixelMap",
        origin_header(dead) | {"THRESH": dead.threshold},
        {extension: getattr(dead, name) for extension, (name, _) in IMAGES.items()},
        {"FILTERS": origin_table(dead)},
        dead.history,
        overwrite=overwrite,
    )


def read_map(path):
    with open_product(path, "DeadPixelMap") as hdus:
        fields = {name: read_image(hdus, extension, dtype, path) for extension, (name, dtype) in IMAGES.items()}
        fields["threshold"] = read_keyword(hdus[0].header, "THRESH", float, path)
        return fields | read_origin(hdus, path)
