"""The zodiacal dust seen from near the Earth: the smooth cloud of Kelsall et al. 1998 (ApJ 508, 44).

Its density falls with the distance r from the cloud's centre and, as a widened fan, with the height over its symmetry
plane, which is tilted against the ecliptic; their Tables 1 and 2 give the numbers. Distances are in au, directions in
ecliptic coordinates (J2000).
"""

import numpy as np
from attrs import frozen

from nircam_flats._fields import HoldsArrays, image

__all__ = ["LineOfSight", "black_body", "ecliptic_vector", "sun"]

OBLIQUITY = np.radians(23.4392911)
PRECESSION = np.radians(1.396971) / 36525
"""Of the equinox, radians per day."""
J2000 = 2451545.0

DENSITY = 1.13e-7
RADIAL_POWER = 1.34
VERTICAL_SHAPE, VERTICAL_POWER, WIDENING = 4.14, 0.942, 0.189
INCLINATION, NODE = np.radians(2.03), np.radians(77.7)
CENTRE = np.array([0.0119, 0.00548, -0.00215])
OUTER_EDGE = 5.2
TEMPERATURE, COOLING = 286.0, 0.467
"""K at 1 au, and how fast it falls: r^-0.467."""
PHASE_FUNCTIONS = {1.25: (-0.942, 0.121, -0.165), 2.2: (-0.527, 0.187, -0.598), 3.5: (-0.431, 0.172, -0.633)}
"""C0, C1, C2 of C0 + C1 t + exp(C2 t), t the scattering angle, by wavelength (um)."""

PLANCK, LIGHT, BOLTZMANN = 6.62607015e-34, 299792458.0, 1.380649e-23
NODES, WEIGHTS = np.polynomial.legendre.leggauss(60)


def ecliptic_vector(coordinate):
    """Return the unit vector of a `~astropy.coordinates.SkyCoord` (ICRS) in ecliptic coordinates."""
    x, y, z = coordinate.cartesian.xyz.value
    c, s = np.cos(OBLIQUITY), np.sin(OBLIQUITY)
    return np.array([x, c * y + s * z, c * z - s * y])


def sun(date):
    """Return the ecliptic longitude (J2000, rad) and the distance (au) of the Sun at a `~astropy.time.Time`.

    The low-precision formulae of the Astronomical Almanac, good to 0.01 degree; they need no tables of the Earth's
    rotation.
    """
    days = date.utc.jd - J2000
    anomaly = np.radians((357.528 + 0.9856003 * days) % 360)
    mean = np.radians((280.460 + 0.9856474 * days) % 360)
    equation = np.radians(1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    distance = 1.00014 - 0.01671 * np.cos(anomaly) - 0.00014 * np.cos(2 * anomaly)
    return mean + equation - PRECESSION * days, distance


def black_body(wavelength, temperature):
    """Return the brightness of a black body, MJy/sr, at wavelengths in um; both broadcast."""
    frequency = LIGHT / (np.asarray(wavelength) * 1e-6)
    photon = PLANCK * frequency / (BOLTZMANN * temperature)
    return 2 * PLANCK * frequency**3 / LIGHT**2 / np.expm1(photon) * 1e20


@frozen(kw_only=True, eq=False)
class LineOfSight(HoldsArrays):
    """The dust along one direction, at the nodes of a quadrature.

    Attributes
    ----------
    dust
        Density times the length that the node stands for.
    sun_distance
        au.
    scattering_angle
        By which sunlight is turned towards us, rad.
    """

    dust: np.ndarray = image(np.float64, ndim=1)
    sun_distance: np.ndarray = image(np.float64, ndim=1)
    scattering_angle: np.ndarray = image(np.float64, ndim=1)

    @classmethod
    def towards(cls, direction, date):
        """Return the line of sight along a unit vector (ecliptic) at a `~astropy.time.Time`."""
        longitude, distance = sun(date)
        observer = -distance * np.array([np.cos(longitude), np.sin(longitude), 0.0])
        along = observer @ direction
        end = -along + np.sqrt(along**2 - distance**2 + OUTER_EDGE**2)
        step = (NODES + 1) / 2  # nodes crowd near the observer, where most of the light comes from
        length, width = end * step**3, WEIGHTS / 2 * end * 3 * step**2
        place = observer[:, np.newaxis] + direction[:, np.newaxis] * length
        sun_distance = np.sqrt((place**2).sum(axis=0))
        turned = np.arccos(np.clip(-direction @ place / sun_distance, -1, 1))
        return cls(dust=_density(place) * width, sun_distance=sun_distance, scattering_angle=turned)

    def scattered(self, wavelength):
        """Return the geometry of scattered sunlight at wavelengths (um): int n r^-2 Phi(t) ds, times 10^6.

        The phase function Phi is normalised over the sphere; it is given at three wavelengths and interpolated.
        """
        amounts = [
            1e6 * (self.dust / self.sun_distance**2 * _phase(self.scattering_angle, *numbers)).sum()
            for numbers in PHASE_FUNCTIONS.values()
        ]
        return np.interp(wavelength, list(PHASE_FUNCTIONS), amounts)

    def emitted(self, wavelength):
        """Return the thermal light of the dust at wavelengths (um) for an emissivity of 1, MJy/sr."""
        temperature = TEMPERATURE * self.sun_distance**-COOLING
        return black_body(np.asarray(wavelength)[..., np.newaxis], temperature) @ self.dust


def _density(place):
    from_centre = place - CENTRE[:, np.newaxis]
    distance = np.sqrt((from_centre**2).sum(axis=0))
    s, c = np.sin(INCLINATION), np.cos(INCLINATION)
    height = s * np.sin(NODE) * from_centre[0] - s * np.cos(NODE) * from_centre[1] + c * from_centre[2]
    slope = np.abs(height / distance)
    fan = np.where(slope < WIDENING, slope**2 / (2 * WIDENING), slope - WIDENING / 2)
    return DENSITY * distance**-RADIAL_POWER * np.exp(-VERTICAL_SHAPE * fan**VERTICAL_POWER)


def _phase(angle, c0, c1, c2):
    total = 2 * np.pi * (2 * c0 + np.pi * c1 + (1 + np.exp(np.pi * c2)) / (1 + c2**2))
    return (c0 + c1 * angle + np.exp(c2 * angle)) / total
