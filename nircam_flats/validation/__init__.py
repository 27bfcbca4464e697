"""Did the images get better? Flatness of the sky, repeatability of stars, the flat that stars ask for, mosaics."""

from nircam_flats.validation.flatness import Flatness, FlatnessComparison
from nircam_flats.validation.mosaic import Mosaic
from nircam_flats.validation.repeatability import MeasurementFlag, PhotometricRepeatability
from nircam_flats.validation.star_flat import StarFlat, StarFlatComparison

__all__ = [
    "Flatness",
    "FlatnessComparison",
    "MeasurementFlag",
    "Mosaic",
    "PhotometricRepeatability",
    "StarFlat",
    "StarFlatComparison",
]
