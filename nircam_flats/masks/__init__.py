"""Which pixels show more than the sky, and the level of the sky in the others."""

from nircam_flats.masks.pyramid import PyramidSegmentation
from nircam_flats.masks.segmentation import Segmentation
from nircam_flats.masks.sky_level import SkyLevel
from nircam_flats.masks.source_mask import MaskReason, SourceMask
from nircam_flats.masks.strategy import MaskStrategy

__all__ = ["MaskReason", "MaskStrategy", "PyramidSegmentation", "Segmentation", "SkyLevel", "SourceMask"]
