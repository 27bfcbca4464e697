"""Simulated campaigns with a known truth, in memory or as real-format files."""

from nircam_flats.simulation.effects import Effects
from nircam_flats.simulation.files import SimulatedFiles
from nircam_flats.simulation.program import SimulatedProgram
from nircam_flats.simulation.truth import SimulatedTruth

__all__ = ["Effects", "SimulatedFiles", "SimulatedProgram", "SimulatedTruth"]
