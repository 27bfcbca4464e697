"""Where the pixels of a simulated frame look: distortion, pixel areas, header keywords."""

from functools import cache, cached_property

import numpy as np
from astropy import units as u
from astropy.io import fits
from attrs import field, frozen
from scipy.signal import convolve2d

from nircam_flats._fields import readonly
from nircam_flats.exposure import Pointing
from nircam_flats.instrument import Attitude, Detector
from nircam_flats.instrument._tables import packaged_table
from nircam_flats.instrument.detector import to_detector

__all__ = ["FULL_SIZE", "FrameGeometry", "displaced"]

FULL_SIZE = 2048
ORDER = 5


@cache
def _distortion():
    table = packaged_table("distortion", "nircam_flats.simulation")
    return {str(row["detector"]): row for row in table}


def displaced(ra, dec, pa_v3, v2, v3):
    """Return the telescope pointing (deg) whose V1 lies where (v2, v3), arcsec, was before."""
    attitude, place = Attitude.from_v1(ra * u.deg, dec * u.deg, pa_v3 * u.deg), (v2 * u.arcsec, v3 * u.arcsec)
    angles = *attitude.to_sky(*place), attitude.roll_at(*place)
    return tuple(angle.to_value(u.deg).item() for angle in angles)


def _polynomial(coefficients, u_, v_):
    return np.polynomial.polynomial.polyval2d(u_, v_, coefficients)


@frozen(kw_only=True)
class FrameGeometry:
    """The geometry of a frame of one detector, of any size.

    A small frame is a small detector, not a part of the large one: its pixels are the real ones, but the
    distortion (and so the pixel area) varies as much from edge to edge as over the full frame.

    Attributes
    ----------
    detector
        A `~nircam_flats.Detector`.
    shape
        Rows and columns.
    """

    detector: Detector = field(converter=to_detector, repr=str)
    shape: tuple[int, int] = field()

    @cached_property
    def linear(self):
        """2 x 2 matrix from pixels to ideal coordinates at the reference point, arcsec per pixel."""
        row = _distortion()[self.detector.name]
        matrix = [[row[f"{axis}_{term}"].to_value(u.arcsec / u.pix) for term in ("10", "01")] for axis in "xy"]
        return readonly(np.array(matrix))

    @cached_property
    def sip(self):
        """The two (6, 6) arrays of SIP coefficients A[p, q] and B[p, q] of u^p v^q."""
        row = _distortion()[self.detector.name]
        stretch = FULL_SIZE / max(self.shape)
        pair = np.zeros((2, ORDER + 1, ORDER + 1))
        for letter, coefficients in zip("AB", pair, strict=True):
            for p in range(ORDER + 1):
                for q in range(ORDER + 1 - p):
                    if p + q >= 2:
                        coefficients[p, q] = row[f"{letter}_{p}_{q}"] * stretch ** (p + q - 1)
        return readonly(pair)

    @property
    def reference(self):
        """Reference pixel (x, y), zero-based: the middle of the frame."""
        return (self.shape[1] - 1) / 2, (self.shape[0] - 1) / 2

    @cached_property
    def pixel_area(self):
        """Nominal area of a pixel: that at the reference point."""
        return abs(np.linalg.det(self.linear)) * u.arcsec**2

    @cached_property
    def area(self):
        """Area of each pixel divided by `pixel_area`: float32 image, from the Jacobian of the distortion."""
        a, b = (np.pad(part, ((0, 1), (0, 1))) for part in self.sip)
        a[1, 0] += 1
        b[0, 1] += 1
        powers = np.arange(1, ORDER + 2)

        def by_u(part):
            return part[1:] * powers[:, None]

        def by_v(part):
            return part[:, 1:] * powers

        jacobian = convolve2d(by_u(a), by_v(b)) - convolve2d(by_v(a), by_u(b))
        x, y = (np.arange(n) - (n - 1) / 2 for n in reversed(self.shape))
        rows = np.vander(y, jacobian.shape[1], increasing=True) @ jacobian.T
        columns = np.vander(x, jacobian.shape[0], increasing=True)
        return readonly((rows @ columns.T).astype(np.float32))

    def pointing(self, ra_v1, dec_v1, pa_v3):
        """Return the `~nircam_flats.Pointing` of this frame for a telescope pointing, deg."""
        attitude = Attitude.from_v1(ra_v1 * u.deg, dec_v1 * u.deg, pa_v3 * u.deg)
        place = self.detector.v2_ref, self.detector.v3_ref
        ra, dec = attitude.to_sky(*place)
        return Pointing(
            ra_ref=ra,
            dec_ref=dec,
            roll_ref=attitude.roll_at(*place),
            v2_ref=self.detector.v2_ref,
            v3_ref=self.detector.v3_ref,
            v3_idl_y_angle=self.detector.v3_idl_y_angle,
            v_idl_parity=self.detector.v_idl_parity,
            ra_v1=ra_v1 * u.deg,
            dec_v1=dec_v1 * u.deg,
            pa_v3=pa_v3 * u.deg,
        )

    def cd_matrix(self, pointing):
        """Return the 2 x 2 CD matrix, deg per pixel: ideal coordinates turned by the angle of the aperture."""
        angle = (pointing.roll_ref + pointing.v3_idl_y_angle).to_value(u.rad)
        c, s = np.cos(angle), np.sin(angle)
        return np.array([[pointing.v_idl_parity * c, s], [-pointing.v_idl_parity * s, c]]) @ self.linear / 3600

    def to_sky(self, pointing, x, y):
        """Return right ascension and declination (deg) of zero-based pixels ``x``, ``y``."""
        x0, y0 = self.reference
        du, dv = np.asarray(x, float) - x0, np.asarray(y, float) - y0
        a, b = self.sip
        shifted = np.array([du + _polynomial(a, du, dv), dv + _polynomial(b, du, dv)])
        xi, eta = np.radians(np.tensordot(self.cd_matrix(pointing), shifted, axes=1))
        ra0, dec0 = pointing.ra_ref.to_value(u.rad), pointing.dec_ref.to_value(u.rad)
        below = np.cos(dec0) - eta * np.sin(dec0)
        ra = ra0 + np.arctan2(xi, below)
        dec = np.arctan2(np.sin(dec0) + eta * np.cos(dec0), np.hypot(xi, below))
        return np.degrees(ra) % 360, np.degrees(dec)

    def to_pixel(self, pointing, ra, dec):
        """Return zero-based pixels ``x``, ``y`` of sky positions (deg) near the frame."""
        ra, dec = np.radians(ra), np.radians(dec)
        ra0, dec0 = pointing.ra_ref.to_value(u.rad), pointing.dec_ref.to_value(u.rad)
        depth = np.sin(dec) * np.sin(dec0) + np.cos(dec) * np.cos(dec0) * np.cos(ra - ra0)
        xi = np.cos(dec) * np.sin(ra - ra0) / depth
        eta = (np.sin(dec) * np.cos(dec0) - np.cos(dec) * np.sin(dec0) * np.cos(ra - ra0)) / depth
        plane = np.degrees(np.array([xi, eta]))
        goal_u, goal_v = np.tensordot(np.linalg.inv(self.cd_matrix(pointing)), plane, axes=1)
        a, b = self.sip
        du, dv = goal_u, goal_v
        for _ in range(8):  # the distortion is a few per cent, so each round gains at least a factor of 10
            du, dv = goal_u - _polynomial(a, du, dv), goal_v - _polynomial(b, du, dv)
        x0, y0 = self.reference
        return du + x0, dv + y0

    @cached_property
    def _inverse_sip(self):
        """Coefficients AP, BP of the inverse polynomials, fitted over the frame."""
        half = np.array(self.shape[::-1]) / 2
        grid = np.linspace(-1, 1, 21)
        du, dv = (part.ravel() for part in np.meshgrid(grid * half[0], grid * half[1]))
        a, b = self.sip
        goal_u, goal_v = du + _polynomial(a, du, dv), dv + _polynomial(b, du, dv)
        terms = [(p, q) for p in range(ORDER + 1) for q in range(ORDER + 1 - p) if p + q >= 2]
        s = max(half)
        design = np.stack([(goal_u / s) ** p * (goal_v / s) ** q for p, q in terms], axis=1)
        found = np.linalg.lstsq(design, np.stack([du - goal_u, dv - goal_v], axis=1), rcond=None)[0]
        return {term: value / s ** sum(term) for term, value in zip(terms, found, strict=True)}

    def header(self, pointing):
        """Return the keywords of the WCS (TAN-SIP), the pointing and the pixel area, as SCI headers hold them."""
        n_y, n_x = self.shape
        x, y = np.array([-0.5, -0.5, n_x - 0.5, n_x - 0.5]), np.array([-0.5, n_y - 0.5, n_y - 0.5, -0.5])
        outline = " ".join(f"{value:.9f}" for pair in zip(*self.to_sky(pointing, x, y), strict=True) for value in pair)
        cards = fits.Header()
        x0, y0 = self.reference
        cards["PA_APER"] = (
            (pointing.roll_ref + pointing.v3_idl_y_angle).to_value(u.deg),
            "[deg] Position angle of aperture used",
        )
        cards["PIXAR_SR"] = (self.pixel_area.to_value(u.sr), "Nominal pixel area in steradians")
        cards["PIXAR_A2"] = (self.pixel_area.to_value(u.arcsec**2), "Nominal pixel area in arcsec^2")
        cards["RADESYS"] = ("ICRS", "Name of the coordinate reference frame")
        cards["WCSAXES"] = (2, "Number of World Coordinate System axes")
        cards["CRPIX1"] = (x0 + 1, "Axis 1 pixel coordinate of ref point, 1-indexed")
        cards["CRPIX2"] = (y0 + 1, "Axis 2 pixel coordinate of ref point, 1-indexed")
        cards["CRVAL1"] = (pointing.ra_ref.to_value(u.deg), "Axis 1 coordinate value at reference point")
        cards["CRVAL2"] = (pointing.dec_ref.to_value(u.deg), "Axis 2 coordinate value at reference point")
        cards["CTYPE1"], cards["CTYPE2"] = ("RA---TAN-SIP", "Axis 1 type"), ("DEC--TAN-SIP", "Axis 2 type")
        cards["CUNIT1"], cards["CUNIT2"] = ("deg", "Axis 1 units"), ("deg", "Axis 2 units")
        for (i, j), value in np.ndenumerate(self.cd_matrix(pointing)):
            cards[f"CD{i + 1}_{j + 1}"] = (value, "Linear transformation matrix element")
        cards["S_REGION"] = (f"POLYGON ICRS  {outline}", "Spatial footprint of the observation")
        cards.update(pointing.to_cards())
        for letter in ("A", "B", "AP", "BP"):
            sense = "inverse" if letter.endswith("P") else "forward"
            cards[f"{letter}_ORDER"] = (ORDER, f"Degree of {sense} SIP polynomial")
        for letter, coefficients in zip("AB", self.sip, strict=True):
            for (p, q), value in np.ndenumerate(coefficients):
                if 2 <= p + q <= ORDER:
                    cards[f"{letter}_{p}_{q}"] = (value, "SIP coefficient, forward transform")
        for (p, q), pair in self._inverse_sip.items():
            for letter, value in zip(("AP", "BP"), pair, strict=True):
                cards[f"{letter}_{p}_{q}"] = (value, "SIP coefficient, inverse transform")
        return cards
