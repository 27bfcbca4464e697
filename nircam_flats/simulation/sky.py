"""The sky of a simulated program: pointings, brightness, stars and galaxies, and light scattered in the telescope."""

import numpy as np
from astropy.coordinates import offset_by
from attrs import frozen

from nircam_flats._fields import HoldsArrays, image, readonly
from nircam_flats.instrument import Filter
from nircam_flats.simulation._compiled import DE_VAUCOULEURS, EXPONENTIAL, STAR, paint
from nircam_flats.simulation._levels import sky_brightness
from nircam_flats.simulation._random import Stream, generator
from nircam_flats.simulation.geometry import FULL_SIZE, displaced

__all__ = ["Sources", "sky_level", "telescope_pointing", "wisp_level", "wisp_shape"]

FRAME = 63.5
"""Side of a SW frame, arcsec; dithers are parts of it."""
SUN = (36.2, 14.4)
"""Right ascension and declination of the Sun on the date of the program, deg."""
FROM_SUN, AROUND_SUN = (95.0, 125.0), (-140.0, 140.0)
"""How far from it, and in which directions (position angles), fields lie, deg. JWST can look 85 to 135 away, and the
Sun moves by one in a day; the south pole is left out."""
DITHER = (0.06, 0.13)
SPARE = 0.02
"""Part of a frame by which the drawn sky is larger than what the dithers show, on each side."""
PER_ARCMIN2 = 250
"""Galaxies brighter than magnitude 28 (AB); their number grows as 10^(0.3 m)."""
SLOPE, REFERENCE_MAGNITUDE = 0.3, 28.0
GALAXY_RANGE = (19.0, 31.0)
STARS_PER_ARCMIN2, STAR_SLOPE, STAR_RANGE = 20, 0.12, (19.5, 27.0)
N_BRIGHT_STARS, BRIGHT_RANGE = 2, (15.0, 16.0)
LARGE_GALAXY_MAGNITUDE, LARGE_GALAXY_RADIUS, LARGE_GALAXY_POINTING = 17.0, 7.7, 1
FAINTEST = 1e-4
"""Surface brightness, MJy/sr, at which the painting of a source stops."""


def telescope_pointing(seed, shape, pointing, dither, dither_range=DITHER):
    """Return right ascension, declination and V3 position angle of V1 (deg) in one dither of one pointing."""
    rng = generator(seed, Stream.POINTING, pointing)
    around, away, pa = rng.uniform(*AROUND_SUN), rng.uniform(*FROM_SUN), rng.uniform(0, 360)
    ra, dec = (angle.to_value("deg").item() for angle in offset_by(*np.radians((*SUN, around, away))))
    if dither is None:
        return ra, dec, pa
    rng = generator(seed, Stream.DITHER, pointing, dither)
    distance = rng.uniform(*dither_range) * FRAME * max(shape) / FULL_SIZE
    angle = np.radians(137.5 * dither + rng.uniform(-15, 15))  # successive ones lie on opposite sides
    return displaced(ra, dec, pa, distance * np.cos(angle), distance * np.sin(angle))


def sky_level(seed, filter, pointing, dither):
    """Return the brightness of the sky in one exposure, MJy/sr; it differs by pointing and drifts with the dithers."""
    rng = generator(seed, Stream.SKY, Filter.all().index(filter), pointing)
    level, drift = rng.uniform(0.85, 1.25), 0.01 * rng.standard_normal()
    rng = generator(seed, Stream.SKY, Filter.all().index(filter), pointing, dither)
    return sky_brightness(filter) * level * (1 + drift * np.arctan(dither / 3) * 3 + 0.003 * rng.standard_normal())


@frozen(kw_only=True, eq=False)
class Sources(HoldsArrays):
    """Stars and galaxies of the sky around one pointing, an item of each array for a source.

    Attributes
    ----------
    kind
        0 for stars, 1 for exponential, 2 for de Vaucouleurs profiles.
    ra, dec
        Position, deg.
    magnitude, color
        AB magnitude at 2 um, and how much it grows per doubling of the wavelength.
    radius
        Half-light radius along the major axis, arcsec (0 for stars).
    axis_ratio, angle
        Minor to major axis, and the direction of the major axis against the rows, rad.
    """

    kind: np.ndarray = image(np.int64, ndim=1)
    ra: np.ndarray = image(np.float64, ndim=1)
    dec: np.ndarray = image(np.float64, ndim=1)
    magnitude: np.ndarray = image(np.float64, ndim=1)
    color: np.ndarray = image(np.float64, ndim=1)
    radius: np.ndarray = image(np.float64, ndim=1)
    axis_ratio: np.ndarray = image(np.float64, ndim=1)
    angle: np.ndarray = image(np.float64, ndim=1)

    @classmethod
    def draw(cls, geometry, seed, pointing, effects, *, star_density=STARS_PER_ARCMIN2, dither_range=DITHER):
        """Draw what a detector can see around a pointing, in all its dithers."""
        detector = geometry.detector.sca_id
        parts = []
        if effects.sources:
            rng = generator(seed, Stream.SOURCES, detector, pointing)
            parts.append(_field_sources(geometry, rng, star_density, dither_range[1] + SPARE))
        if effects.saturated_star:
            parts.append(_bright_stars(geometry, generator(seed, Stream.BRIGHT_STARS, detector, pointing)))
        if effects.large_galaxy and pointing == LARGE_GALAXY_POINTING:
            parts.append(_large_galaxy(geometry, generator(seed, Stream.LARGE_GALAXY, detector)))
        return cls._from_parts(parts, geometry, seed, pointing)

    @classmethod
    def saturated(cls, geometry, seed, pointing):
        """Draw the saturated stars alone."""
        rng = generator(seed, Stream.BRIGHT_STARS, geometry.detector.sca_id, pointing)
        return cls._from_parts([_bright_stars(geometry, rng)], geometry, seed, pointing)

    @classmethod
    def _from_parts(cls, parts, geometry, seed, pointing):
        """Join columns of sources whose places are pixels of a frame that has not been dithered."""
        names = ("kind", "x", "y", "magnitude", "color", "radius", "axis_ratio", "angle")
        columns = {name: np.concatenate([part[name] for part in parts] or [np.zeros(0)]) for name in names}
        centre = geometry.pointing(*telescope_pointing(seed, geometry.shape, pointing, None))
        columns["ra"], columns["dec"] = geometry.to_sky(centre, columns.pop("x"), columns.pop("y"))
        return cls(**columns | {"kind": columns["kind"].astype(np.int64)})

    def flux(self, filter):
        """Flux of each source in a filter, Jy."""
        doublings = np.log2(filter.pivot.to_value("um") / 2)
        return 3631 * 10 ** (-0.4 * (self.magnitude + self.color * doublings))

    def light(self, geometry, pointing, filter):
        """Return the image of the sources: float32, MJy/sr times `FrameGeometry.area`.

        So the flux of a star is the sum over pixels of this image times the nominal pixel area.
        """
        picture = np.zeros(geometry.shape, np.float32)
        if not self.kind.size:
            return picture
        x, y = geometry.to_pixel(pointing, self.ra, self.dec)
        total = self.flux(filter) / geometry.pixel_area.to_value("sr") * 1e-6
        pixel = geometry.detector.pixel_scale.to_value("arcsec")
        fwhm = np.hypot(0.033 * filter.pivot.to_value("um") / pixel, 0.9)  # diffraction, and the pixel itself
        star = self.kind == STAR
        radius = np.where(star, fwhm / 1.394, np.maximum(self.radius / pixel, 0.2))
        reach = _reach(self.kind, total, radius, self.axis_ratio)
        paint(picture, self.kind, x, y, total, radius, self.axis_ratio, self.angle, fwhm / 2, reach)
        return picture


def _reach(kind, total, radius, axis_ratio):
    """Pixels from its centre at which a source has faded to FAINTEST (between 5 and a limit by its kind)."""
    star = 0.75 / np.pi * total / (FAINTEST * radius**2)
    middle = 0.25 * total / (FAINTEST * np.pi * radius**2 * axis_ratio)
    folds = np.log(np.maximum(middle, 1))
    of_kind = [star ** (1 / 3.5), np.minimum(1 + folds / 1.678, 8), np.minimum((1 + folds / 7.669) ** 4, 10)]
    return np.ceil(np.clip(radius * np.choose(kind, of_kind), 5, 1000)).astype(np.int64)


def _power_law(rng, n, slope, bounds):
    """Magnitudes whose number grows as 10^(slope m) between ``bounds``."""
    low, high = 10 ** (slope * np.array(bounds))
    return np.log10(rng.uniform(low, high, n)) / slope


def _field_sources(geometry, rng, star_density, reach):
    n_y, n_x = geometry.shape
    margin = reach * max(geometry.shape) + 60
    area = (n_x + 2 * margin) * (n_y + 2 * margin) * geometry.pixel_area.to_value("arcmin2")
    low, high = 10 ** (SLOPE * (np.array(GALAXY_RANGE) - REFERENCE_MAGNITUDE))
    n_galaxies = rng.poisson(PER_ARCMIN2 * (high - low) * area)
    n_stars = rng.poisson(star_density * area)
    n = n_galaxies + n_stars
    star = np.arange(n) >= n_galaxies
    magnitude = np.concatenate(
        [_power_law(rng, n_galaxies, SLOPE, GALAXY_RANGE), _power_law(rng, n_stars, STAR_SLOPE, STAR_RANGE)]
    )
    radius = 0.17 * 10 ** (-0.09 * (magnitude - REFERENCE_MAGNITUDE)) * np.exp(0.4 * rng.standard_normal(n))
    return {
        "kind": np.where(star, STAR, np.where(rng.random(n) < 0.8, EXPONENTIAL, DE_VAUCOULEURS)),
        "x": rng.uniform(-margin, n_x + margin, n),
        "y": rng.uniform(-margin, n_y + margin, n),
        "magnitude": magnitude,
        "color": 0.3 * rng.standard_normal(n),
        "radius": np.where(star, 0, radius),
        "axis_ratio": np.where(star, 1, rng.uniform(0.3, 1, n)),
        "angle": rng.uniform(0, np.pi, n),
    }


def _bright_stars(geometry, rng):
    """Stars near the middle, so that they are in the frame in every dither; fainter where the frame is small."""
    n_y, n_x = geometry.shape
    n = N_BRIGHT_STARS
    return {
        "kind": np.full(n, STAR),
        "x": n_x * rng.uniform(0.25, 0.75, n),
        "y": n_y * rng.uniform(0.25, 0.75, n),
        "magnitude": rng.uniform(*BRIGHT_RANGE, n) + 2.5 * np.log10(FULL_SIZE / max(geometry.shape)),
        "color": np.zeros(n),
        "radius": np.zeros(n),
        "axis_ratio": np.ones(n),
        "angle": np.zeros(n),
    }


def _large_galaxy(geometry, rng):
    """A galaxy with the half-light radius of 250 SW pixels, or the same part of a smaller frame."""
    part = max(geometry.shape) / FULL_SIZE
    return {
        "kind": np.array([EXPONENTIAL]),
        "x": geometry.shape[1] * rng.uniform(0.35, 0.65, 1),
        "y": geometry.shape[0] * rng.uniform(0.35, 0.65, 1),
        "magnitude": np.array([LARGE_GALAXY_MAGNITUDE - 5 * np.log10(part)]),
        "color": np.zeros(1),
        "radius": np.array([LARGE_GALAXY_RADIUS * part]),
        "axis_ratio": rng.uniform(0.5, 0.8, 1),
        "angle": rng.uniform(0, np.pi, 1),
    }


def persistence_patches(geometry, seed, pointing, dither, sky, dither_range=DITHER):
    """Return what glows where saturated stars were in the dithers before: tuples (x, y, level in MJy/sr, radius).

    The glow starts at half the sky's brightness and falls by a factor of three from exposure to exposure.
    """
    stars = Sources.saturated(geometry, seed, pointing)
    patches = []
    for ago in (1, 2, 3):
        if dither >= ago:
            before = geometry.pointing(*telescope_pointing(seed, geometry.shape, pointing, dither - ago, dither_range))
            positions = zip(*geometry.to_pixel(before, stars.ra, stars.dec), strict=True)
            patches += [
                (x, y, 0.5 * sky / 3 ** (ago - 1), max(8 * max(geometry.shape) / FULL_SIZE, 2)) for x, y in positions
            ]
    return patches


def add_patches(picture, patches, area):
    """Add round Gaussian patches (x, y, level, radius) times ``area`` to ``picture``, in place."""
    for x, y, level, radius in patches:
        n = int(np.ceil(4 * radius))
        rows = np.arange(max(0, int(y) - n), min(picture.shape[0], int(y) + n + 1))
        columns = np.arange(max(0, int(x) - n), min(picture.shape[1], int(x) + n + 1))
        if rows.size and columns.size:
            along_y, along_x = (np.exp(-0.5 * ((at - c) / radius) ** 2) for at, c in ((rows, y), (columns, x)))
            here = np.ix_(rows, columns)
            picture[here] += area[here] * (level * np.outer(along_y, along_x)).astype(np.float32)


def wisp_shape(seed, detector, shape):
    """Return the wisp of a detector, 1 at its brightest: a bent filament with some texture. None without wisps."""
    if not detector.has_wisps:
        return None
    rng = generator(seed, Stream.WISP_SHAPE, detector.sca_id)
    x0, y0, bend = rng.uniform(0.35, 0.65), rng.uniform(0.3, 0.7), rng.uniform(-0.6, 0.6)
    angle, width, length = rng.uniform(-0.5, 0.5), rng.uniform(0.04, 0.07), rng.uniform(0.18, 0.26)
    ripples, phase = rng.uniform(8, 14), rng.uniform(0, 2 * np.pi)
    y, x = (((np.arange(n) + 0.5) / n).astype(np.float32) for n in shape)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along = np.add.outer(s * (y - np.float32(y0)), c * (x - np.float32(x0)))
    across = np.add.outer(c * (y - np.float32(y0)), -s * (x - np.float32(x0))) - np.float32(bend) * along**2
    texture = 1 + np.float32(0.25) * np.sin(np.float32(2 * np.pi * ripples) * (along + across) + np.float32(phase))
    wisp = np.exp(-0.5 * ((along / np.float32(length)) ** 2 + (across / np.float32(width)) ** 2)) * texture
    return readonly(wisp / wisp.max())


def wisp_level(seed, detector, filter, pointing, dither, between=None):
    """Return the brightness of a wisp at its brightest in one exposure, in units of the sky.

    0.05 to 0.2 by default, with a mean for each filter; or ``between`` (lowest, highest), in all filters alike.
    """
    number = Filter.all().index(filter)
    of_filter = generator(seed, Stream.WISP_LEVEL, detector.sca_id, number).uniform(0.08, 0.14)
    strength = generator(seed, Stream.WISP_LEVEL, detector.sca_id, number, pointing, dither)
    return of_filter * strength.uniform(0.65, 1.4) if between is None else strength.uniform(*between)
