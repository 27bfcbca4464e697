"""What is measured in one exposure."""

import numpy as np
from astropy import units as u
from attrs import evolve, frozen

from nircam_flats.background._stripes import N_AMPLIFIERS, stripes_of
from nircam_flats.background.model import BRIGHTNESS
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.exposure._checks import own_problems
from nircam_flats.kernels import clipped_statistics
from nircam_flats.masks import PyramidSegmentation, Segmentation, SkyLevel
from nircam_flats.skyflat.frame import mask_of

__all__ = ["MeasuredSky"]


@frozen(kw_only=True)
class MeasuredSky:
    """The sky of one exposure, or why there is none.

    Attributes
    ----------
    level
        A `SkyLevel` in MJy/sr; None if it could not be measured.
    masked_fraction, asymmetry
        By the report's mask, for `BackgroundRules`; NaN without a level.
    problems
        Why it could not be measured, texts.
    """

    level: SkyLevel | None = None
    masked_fraction: float = np.nan
    asymmetry: float = np.nan
    problems: tuple = ()

    @classmethod
    def of(cls, member, *, masks, corrections):
        """Measure one member of an `~nircam_flats.ExposureSet`; what is wrong with it alone becomes a problem."""
        problems = tuple(own_problems(member))
        if problems:
            return cls(problems=problems)
        try:
            return cls._measured(member.load(planes=("dq",)), masks, corrections.get(member.detector.name))
        except InvalidInputError as error:
            return cls(problems=(str(error).removeprefix(f"{member.path}: ").removeprefix(f"{member.name}: "),))

    @classmethod
    def _measured(cls, exposure, masks, correction):
        if not exposure.unit.is_equivalent(BRIGHTNESS):
            raise InvalidInputError(f"its unit must be one of surface brightness (MJy / sr); got {exposure.unit}")
        if correction is not None and correction.surface.shape != exposure.shape:
            raise InvalidInputError(
                f"the correction must have its shape, {exposure.shape}; got {correction.surface.shape}"
            )
        good = exposure.good
        data = exposure.data if correction is None else exposure.data / correction.surface
        data = np.where(good, data, np.float32(np.nan))
        first = Segmentation.for_first_pass() if correction is None else Segmentation()
        amplifiers = N_AMPLIFIERS if exposure.subarray == "FULL" else 1
        stripes = stripes_of(data, good & ~first(data, good), amplifiers)  # mistaken for sources in short exposures
        if masks is None:
            masks = PyramidSegmentation.without_correction() if correction is None else PyramidSegmentation()
        mask = mask_of(exposure.with_pixels(data - stripes), masks, None)
        level = SkyLevel.measure(data, mask.masked)
        scale = u.Quantity(1, exposure.unit).to_value(BRIGHTNESS)
        sources = Segmentation.of_report()(data, good)
        median, mean, _, _ = clipped_statistics(np.where(sources, np.float32(np.nan), data))
        return cls(
            level=evolve(level, value=level.value * scale, err=level.err * scale, scatter=level.scatter * scale),
            masked_fraction=float(sources.sum() / good.sum()),
            asymmetry=float(1 - mean / median) if median else np.nan,
        )
