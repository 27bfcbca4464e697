"""Dithered exposures on one grid of the sky, with the old and with the new flat."""

from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS, Sip
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, image, readonly
from nircam_flats._files import reading
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.exposure import ExposureSet
from nircam_flats.kernels import box_medians
from nircam_flats.masks import Segmentation
from nircam_flats.provenance import History
from nircam_flats.skyflat import NormalizedFrame
from nircam_flats.validation import _fits
from nircam_flats.validation._exchange import FlatExchange, exposure_rows, to_exposures, work_on_each
from nircam_flats.validation._matching import demand_wcs

__all__ = ["Mosaic"]


@frozen(kw_only=True, eq=False)
class Mosaic(HoldsArrays):
    """Dithered exposures, each divided by its sky level, on one grid: with the old and with the new flat.

    Attributes
    ----------
    old, new
        Mean of the exposures, float32 ``[y, x]``, north up; the sky is 1; NaN where none reaches.
    n_used
        Exposures that show each pixel, int32.
    exposures
        `~astropy.table.QTable`: ``name``, ``filter``, ``used``, ``reason``, ``level`` (sky, with the new flat).
    history
        How it was made.
    """

    old: np.ndarray = image(sets_shape=True)
    new: np.ndarray = image()
    n_used: np.ndarray = image(np.int32)
    cards: str = field(repr=False)
    exposures: QTable = field(repr=lambda table: f"<{len(table)} exposures>")
    history: History = field(factory=History, repr=False)

    @property
    def wcs(self) -> Any:
        """The `~astropy.wcs.WCS` of the grid, a fresh one at each access."""
        return WCS(fits.Header.fromstring(self.cards))

    @classmethod
    def from_exposures(
        cls, exposures: ExposureSet, *, old: Any, new: Any, box_size: int = 8, executor: Executor | None = None
    ) -> Self:
        """Put exposures, of any number of detectors, on one grid (needs the extra ``mosaic``).

        Parameters
        ----------
        exposures
            An `~nircam_flats.ExposureSet`, exposures, or paths of ``_cal`` files.
        old, new
            Flats as in `FlatnessComparison.from_exposures`.
        box_size
            Pixels of the detector along the side of a pixel of the mosaic, which shows their clipped median: the
            structure of the sky, not sources.
        executor
            Any `concurrent.futures.Executor`; by default threads for all cores.

        Raises
        ------
        InvalidInputError
            If no exposure can be used, or ``reproject`` is not installed. An exposure without a usable WCS is left out
            with the reason.
        """
        try:
            from reproject import reproject_interp
            from reproject.mosaicking import find_optimal_celestial_wcs
        except ImportError as error:
            raise InvalidInputError(
                "Mosaic.from_exposures needs the package reproject, which is not installed: "
                "pip install 'nircam_flats[mosaic]'"
            ) from error
        exposures = to_exposures(exposures)
        work = partial(_tile, exchange=FlatExchange(old=old, new=new), box_size=box_size)
        made, failed = work_on_each(work, exposures, executor=executor, stage="mosaic")
        left_out = [*exposures.excluded, *failed]
        if not made:
            raise InvalidInputError(
                f"Mosaic needs an exposure that can be used; got none; left out: {'; '.join(map(str, left_out[:5]))}"
            )
        headers, levels, tiles, grids = zip(*made, strict=True)
        scale = box_size * max(header.detector.pixel_scale for header in headers)
        places = [(tile.shape[1:], grid) for tile, grid in zip(tiles, grids, strict=True)]
        target, shape = find_optimal_celestial_wcs(places, resolution=scale)
        total, count = np.zeros((2, *shape)), np.zeros(shape, np.int32)
        for tile, grid in zip(tiles, grids, strict=True):
            placed, _ = reproject_interp((tile, grid), target, shape_out=(2, *shape))
            seen = np.isfinite(placed).all(axis=0)
            total[:, seen] += placed[:, seen]
            count += seen
        with np.errstate(invalid="ignore"):
            means = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return cls(
            old=readonly(means[0].astype(np.float32)),
            new=readonly(means[1].astype(np.float32)),
            n_used=count,
            cards=_fits.celestial_cards(target),
            exposures=exposure_rows(
                headers,
                left_out,
                level=([level.value * level.unit for level in levels], np.nan * levels[0].unit),
            ),
            history=History().then("mosaic", exposures=len(made), box_size=box_size),
        )

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a FITS file that `read` reads back."""
        _fits.write_mosaic(self, path, overwrite=overwrite)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what `write` wrote.

        Raises
        ------
        InvalidInputError
            If the file holds something else; the text names it.
        """
        with reading(path):
            return cls(**_fits.read_mosaic(path))

    def plot(self, ax: Any = None, *, flat: str = "new", **artist_options: Any) -> Any:
        """Draw the mosaic with the 'old' or the 'new' flat; returns the artist.

        `nircam_flats.plotting.before_after` puts both side by side.
        """
        from nircam_flats.plotting import draw_mosaic

        return draw_mosaic(self, ax=ax, flat=flat, **artist_options)


def _tile(member, *, exchange, box_size):
    """Header, sky level, box medians with both flats, and their WCS, of one exposure."""
    wcs, reason = demand_wcs(member)
    if wcs is None:
        raise InvalidInputError(reason)
    before = member.load(planes=())
    after = exchange.after(before)
    good = before.good & after.good
    level = NormalizedFrame.from_exposure(after, masks=Segmentation()).level
    medians = [
        box_medians(np.where(good, item.data / np.float32(level.value), np.float32(np.nan)), box_size)[0]
        for item in (before, after)
    ]
    return member.without_pixels(), level, np.stack(medians), _of_boxes(wcs, box_size)


def _of_boxes(wcs, box_size):
    """The WCS of an image whose pixels are boxes of the pixels of ``wcs``, distortion included."""
    boxes = wcs.deepcopy()
    boxes.wcs.crpix = (wcs.wcs.crpix - 0.5) / box_size + 0.5
    if wcs.wcs.has_cd():
        boxes.wcs.cd = wcs.wcs.cd * box_size
    else:
        boxes.wcs.cdelt = wcs.wcs.cdelt * box_size
    if wcs.sip is not None:
        names = ("a", "b", "ap", "bp")
        boxes.sip = Sip(*(_scaled(getattr(wcs.sip, name), box_size) for name in names), boxes.wcs.crpix)
    return boxes


def _scaled(coefficients, box_size):
    """SIP coefficients of ``u^p v^q`` for pixels that are ``box_size`` times larger."""
    if coefficients is None:
        return None
    order = np.add.outer(*(np.arange(n) for n in coefficients.shape))
    return coefficients * float(box_size) ** (order - 1)
