"""How bright the claws of stars are: zero points, limits, and sums over stars for many attitudes."""

from collections.abc import Mapping

import numpy as np
from astropy import units as u
from attrs import field, frozen

from nircam_flats.exceptions import InvalidInputError
from nircam_flats.instrument import Filter
from nircam_flats.kernels import sum_starlight
from nircam_flats.scattered.claw_zone import packaged

__all__ = ["BRIGHTNESS", "FLUX", "ClawBand", "limits_of", "star_weights", "starlight", "stars_near"]

FLUX = u.DN / u.s
BRIGHTNESS = u.MJy / u.sr
REFERENCE = 17.0
"""The magnitude that the published zero points are relative to."""


@frozen
class ClawBand:
    """What claws need to know of a short-wavelength filter.

    Attributes
    ----------
    filter
        The filter.
    band
        'J', 'H' or 'Ks', whose magnitudes stand for it.
    zero_points
        By module.
    photmjsr
        MJy/sr for 1 DN/s, typical of the filter.
    """

    filter: Filter = field()
    band: str = field()
    zero_points: dict = field()
    photmjsr: float = field()

    @classmethod
    def of(cls, filter):
        """Return that of a filter.

        Raises
        ------
        InvalidInputError
            If it is a long-wavelength one.
        """
        filter = Filter.get(filter)
        if filter.channel != "SW":
            raise InvalidInputError(
                f"claws fall on the short-wavelength detectors only, and {filter} is not affected: leave it out"
            )
        table = packaged("claw_filters")
        (row,) = table[table["filter"] == filter.name]
        zero_points = {module: row[f"zeropoint_{module}"].to_value(u.mag) for module in "AB"}
        return cls(filter, str(row["band"]), zero_points, float(row["photmjsr"].to_value(BRIGHTNESS / FLUX)))


def limits_of(limit, bands):
    """Return the limit in DN/s for each of ``bands``.

    Parameters
    ----------
    limit
        A number of DN/s, a Quantity in DN/s (or DN/s/pix) or MJy/sr, or a mapping from filter to one of these.
    bands
        A sequence of `ClawBand`.

    Raises
    ------
    InvalidInputError
        If one is missing, negative, not finite, or of another unit.
    """
    if isinstance(limit, Mapping):
        given = {Filter.get(name): value for name, value in limit.items()}
        missing = [band.filter.name for band in bands if band.filter not in given]
        if missing:
            raise InvalidInputError(f"limit must be given for each filter; there is none for {', '.join(missing)}")
        return np.array([_limit_of(given[band.filter], band) for band in bands])
    return np.array([_limit_of(limit, band) for band in bands])


def _limit_of(limit, band):
    number = limit
    if isinstance(limit, u.Quantity):
        for unit, factor in ((FLUX, 1.0), (FLUX / u.pix, 1.0), (BRIGHTNESS, 1 / band.photmjsr)):
            if limit.unit.is_equivalent(unit):
                number = limit.to_value(unit) * factor
                break
        else:
            raise InvalidInputError(f"limit must be in DN/s or MJy/sr; got {limit}")
    try:
        number = float(number)
    except (TypeError, ValueError):
        raise InvalidInputError(
            f"limit must be one number or Quantity, or a mapping by filter; got {limit!r}"
        ) from None
    if not (np.isfinite(number) and number >= 0):
        raise InvalidInputError(f"limit must be finite and not negative; got {limit}")
    return number


def star_weights(stars, bands, module):
    """Return the flux of each star for an intensity of 1, DN/s, [band, star]; NaN where its magnitude is missing."""
    known = {band.band: stars.magnitude(band.band).to_value(u.mag) for band in bands}
    zero_points = [REFERENCE - band.zero_points[module] for band in bands]
    rows = [10 ** (-0.4 * (known[band.band] + zero)) for band, zero in zip(bands, zero_points, strict=True)]
    return np.array(rows).reshape(len(bands), len(stars))


def _reach(zone, v2, v3):
    """Return cosines of the largest and smallest distance of the zone's map from a point of the telescope frame."""
    y, x = np.nonzero(zone.intensity_map)
    if not y.size:
        return 1.0, 1.0
    v2_0, v3_0, across, up = zone.grid
    rows, columns = np.array([y.min() - 1, y.max() + 2]), np.array([x.min() - 1, x.max() + 2])  # as interpolation does
    (left, right), (low, high) = v2_0 + columns / across, v3_0 + rows / up
    longitude = np.radians(np.linspace(left, right, 50))
    latitude = np.radians(np.linspace(low, high, 50))[:, np.newaxis]
    cosine = np.sin(v3) * np.sin(latitude) + np.cos(v3) * np.cos(latitude) * np.cos(longitude - v2)
    return cosine.min() - 1e-4, cosine.max() + 1e-4


def stars_near(pointing, stars, zones):
    """Return the indices of the stars that some roll of ``pointing`` brings into one of the zones."""
    v2, v3 = pointing.v2.to_value(u.rad), pointing.v3.to_value(u.rad)
    ra, dec = pointing.ra.to_value(u.rad), pointing.dec.to_value(u.rad)
    target = np.array([np.cos(ra) * np.cos(dec), np.sin(ra) * np.cos(dec), np.sin(dec)])
    cosine = stars.vectors @ target
    near = np.zeros(len(stars), bool)
    for zone in zones:
        lowest, highest = _reach(zone, v2, v3)
        near |= (cosine >= lowest) & (cosine <= highest)
    return np.flatnonzero(near)


def starlight(attitude, stars, bands, zone):
    """Return the flux, DN/s, [band, attitude], and whether a star without a magnitude stands in the zone then."""
    weights = star_weights(stars, bands, zone.module)
    missing = np.isnan(weights)
    rows = np.concatenate([np.nan_to_num(weights), missing]) if missing.any() else weights
    rotations = np.swapaxes(attitude.matrix.reshape(-1, 3, 3), -1, -2)
    settings = {"bilinear": zone.interpolation == "bilinear"}
    sums = sum_starlight(rotations, stars.vectors, rows, zone.intensity_map, zone.grid, **settings).T
    flux, hidden = sums[: len(bands)], sums[len(bands) :]
    return flux, hidden > 0 if len(hidden) else np.zeros(flux.shape, bool)
