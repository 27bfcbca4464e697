"""What a run made, and how it is saved and told."""

from nircam_flats.report.products import DetectorProducts, Problem, SkyFlatProgram, prepared_folder

__all__ = ["DetectorProducts", "Problem", "SkyFlatProgram", "prepared_folder"]
