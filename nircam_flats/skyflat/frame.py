"""One exposure made ready for combination: source-masked and divided by its sky level."""

from collections.abc import Callable
from functools import cached_property, reduce
from operator import or_
from typing import Any, Self

import numpy as np
from astropy.time import Time
from attrs import evolve, field, frozen

from nircam_flats._fields import HoldsArrays, image, owned, readonly
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.exposure import Exposure, Pointing
from nircam_flats.instrument import Detector, Filter
from nircam_flats.instrument.detector import to_detector
from nircam_flats.instrument.filters import to_filter
from nircam_flats.kernels import box_medians, divide_rows, expand_mesh, repeat_mesh
from nircam_flats.masks import MaskReason, MaskStrategy, Segmentation, SkyLevel, SourceMask
from nircam_flats.skyflat._store import StoredImage, digest
from nircam_flats.skyflat.balance import FrameBalance
from nircam_flats.skyflat.light import FrameLight
from nircam_flats.skyflat.meshes import MESH_BOX

__all__ = ["NormalizedFrame", "mask_of", "pixels_of"]

MAX_MASKED_FRACTION = 0.8


def _to_packed(value):
    return value if value is None or isinstance(value, StoredImage) else owned(value, np.uint8)


def _to_pixels(value):
    if isinstance(value, StoredImage):
        return value
    try:
        pixels = owned(value, np.float32)
    except InvalidInputError as error:
        raise InvalidInputError(f"NormalizedFrame.values: {error}") from None
    if pixels.ndim != 2:
        raise InvalidInputError(f"NormalizedFrame.values must be an array with 2 dimensions; got shape {pixels.shape}")
    return pixels


@frozen(kw_only=True, eq=False)
class NormalizedFrame(HoldsArrays):
    """One exposure masked and divided by its sky level.

    Attributes
    ----------
    name, detector, filter, flat_name, start, end
        Facts of the exposure; ``flat_name`` is the ground flat it was divided by.
    level
        The `~nircam_flats.SkyLevel` that divided it.
    pixels
        Image that the frame is made of, NaN where not good: an array, or a ``StoredImage`` that reads rows from disk.
        Frames made by hand give ``values=`` instead, NaN where masked, and a `scale` of 1.
    scale
        What divides `pixels`; the value of the level.
    masked
        Masked pixels, packed eight to a byte along the rows (`numpy.packbits`), an array or a ``StoredImage``; None for
        none.
    boxes
        Boxes of 32 px that are masked besides, a boolean mesh; None for none.
    light, field_light
        What is subtracted from the frame, in units of its level, each a ``FrameLight``: light that stays on the
        detector, and the halos of the field; None for nothing. See `NormalizedFrames.minus`.
    pointing
        Where it looked, a `~nircam_flats.Pointing`; None if that is not known.
    balance
        What divides ``values`` when frames are combined, a ``FrameBalance``; None for nothing. See
        `NormalizedFrames.balanced`.
    """

    name: str = field()
    detector: Detector = field(converter=to_detector, repr=str)
    filter: Filter = field(converter=to_filter, repr=str)
    flat_name: str | None = field()
    start: Time | None = field(repr=False)
    end: Time | None = field(repr=False)
    level: SkyLevel = field()
    pixels: np.ndarray | StoredImage = field(alias="values", converter=_to_pixels, repr=lambda _: "...")
    scale: float = field(default=1.0, repr=False)
    masked: np.ndarray | StoredImage | None = field(default=None, converter=_to_packed, repr=lambda _: "...")
    boxes: np.ndarray | None = image(bool, optional=True, follows_shape=False)
    _mesh: np.ndarray | None = image(optional=True, follows_shape=False)
    light: FrameLight | None = field(default=None, repr=False)
    field_light: FrameLight | None = field(default=None, repr=False)
    pointing: Pointing | None = field(default=None, repr=False)
    balance: FrameBalance | None = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.pixels.shape

    @property
    def values(self) -> np.ndarray:
        """float32 image, 1 on average, NaN where masked."""
        return readonly(self._divided(slice(None)))

    def _divided(self, rows, divisor=None, out=None):
        masked = None if self.masked is None else self.masked[rows]
        values = divide_rows(self.pixels[rows], self.scale, divisor=divisor, masked=masked, out=out)
        for item in (self.light, self.field_light):
            if item is not None:
                light = item.rows(self.shape, rows)
                values -= light if divisor is None else light / divisor
        if self.boxes is not None:
            values[repeat_mesh(self.boxes, MESH_BOX, self.shape, rows=rows)] = np.nan
        return values

    @cached_property
    def mesh(self):
        """Clipped medians of ``values`` in boxes of 32 px, NaN where masked."""
        return readonly(box_medians(self.values, MESH_BOX)[0]) if self._mesh is None else self._mesh

    def without(self, boxes: Any) -> "NormalizedFrame":
        """Return the frame without the pixels of the boxes of a boolean mesh; its level stays."""
        mesh = readonly(np.where(boxes, np.float32(np.nan), self.mesh))
        return evolve(self, boxes=boxes if self.boxes is None else self.boxes | boxes, mesh=mesh)

    def minus(self, light: Any, *, field: bool = False) -> "NormalizedFrame":
        """Return the frame with this ``FrameLight`` subtracted, instead of any other; None subtracts nothing.

        ``field`` says that it is light of the field and not of the detector.
        """
        name = "field_light" if field else "light"
        return self if light is getattr(self, name) else evolve(self, **{name: light, "mesh": None})

    def rows(self, rows: slice, out: np.ndarray | None = None) -> np.ndarray:
        """Return the balanced values of the rows in the slice ``rows``, in ``out`` if it is given."""
        divisor = None if self.balance is None else expand_mesh(self.balance.divisor, MESH_BOX, self.shape, rows=rows)
        return self._divided(rows, divisor, out)

    @property
    def key(self) -> str:
        """Text that stands for the content of the frame and the facts about it."""
        pixels = self.pixels.path.name if isinstance(self.pixels, StoredImage) else self.pixels
        masked, boxes = ("" if item is None else item[:] for item in (self.masked, self.boxes))
        facts = (self.name, self.detector.name, self.filter.name, self.flat_name, self.start, self.end)
        light = ("" if item is None else item.key for item in (self.light, self.field_light))
        return digest(pixels, repr(self.scale), masked, boxes, *light, *facts)

    @property
    def noise(self) -> Any:
        """1 sigma of one pixel, in units of the sky level."""
        return self.level.scatter / self.level.value

    @classmethod
    def from_exposure(
        cls, exposure: Exposure, *, masks: Any = None, correction: Any = None, preprocess: Callable | None = None
    ) -> Self:
        """Mask and normalise one exposure; the parameters are those of `NormalizedFrames.from_exposures`.

        Raises
        ------
        InvalidInputError
            If the sky cannot be measured: no good pixel, more than 80 % of the good pixels masked, a level that is
            not positive, or no scatter at all. The text names the exposure.
        """
        if preprocess is not None:
            exposure = preprocess(exposure)
        if not exposure.good.any():
            raise InvalidInputError(f"{exposure.name}: at least one good pixel is needed; all are bad or not finite")
        mask = mask_of(exposure, Segmentation() if masks is None else masks, correction)
        data = exposure.data if correction is None else exposure.data / correction.surface
        try:
            level = SkyLevel.measure(data, mask.masked, good=exposure.good, unit=exposure.unit)
        except InvalidInputError as error:
            raise InvalidInputError(f"{exposure.name}: {error}") from error
        if level.masked_fraction > MAX_MASKED_FRACTION:
            raise InvalidInputError(
                f"{exposure.name}: at most {MAX_MASKED_FRACTION:.0%} of the good pixels may be masked for the sky to "
                f"be measured; got {level.masked_fraction:.1%} (a crowded field does not make a flat)"
            )
        if not level.value > 0:
            raise InvalidInputError(
                f"{exposure.name}: the sky level must be positive; got {level.value:.4g} {level.unit} (was the "
                "background subtracted?)"
            )
        if not level.scatter > 0:
            raise InvalidInputError(
                f"{exposure.name}: the sky must show some noise; got {level.value:.4g} {level.unit} in all pixels that "
                "are not masked"
            )
        return cls(
            name=exposure.name,
            detector=exposure.detector,
            filter=exposure.filter,
            flat_name=exposure.flat_name,
            start=exposure.start,
            end=exposure.end,
            pointing=exposure.pointing,
            level=level,
            values=pixels_of(exposure),
            scale=level.value,
            masked=readonly(np.packbits(mask.masked, axis=1)),
        )


def pixels_of(exposure):
    """The image of an exposure, NaN where not good; the exposure's own array if nothing is bad there but NaN."""
    if np.array_equal(exposure.good, np.isfinite(exposure.data)) and not np.isinf(exposure.data).any():
        return exposure.data
    return readonly(np.where(exposure.good, exposure.data, np.float32(np.nan)))


def mask_of(exposure, masks, correction):
    """What any of ``masks`` masks, and the pixels that are not good."""
    items = masks if isinstance(masks, list | tuple) else [masks]
    found = [mask for item in items if (mask := _mask_of_one(exposure, item, correction)) is not None]
    if not any(isinstance(item, MaskStrategy) for item in items):  # which flag the pixels that are not good
        found.append(SourceMask.from_array(~exposure.good, MaskReason.DATA_QUALITY))
    return reduce(or_, found)


def _mask_of_one(exposure, masks, correction):
    if isinstance(masks, list | tuple):
        return mask_of(exposure, masks, correction)
    if isinstance(masks, MaskStrategy):
        return SourceMask.from_exposure(exposure, masks, correction=correction)
    mask = masks(exposure) if callable(masks) else masks.get(exposure.name)
    if mask is None:
        return None
    mask = mask if isinstance(mask, SourceMask) else SourceMask.from_array(mask)
    if mask.flags.shape != exposure.shape:
        raise InvalidInputError(
            f"{exposure.name}: its mask must have its shape, {exposure.shape}; got {mask.flags.shape}"
        )
    return mask
