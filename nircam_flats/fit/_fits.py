"""The file format of fits."""

import numpy as np

from nircam_flats._files import open_product, read_image, read_keyword, read_table, write_product
from nircam_flats.fit.covariance import SurfaceCovariance
from nircam_flats.skyflat._fits import origin_header, origin_table, read_origin

__all__ = ["read_fit", "write_fit"]

IMAGES = {"SURFACE": "surface", "RESIDUAL": "residual", "PIXEL_ERR": "pixel_err"}


def write_fit(fit, path, *, overwrite):
    images = {extension: getattr(fit, name) for extension, name in IMAGES.items()}
    covariance = fit.covariance
    images |= {"ERR": fit.err, "MODES": covariance.modes}
    images |= {"MISFIT": covariance.misfit_correlation, "OUTLIERS": covariance.outliers}
    write_product(
        path,
        "FlatModelFit",
        origin_header(fit) | {"STRATEGY": fit.strategy, "MISFIT": covariance.misfit, "BOXSIZE": covariance.box_size},
        {extension: image for extension, image in images.items() if image is not None},
        {"FILTERS": origin_table(fit), "EXPOSURES": fit.exposures},
        fit.history,
        overwrite=overwrite,
    )


def read_fit(path):
    with open_product(path, "FlatModelFit") as hdus:
        header = hdus[0].header
        fields = {
            name: read_image(hdus, extension, np.float32, path, required=extension != "PIXEL_ERR")
            for extension, name in IMAGES.items()
        }
        covariance = SurfaceCovariance(
            modes=read_image(hdus, "MODES", np.float32, path, ndim=3),
            misfit=read_keyword(header, "MISFIT", float, path),
            misfit_correlation=read_image(hdus, "MISFIT", np.float32, path, ndim=1),
            shape=fields["surface"].shape,
            box_size=read_keyword(header, "BOXSIZE", int, path),
            outliers=read_image(hdus, "OUTLIERS", np.float32, path, required=False),
        )
        strategy = read_keyword(header, "STRATEGY", str, path)
        exposures = read_table(hdus, "EXPOSURES", path)
        fields |= {"covariance": covariance, "strategy": strategy, "exposures": exposures}
        return fields | read_origin(hdus, path)
