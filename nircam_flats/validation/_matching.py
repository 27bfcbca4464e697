"""Detections of many exposures brought together on the sky."""

from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord, search_around_sky
from attrs import define, field
from scipy.spatial import cKDTree

__all__ = ["Catalog", "demand_wcs"]

N_NEEDED = 5
"""Sources that two exposures must share for their shift to be solved."""
BIN = 0.05 * u.arcsec
"""Offsets of pairs within this distance of each other support the same shift."""


def demand_wcs(exposure):
    """Return the `~astropy.wcs.WCS` of an exposure; None, and why, if it has none that leads to the sky."""
    if exposure.wcs is None:
        return None, "no usable WCS: the SCI header has none (CTYPE1 is missing)"
    if not exposure.wcs.has_celestial:
        return None, f"no usable WCS: its axes {list(exposure.wcs.wcs.ctype)} are not celestial"
    corners = exposure.wcs.all_pix2world([[0, 0], [exposure.shape[1], exposure.shape[0]]], 0)
    if not np.isfinite(corners).all():
        return None, "no usable WCS: the corners of the image have no finite position on the sky"
    return exposure.wcs, ""


@define
class Catalog:
    """The stars found so far, to which exposures are added one by one.

    Attributes
    ----------
    positions
        `~astropy.coordinates.SkyCoord` of the stars, in the frame of the first exposure of each field.
    """

    max_shift: u.Quantity = field()
    radius: u.Quantity = field()
    positions: Any = field(default=None)

    def add(self, exposure, wcs, x, y):
        """Take up the sources of one exposure.

        Returns
        -------
        stars, shift, reason
            Number of the star that each source is; shift (along ra, along dec) that was added to the positions; why
            they could not be taken up, '' if they were.
        """
        found = SkyCoord(wcs.pixel_to_world(x, y)).icrs
        if self.positions is None or self._n_known(exposure, wcs) < N_NEEDED:
            return self._append(found, np.arange(len(found))), np.zeros(2) * u.arcsec, ""
        shift, n_pairs = self._shift(found)
        if n_pairs < N_NEEDED:
            reason = (
                f"its sources cannot be matched: {N_NEEDED} must lie where they do in the other exposures, up to one "
                f"shift of at most {self.max_shift}; {n_pairs} do"
            )
            return None, None, reason
        moved = _moved(found, shift)
        nearest, distance, _ = moved.match_to_catalog_sky(self.positions)
        own, _, _ = self.positions.match_to_catalog_sky(moved)
        same = (distance < self.radius) & (own[nearest] == np.arange(len(moved)))  # each other's nearest
        stars = np.array(nearest)
        stars[~same] = self._append(moved[~same], np.arange(np.count_nonzero(~same)))
        return stars, shift, ""

    def _append(self, positions, numbers):
        if self.positions is None:
            self.positions = positions
            return numbers
        n = len(self.positions)
        ra, dec = (
            np.concatenate([getattr(part, axis).to_value(u.deg) for part in (self.positions, positions)])
            for axis in ("ra", "dec")
        )
        self.positions = SkyCoord(ra, dec, unit=u.deg)
        return n + numbers

    def _n_known(self, exposure, wcs):
        """How many known stars lie in the frame of an exposure."""
        centre = SkyCoord(wcs.pixel_to_world((exposure.shape[1] - 1) / 2, (exposure.shape[0] - 1) / 2)).icrs
        near = self.positions[self.positions.separation(centre) < 5 * u.arcmin]
        if not len(near):
            return 0
        x, y = wcs.world_to_pixel(near)
        return np.count_nonzero((x > 0) & (y > 0) & (x < exposure.shape[1]) & (y < exposure.shape[0]))

    def _shift(self, found):
        """Shift that brings most sources onto stars, and how many: the densest point of the offsets of all pairs."""
        here, there, _, _ = search_around_sky(found, self.positions, self.max_shift)
        if not len(here):
            return np.zeros(2) * u.arcsec, 0
        offsets = np.transpose(
            [part.to_value(u.arcsec) for part in found[here].spherical_offsets_to(self.positions[there])]
        )
        tree = cKDTree(offsets)
        support = tree.query_ball_point(offsets, BIN.to_value(u.arcsec))
        best = max(support, key=len)
        return np.median(offsets[best], axis=0) * u.arcsec, len(best)


def _moved(positions, shift):
    return positions.spherical_offsets_by(*shift)
