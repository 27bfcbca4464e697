"""What is measured in one exposure."""

from typing import Any

import numpy as np
from astropy import units as u
from attrs import evolve, frozen

from nircam_flats.background._deep import DeepMask, carried
from nircam_flats.background._stripes import stripes_of
from nircam_flats.background.model import BRIGHTNESS
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.exposure import Exposure
from nircam_flats.exposure._checks import own_problems
from nircam_flats.instrument.detector import N_AMPLIFIERS
from nircam_flats.kernels import clipped_statistics
from nircam_flats.masks import PyramidSegmentation, Segmentation, SkyLevel
from nircam_flats.skyflat.frame import mask_of

__all__ = ["MeasuredSky", "deep_mask_of"]


@frozen(kw_only=True)
class MeasuredSky:
    """The sky of one exposure, or why there is none.

    Attributes
    ----------
    level
        A `SkyLevel` in MJy/sr; None if it could not be measured.
    masked_fraction, asymmetry
        By the report's mask, for `BackgroundRules`; NaN without a level.
    n_deep
        Number of other exposures whose masks took the place of its own.
    problems
        Why it could not be measured, texts.
    """

    level: Any = None
    n_deep: int = 0
    masked_fraction: float = np.nan
    asymmetry: float = np.nan
    problems: tuple = ()

    @classmethod
    def of(cls, member, *, masks, corrections, deep=()):
        """Measure one member of an `~nircam_flats.ExposureSet`; what is wrong with it alone becomes a problem."""
        problems = tuple(own_problems(member))
        if problems:
            return cls(problems=problems)
        planes = ("dq", "var_poisson") if deep else ("dq",)
        try:
            image = _Image.of(member.load(planes=planes), masks, corrections.get(member.detector.name))
            return cls._measured(image, deep)
        except InvalidInputError as error:
            return cls(problems=(_without_name(member, error),))

    @classmethod
    def _measured(cls, image, deep):
        masked, covered, n_deep = carried(image.exposure, image.good, deep)
        if n_deep:  # its own sources only at the edges, so that no row is without sky
            level = image.level_outside(masked if covered.all() else np.where(covered, masked, image.mask()))
        else:
            level = SkyLevel.measure(image.data, image.mask())
        scale = u.Quantity(1, image.exposure.unit).to_value(BRIGHTNESS)
        sources = Segmentation.of_report()(image.data, image.good)
        median, mean, _, _ = clipped_statistics(np.where(sources, np.float32(np.nan), image.data))
        return cls(
            level=evolve(level, value=level.value * scale, err=level.err * scale, scatter=level.scatter * scale),
            n_deep=n_deep,
            masked_fraction=float(sources.sum() / image.good.sum()),
            asymmetry=float(1 - mean / median) if median else np.nan,
        )


def deep_mask_of(member, *, masks, corrections):
    """Return the `DeepMask` of one member of an `~nircam_flats.ExposureSet`.

    Raises
    ------
    InvalidInputError
        If no mask can be made of it, or its place is not known.
    """
    problems = tuple(own_problems(member))
    if problems:
        raise InvalidInputError(f"{member.name}: no mask can be carried over from it: {problems[0]}")
    image = _Image.of(member.load(planes=("dq",)), masks, corrections.get(member.detector.name))
    mask = DeepMask.of(image.exposure, image.mask())
    if mask is None:
        raise InvalidInputError(f"{member.name}: no mask can be carried over from it: it has no celestial WCS")
    return mask


def _without_name(member, error):
    return str(error).removeprefix(f"{member.path}: ").removeprefix(f"{member.name}: ")


@frozen(kw_only=True, eq=False)
class _Image:
    """An exposure divided by what is known of its flat, and how its sources are masked."""

    exposure: Exposure
    data: np.ndarray
    good: np.ndarray
    first: Segmentation
    masks: object

    @classmethod
    def of(cls, exposure, masks, correction):
        if not exposure.unit.is_equivalent(BRIGHTNESS):
            raise InvalidInputError(f"its unit must be one of surface brightness (MJy / sr); got {exposure.unit}")
        if correction is not None and correction.surface.shape != exposure.shape:
            raise InvalidInputError(
                f"the correction must have its shape, {exposure.shape}; got {correction.surface.shape}"
            )
        data = exposure.data if correction is None else exposure.data / correction.surface
        if masks is None:
            masks = PyramidSegmentation.without_correction() if correction is None else PyramidSegmentation()
        return cls(
            exposure=exposure,
            data=np.where(exposure.good, data, np.float32(np.nan)),
            good=exposure.good,
            first=Segmentation.for_first_pass() if correction is None else Segmentation(),
            masks=masks,
        )

    def mask(self):
        """Return what its own sources mask, a boolean image; stripes would be taken for sources."""
        stripes = self._stripes(~self.first(self.data, self.good))
        return mask_of(self.exposure.with_pixels(self.data - stripes), self.masks, None).masked

    def level_outside(self, masked):
        """Return the level outside a mask that knows nothing of the noise of this image.

        So many rows are masked in part that the stripes are taken off for the level as well: those that are masked
        less would count more. The median lies below the mean of photon noise, by its third moment over 6 times the
        variance of a pixel; the level is that of the mean, if the photon noise is known.
        """
        level = SkyLevel.measure(self.data - self._stripes(~masked), masked, good=self.good)
        if self.exposure.var_poisson is None or level.value <= 0:
            return level
        photons = self.exposure.var_poisson[self.good & ~masked]
        photons = photons[np.isfinite(photons)]
        if not photons.size:
            return level
        photons = np.median(photons)
        return evolve(level, value=float(level.value + photons**2 / (6 * level.value * level.scatter**2)))

    def _stripes(self, sky):
        amplifiers = N_AMPLIFIERS if self.exposure.subarray == "FULL" else 1
        return stripes_of(self.data, self.good & sky, amplifiers)
