"""For users who subclass or build on the library: comparisons and conformance checks for their own tests."""

from nircam_flats.testing.comparison import assert_same, check_value

__all__ = ["assert_same", "check_value"]
