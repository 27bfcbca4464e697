"""Sources of one exposure: found once, measured at the same places with both flats."""

from enum import IntFlag
from typing import Any

import numpy as np
from astropy import units as u
from astropy.stats import SigmaClip
from astropy.table import QTable
from attrs import frozen
from photutils.aperture import ApertureStats, CircularAnnulus, CircularAperture, aperture_photometry
from photutils.detection import DAOStarFinder
from scipy.ndimage import maximum_filter

from nircam_flats.exceptions import InvalidInputError
from nircam_flats.instrument import DQ
from nircam_flats.kernels import box_medians, expand_mesh, fill_mesh, smooth

__all__ = ["Apertures", "MeasurementFlag", "find_sources", "measure"]

BACKGROUND_BOX = 64
SMOOTHING = np.array([0.25, 0.5, 0.25])
FWHM_PER_MICRON = 0.033
"""arcsec: full width of the point spread function at half maximum, 1.03 wavelengths over 6.5 m."""
MEDIAN_ERROR = np.sqrt(np.pi / 2)


class MeasurementFlag(IntFlag):
    """What explains a measurement that does not repeat; bits of the column ``flags``."""

    BAD_PIXEL = 1
    SATURATED = 2
    EDGE = 4

    @classmethod
    def names(cls, value: Any) -> Any:
        """Return the bits set in ``value`` as words, joined by commas; '' for none."""
        return ", ".join(str(flag.name).lower().replace("_", " ") for flag in cls if int(value) & flag)


@frozen(kw_only=True)
class Apertures:
    """Radii of the aperture and of the ring that the local background is taken from, pixels."""

    radius: float = 5.0
    inner: float = 10.0
    outer: float = 16.0

    def __attrs_post_init__(self):
        if not 0 < self.radius <= self.inner < self.outer:
            raise InvalidInputError(
                "PhotometricRepeatability needs 0 < radius <= inner < outer, pixels; got "
                f"{self.radius}, {self.inner}, {self.outer}"
            )


def find_sources(exposure, *, n_sigma):
    """Return positions x, y (zero-based centroids) of the sources of an exposure.

    They are the peaks of the image, smoothed with 3 x 3 pixels, that are ``n_sigma`` times the noise of one pixel above
    the local background. Whatever their shape: what is no source is not seen again in another dither.
    """
    good = exposure.good
    data = np.where(good, exposure.data, np.float32(np.nan))
    medians, scatters, _ = box_medians(data, BACKGROUND_BOX)
    if np.isnan(medians).all():
        raise InvalidInputError(f"a box of {BACKGROUND_BOX} px with 10 % good pixels is needed; there is none")
    above = np.where(good, data - expand_mesh(fill_mesh(medians), BACKGROUND_BOX, data.shape), np.float32(0))
    pixel = exposure.detector.pixel_scale.to_value(u.arcsec)
    fwhm = np.hypot(FWHM_PER_MICRON * exposure.filter.pivot.to_value(u.um) / pixel, 1.0)  # and the pixel itself
    smoothed = smooth(above, good, SMOOTHING)
    highest = maximum_filter(smoothed, size=2 * int(np.ceil(fwhm)) + 1)
    threshold = n_sigma * float(np.nanmedian(scatters))
    y, x = np.nonzero((smoothed == highest) & (smoothed > threshold) & good)
    if not x.size:
        return np.zeros(0), np.zeros(0)
    everything = {"sharpness_range": (-np.inf, np.inf), "roundness_range": (-np.inf, np.inf)}
    finder = DAOStarFinder(threshold=0, fwhm=fwhm, xycoords=np.transpose([x, y]), **everything)
    found = finder.find_stars(above, mask=~good)
    x, y = (np.asarray(found[f"{axis}_centroid"]) for axis in "xy")
    inside = (x > -0.5) & (y > -0.5) & (x < data.shape[1] - 0.5) & (y < data.shape[0] - 0.5)
    return x[inside], y[inside]


def measure(before, after, x, y, apertures, *, flat=None):
    """Return a table of the sources at ``x``, ``y``: flux and error with both flats (uJy), flags.

    Flux is the sum of data times AREA times the nominal area of a pixel, less the local background, the clipped median
    of a ring. Its error is that of ERR over the aperture, and of the background. With the new flat it is also that of
    its surface, if the new ``flat`` knows its covariance: all pixels of an aperture share it, and ERR averages it away.
    """
    table = QTable({"x": x, "y": y})
    places = np.transpose([x, y])
    circle, ring = CircularAperture(places, apertures.radius), CircularAnnulus(places, apertures.inner, apertures.outer)
    bad = ~(before.good & after.good)
    for name, exposure in (("old", before), ("new", after)):
        unit = (exposure.unit * exposure.detector.x_scale * exposure.detector.y_scale).to(u.uJy)
        data, err = (np.where(bad, 0.0, plane * exposure.area.astype(float)) for plane in (exposure.data, exposure.err))
        sums = aperture_photometry(data, circle, error=err, mask=bad)
        sky = ApertureStats(data, ring, mask=bad, sigma_clip=SigmaClip(sigma=3.0, maxiters=5))
        with np.errstate(invalid="ignore", divide="ignore"):
            sky_err = MEDIAN_ERROR * sky.std / np.sqrt(sky.sum_aper_area.value)
        flux = sums["aperture_sum"] - circle.area * sky.median
        table[f"flux_{name}"] = flux * unit
        table[f"err_{name}"] = np.hypot(sums["aperture_sum_err"], circle.area * sky_err) * unit
    if flat is not None and flat.covariance is not None:
        offsets = np.subtract(before.corner, flat.corner)
        column, row = (np.rint(place).astype(int) + offset for place, offset in zip((x, y), offsets, strict=True))
        table["err_new"] = np.hypot(table["err_new"], table["flux_new"] * flat.covariance.err()[row, column])
    table["flags"] = _flags(before, bad, circle)
    return table


def _flags(exposure, bad, circle):
    """`MeasurementFlag` bits: what lies in the aperture, and whether it reaches beyond the edge."""
    x, y = circle.positions.T
    radius = circle.r
    n_y, n_x = bad.shape
    beyond = (x - radius < -0.5) | (y - radius < -0.5) | (x + radius > n_x - 0.5) | (y + radius > n_y - 0.5)
    dq = np.zeros(bad.shape, np.uint32) if exposure.dq is None else exposure.dq
    border = (DQ.REFERENCE_PIXEL | DQ.NON_SCIENCE).is_set(dq)
    flags = np.zeros(len(x), int)
    for flag, where in (
        (MeasurementFlag.BAD_PIXEL, bad & ~border),
        (MeasurementFlag.SATURATED, DQ.SATURATED.is_set(dq)),
        (MeasurementFlag.EDGE, border),
    ):
        touched = aperture_photometry(where.astype(float), circle)["aperture_sum"] > 0
        flags[touched] |= flag
    flags[beyond] |= MeasurementFlag.EDGE
    return flags
