"""Reference files: flat fields as CRDS keeps them and the JWST pipeline applies them."""

from nircam_flats.reference.flat_reference import FlatReference

__all__ = ["FlatReference"]
