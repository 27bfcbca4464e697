"""What a run made, and how it is saved and told."""

from nircam_flats.report.flatness import peak_to_peak
from nircam_flats.report.page import write_page
from nircam_flats.report.products import DetectorProducts, Problem, SkyFlatProgram, prepared_folder
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
    "write_page",
]
