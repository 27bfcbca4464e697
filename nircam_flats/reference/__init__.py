"""Reference files: flat fields as CRDS keeps them and the JWST pipeline applies them."""

from nircam_flats.reference.flat_reference import FlatReference
from nircam_flats.reference.ground_flats import GroundFlats

__all__ = ["FlatReference", "GroundFlats"]
