"""The file formats of what validates flats."""

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from nircam_flats._files import open_product, read_image, read_keyword, read_table, write_product
from nircam_flats.provenance import History

__all__ = [
    "celestial_cards",
    "read_flatness",
    "read_measurements",
    "read_mosaic",
    "read_star_flat",
    "write_flatness",
    "write_measurements",
    "write_mosaic",
    "write_star_flat",
]

FLATNESS = {"MESHES": ("meshes", np.float32, 3), "N_PIXELS": ("n_pixels", np.int32, 3)}
FLATNESS |= {"ROWS": ("rows", np.float32, 2), "COLUMNS": ("columns", np.float32, 2)}


def write_flatness(comparison, path, *, overwrite):
    images = {
        f"{side.upper()}_{extension}": getattr(getattr(comparison, side), name)
        for side in ("old", "new")
        for extension, (name, _, _) in FLATNESS.items()
    }
    write_product(
        path,
        "FlatnessComparison",
        {"DETECTOR": comparison.detector.name, "BOXSIZE": comparison.new.box_size},
        images,
        {"EXPOSURES": comparison.exposures},
        comparison.history,
        overwrite=overwrite,
    )


def read_flatness(path):
    with open_product(path, "FlatnessComparison") as hdus:
        box_size = read_keyword(hdus[0].header, "BOXSIZE", int, path)
        sides = {
            side: {
                name: read_image(hdus, f"{side.upper()}_{extension}", dtype, path, ndim=ndim)
                for extension, (name, dtype, ndim) in FLATNESS.items()
            }
            | {"box_size": box_size}
            for side in ("old", "new")
        }
        return sides | {
            "detector": read_keyword(hdus[0].header, "DETECTOR", str, path),
            "exposures": read_table(hdus, "EXPOSURES", path),
            "history": History.from_table(read_table(hdus, "HISTORY", path)),
        }


def write_measurements(photometry, path, *, overwrite):
    write_product(
        path,
        "PhotometricRepeatability",
        {"DETECTOR": photometry.detector.name, "NY": photometry.shape[0], "NX": photometry.shape[1]},
        {},
        {name.upper(): getattr(photometry, name) for name in ("measurements", "positions", "exposures")},
        photometry.history,
        overwrite=overwrite,
    )


def read_measurements(path):
    with open_product(path, "PhotometricRepeatability") as hdus:
        header = hdus[0].header
        tables = {name: read_table(hdus, name.upper(), path) for name in ("measurements", "positions", "exposures")}
        return tables | {
            "detector": read_keyword(header, "DETECTOR", str, path),
            "shape": tuple(read_keyword(header, name, int, path) for name in ("NY", "NX")),
            "history": History.from_table(read_table(hdus, "HISTORY", path)),
        }


def write_star_flat(flat, path, *, overwrite):
    header = {"DETECTOR": flat.detector.name, "NY": flat.shape[0], "NX": flat.shape[1], "DEGREE": flat.degree}
    write_product(
        path,
        "StarFlat",
        header | {"JITTER": flat.jitter},
        {"COEFFICIENTS": flat.coefficients, "COVARIANCE": flat.covariance, "SURFACE": flat.surface, "ERR": flat.err},
        {"MEASUREMENTS": flat.measurements},
        flat.history,
        overwrite=overwrite,
    )


def read_star_flat(path):
    with open_product(path, "StarFlat") as hdus:
        header = hdus[0].header
        return {
            "detector": read_keyword(header, "DETECTOR", str, path),
            "shape": tuple(read_keyword(header, name, int, path) for name in ("NY", "NX")),
            "degree": read_keyword(header, "DEGREE", int, path),
            "jitter": read_keyword(header, "JITTER", float, path),
            "coefficients": read_image(hdus, "COEFFICIENTS", np.float64, path, ndim=1),
            "covariance": read_image(hdus, "COVARIANCE", np.float64, path),
            "measurements": read_table(hdus, "MEASUREMENTS", path),
            "history": History.from_table(read_table(hdus, "HISTORY", path)),
        }


def write_mosaic(mosaic, path, *, overwrite):
    header = fits.Header.fromstring(mosaic.cards)
    images = [fits.ImageHDU(getattr(mosaic, name), header, name=name.upper()) for name in ("old", "new", "n_used")]
    write_product(
        path, "Mosaic", {}, {}, {"EXPOSURES": mosaic.exposures}, mosaic.history, further=images, overwrite=overwrite
    )


def read_mosaic(path):
    with open_product(path, "Mosaic") as hdus:
        images = {
            name: read_image(hdus, name.upper(), dtype, path)
            for name, dtype in (("old", np.float32), ("new", np.float32), ("n_used", np.int32))
        }
        return images | {
            "cards": celestial_cards(WCS(hdus["OLD"].header)),
            "exposures": read_table(hdus, "EXPOSURES", path),
            "history": History.from_table(read_table(hdus, "HISTORY", path)),
        }


def celestial_cards(wcs):
    """Return the header cards of a `~astropy.wcs.WCS` as text."""
    return wcs.to_header().tostring(endcard=False, padding=False)
