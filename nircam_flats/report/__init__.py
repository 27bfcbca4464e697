"""What a run made, and how it is saved and told."""

from nircam_flats.report.products import DetectorProducts, Problem, SkyFlatProgram, peak_to_peak, prepared_folder
from nircam_flats.report.recovery import recovery
from nircam_flats.report.text import aligned, told

__all__ = [
    "DetectorProducts",
    "Problem",
    "SkyFlatProgram",
    "aligned",
    "peak_to_peak",
    "prepared_folder",
    "recovery",
    "told",
]
