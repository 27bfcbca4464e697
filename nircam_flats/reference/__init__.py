"""Reference files: flat fields as CRDS keeps them and the JWST pipeline applies them."""

from nircam_flats.reference.comparison import FlatComparison
from nircam_flats.reference.delivery import FlatDelivery
from nircam_flats.reference.flat_reference import FlatReference
from nircam_flats.reference.ground_flats import GroundFlats
from nircam_flats.reference.photometry import PhotometricShift
from nircam_flats.reference.provenance import FlatProvenance

__all__ = ["FlatComparison", "FlatDelivery", "FlatProvenance", "FlatReference", "GroundFlats", "PhotometricShift"]
