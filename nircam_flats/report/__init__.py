"""What a run made, and how it is saved, told and shown."""

from nircam_flats.kernels import peak_to_peak
from nircam_flats.report.backgrounds import background_section
from nircam_flats.report.checks import Check, checks_of
from nircam_flats.report.page import PAGE, report_page, write_page
from nircam_flats.report.photometry import photometry_section
from nircam_flats.report.products import DetectorProducts, Problem, SkyFlatProgram, prepared_folder
from nircam_flats.report.recovery import RECOVERY_MEANING, recovery, recovery_section, recovery_table
from nircam_flats.report.section import Picture, Section
from nircam_flats.report.text import aligned, told

__all__ = [
    "PAGE",
    "RECOVERY_MEANING",
    "Check",
    "DetectorProducts",
    "Picture",
    "Problem",
    "Section",
    "SkyFlatProgram",
    "aligned",
    "background_section",
    "checks_of",
    "peak_to_peak",
    "photometry_section",
    "prepared_folder",
    "recovery",
    "recovery_section",
    "recovery_table",
    "report_page",
    "told",
    "write_page",
]
