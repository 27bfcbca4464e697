"""For users who subclass or build on the library: comparisons and conformance checks for their own tests."""

from nircam_flats.testing.comparison import assert_same, check_value
from nircam_flats.testing.strategies import (
    check_background_model,
    check_combine_strategy,
    check_fit_strategy,
    check_flat_policy,
    check_gauge,
    check_mask_strategy,
)

__all__ = [
    "assert_same",
    "check_background_model",
    "check_combine_strategy",
    "check_fit_strategy",
    "check_flat_policy",
    "check_gauge",
    "check_mask_strategy",
    "check_value",
]
