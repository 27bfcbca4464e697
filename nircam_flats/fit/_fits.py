"""The file format of fits."""

import numpy as np

from nircam_flats._files import open_product, read_image, read_table, read_text, write_product
from nircam_flats.fit.covariance import SurfaceCovariance
from nircam_flats.skyflat._fits import origin_header, origin_table, read_origin

__all__ = ["read_fit", "write_fit"]

IMAGES = {"SURFACE": "surface", "RESIDUAL": "residual", "PIXEL_ERR": "pixel_err"}


def write_fit(fit, path, *, overwrite):
    images = {extension: getattr(fit, name) for extension, name in IMAGES.items()} | {"ERR": fit.err}
    write_product(
        path,
        "FlatModelFit",
        origin_header(fit),
        {extension: image for extension, image in images.items() if image is not None},
        {"FILTERS": origin_table(fit), "EXPOSURES": fit.exposures},
        fit.history,
        texts={"STRATEGY": fit.strategy},
        further=fit.covariance.to_hdus(),
        overwrite=overwrite,
    )


def read_fit(path):
    with open_product(path, "FlatModelFit") as hdus:
        fields = {
            name: read_image(hdus, extension, np.float32, path, required=extension != "PIXEL_ERR")
            for extension, name in IMAGES.items()
        }
        covariance = SurfaceCovariance.from_hdus(hdus, path, fields["surface"].shape)
        strategy = read_text(hdus, "STRATEGY", path)
        exposures = read_table(hdus, "EXPOSURES", path)
        fields |= {"covariance": covariance, "strategy": strategy, "exposures": exposures}
        return fields | read_origin(hdus, path)
