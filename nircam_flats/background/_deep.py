"""Masks of longer exposures carried over to shorter ones of the same field."""

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from attrs import field, frozen
from scipy.interpolate import RectBivariateSpline

from nircam_flats.instrument import Detector, Filter

__all__ = ["DeepMask", "carried"]

STEP = 32
"""Pixels between the places whose positions are computed; between them they are interpolated."""
MIN_COVERED = 0.5
"""Part of the good pixels of an exposure that deep ones must cover, for their masks to take the place of its own."""


@frozen(kw_only=True, eq=False)
class DeepMask:
    """The mask of an exposure, and where it lies on the sky.

    Attributes
    ----------
    name, detector, filter, wcs
        Of the exposure.
    shape
        Of the image.
    packed
        The mask, packed eight pixels to a byte along the rows.
    """

    name: str = field()
    detector: Detector = field()
    filter: Filter = field()
    wcs: WCS = field(repr=False)
    shape: tuple = field()
    packed: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, exposure, masked):
        """Keep the boolean image ``masked`` of an exposure; None where its WCS leads nowhere on the sky."""
        if exposure.wcs is None or not exposure.wcs.has_celestial:
            return None
        facts = {name: getattr(exposure, name) for name in ("name", "detector", "filter", "wcs", "shape")}
        return cls(packed=np.packbits(masked, axis=1), **facts)

    def onto(self, wcs, shape):
        """Return what it masks and what it covers of an image, two boolean images; None where it covers nothing."""
        (centre, reach), (own_centre, own_reach) = _extent(wcs, shape), _extent(self.wcs, self.shape)
        if centre.separation(own_centre) > reach + own_reach:
            return None
        nodes = [np.append(np.arange(0, n - 1, STEP), n - 1) for n in shape]
        columns, rows = np.meshgrid(nodes[1], nodes[0])
        world = wcs.all_pix2world(columns, rows, 0)
        found = self.wcs.all_world2pix(*world, 0, quiet=True)  # far outside its image a distortion has no inverse
        x, y = (
            np.rint(RectBivariateSpline(*nodes, values, kx=1, ky=1)(np.arange(shape[0]), np.arange(shape[1])))
            for values in found
        )
        covers = (x >= 0) & (x < self.shape[1]) & (y >= 0) & (y < self.shape[0])
        if not covers.any():
            return None
        masks = np.zeros(shape, bool)
        masked = np.unpackbits(self.packed, axis=1, count=self.shape[1]).view(bool)
        masks[covers] = masked[y[covers].astype(int), x[covers].astype(int)]
        return masks, covers


def _extent(wcs, shape):
    """Return the middle of an image on the sky, and how far from it its corners are."""
    x, y = (shape[1] - 1) / 2, (shape[0] - 1) / 2
    places = SkyCoord(*wcs.all_pix2world([x, 0, 0, 2 * x, 2 * x], [y, 0, 2 * y, 0, 2 * y], 0), unit="deg")
    return places[0], places[0].separation(places[1:]).max()


def carried(exposure, good, deep):
    """Return what other exposures say is to be masked in one, where they cover it, and how many they are.

    Those of the same detector count, in the same filter if there is one. Two boolean images, of masked and of covered
    pixels; None, None and 0 where they cover too little.

    Parameters
    ----------
    exposure, good
        The exposure and its good pixels.
    deep
        `DeepMask` objects; one of the exposure itself does not count, because what its own noise puts into a mask
        pulls its level.
    """
    others = [item for item in deep if item.detector == exposure.detector and item.name != exposure.name]
    others = [item for item in others if item.filter == exposure.filter] or others
    if not others or exposure.wcs is None or not exposure.wcs.has_celestial:
        return None, None, 0
    parts = [part for item in others if (part := item.onto(exposure.wcs, exposure.shape)) is not None]
    if not parts:
        return None, None, 0
    masks, covers = (np.logical_or.reduce(images) for images in zip(*parts, strict=True))
    if np.count_nonzero(covers & good) < MIN_COVERED * np.count_nonzero(good):
        return None, None, 0
    return masks, covers, len(parts)
