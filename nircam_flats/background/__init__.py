"""How bright the sky should be, and how bright it is."""

from nircam_flats.background.comparison import BackgroundComparison
from nircam_flats.background.jbt import JBTBackground
from nircam_flats.background.model import BackgroundModel
from nircam_flats.background.rules import BackgroundRules
from nircam_flats.background.tabulated import TabulatedBackground
from nircam_flats.background.zodiacal import ZodiacalBackground

__all__ = [
    "BackgroundComparison",
    "BackgroundModel",
    "BackgroundRules",
    "JBTBackground",
    "TabulatedBackground",
    "ZodiacalBackground",
]
