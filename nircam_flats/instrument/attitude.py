"""How the telescope is turned: between the sky and the telescope's own frame (V2, V3)."""

from typing import Any, Self

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, owned, short_repr
from nircam_flats.exceptions import InvalidInputError

__all__ = ["Attitude", "radians_of", "unit_vectors"]


def radians_of(value, place):
    """Return the angle ``value``, a Quantity, as plain radians.

    Raises
    ------
    InvalidInputError
        If it is no Quantity, no angle, or not finite; the text names ``place``.
    """
    if not isinstance(value, u.Quantity):
        raise InvalidInputError(f"{place} must be a Quantity convertible to 'deg'; got {value!r}")
    try:
        angle = value.to_value(u.rad)
    except u.UnitConversionError:
        raise InvalidInputError(f"{place} must be convertible to 'deg'; got {value!r}") from None
    if not np.all(np.isfinite(angle)):
        raise InvalidInputError(f"{place} must be finite; got {value}")
    return np.asarray(angle, float)


def unit_vectors(longitude, latitude):
    """Return the unit vectors of directions in radians: (cos a cos b, sin a cos b, sin b), the new axis last."""
    longitude, latitude = np.broadcast_arrays(longitude, latitude)
    flat = np.cos(latitude)
    return np.stack([np.cos(longitude) * flat, np.sin(longitude) * flat, np.sin(latitude)], axis=-1)


def _frames(longitude, latitude, angle):
    """Return matrices whose columns are a direction and the two across it: at ``angle`` from north, and 90 deg before.

    The last column points along the position ``angle`` (north over east), the second 90 degrees further to the east.
    """
    longitude, latitude, angle = np.broadcast_arrays(longitude, latitude, angle)
    (ca, sa), (cb, sb) = (np.cos(longitude), np.sin(longitude)), (np.cos(latitude), np.sin(latitude))
    east = np.stack([-sa, ca, np.zeros_like(sa)], axis=-1)
    north = np.stack([-ca * sb, -sa * sb, cb], axis=-1)
    c, s = np.cos(angle)[..., np.newaxis], np.sin(angle)[..., np.newaxis]
    return np.stack([unit_vectors(longitude, latitude), c * east - s * north, s * east + c * north], axis=-1)


def _around(angle):
    """Return an angle in radians as a Quantity from 0 to below 360 deg."""
    degrees = np.degrees(angle) % 360
    return np.where(degrees == 360, 0, degrees) * u.deg  # of a tiny negative number, % makes 360


def _check_rotations(instance, attribute, value):
    if value.shape[-2:] != (3, 3) or not np.allclose(value @ np.swapaxes(value, -1, -2), np.eye(3), atol=1e-9):
        raise InvalidInputError(
            f"Attitude.matrix must hold rotations of shape (3, 3); got an array of shape {value.shape} that does not: "
            "make one with Attitude.from_v1 or Attitude.from_aperture"
        )


@frozen(kw_only=True, eq=False)
class Attitude(HoldsArrays):
    """One or many orientations of the telescope; turns (V2, V3) into sky positions and back.

    V2 and V3 are the longitude and latitude of a direction in the telescope's frame, whose axis V1 is the line of
    sight: its unit vector is (cos V2 cos V3, sin V2 cos V3, sin V3), the convention of the SIAF and of pysiaf. With
    V3 to the north, V2 is to the east.

    Attributes
    ----------
    matrix
        Rotations from telescope to sky vectors, float64, shape (..., 3, 3).

    Notes
    -----
    Attitudes of shape A and points of shape P give results of shape A + P: every attitude with every point.

    Examples
    --------
    >>> from astropy import units as u
    >>> from nircam_flats import Attitude
    >>> attitude = Attitude.from_v1(10 * u.deg, 20 * u.deg, 30 * u.deg)
    >>> ra, dec = attitude.to_sky(0 * u.deg, 10 * u.deg)  # ten degrees along V3, 30 degrees east of north
    >>> print(f"{ra:.2f} {dec:.2f}")
    15.67 deg 28.56 deg
    >>> v2, v3 = attitude.to_telescope(ra, dec)
    >>> print(f"{v3:.2f}")
    10.00 deg
    """

    matrix: np.ndarray = field(converter=lambda value: owned(value, float), validator=_check_rotations, repr=short_repr)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the array of attitudes; () for one."""
        return self.matrix.shape[:-2]

    @classmethod
    def from_v1(cls, ra: u.Quantity, dec: u.Quantity, pa_v3: u.Quantity) -> Self:
        """Return the attitude with V1 at (``ra``, ``dec``) and V3 at the position angle ``pa_v3`` there.

        Parameters
        ----------
        ra, dec, pa_v3
            Quantities that broadcast; header keywords RA_V1, DEC_V1, PA_V3.

        Raises
        ------
        InvalidInputError
            If one is no finite angle.
        """
        zero = 0 * u.deg
        return cls.from_aperture(ra, dec, zero, zero, roll=pa_v3)

    @classmethod
    def from_aperture(
        cls,
        ra: u.Quantity,
        dec: u.Quantity,
        v2: u.Quantity,
        v3: u.Quantity,
        *,
        roll: u.Quantity | None = None,
        pa_v3: u.Quantity | None = None,
    ) -> Self:
        """Return the attitude that puts the telescope's point (``v2``, ``v3``) at (``ra``, ``dec``).

        The position angle of V3 differs over the field, by more the nearer to a pole; so say where it is meant.

        Parameters
        ----------
        ra, dec, v2, v3
            Quantities that broadcast; header keywords RA_REF, DEC_REF, V2_REF, V3_REF.
        roll
            Position angle of V3 at the point itself, as ROLL_REF gives it.
        pa_v3
            Position angle of V3 at V1, as PA_V3 gives it. Give one of the two.

        Raises
        ------
        InvalidInputError
            If one is no finite angle, not exactly one of ``roll`` and ``pa_v3`` is given, or the point lies so close
            to a pole that V3 cannot have that angle at V1.
        """
        if (roll is None) == (pa_v3 is None):
            raise InvalidInputError(
                "Attitude.from_aperture: needed one of roll (V3 at the aperture, ROLL_REF) and pa_v3 (V3 at V1, "
                f"PA_V3); got {'neither' if roll is None else 'both'}"
            )
        names = {"ra": ra, "dec": dec, "v2": v2, "v3": v3}
        ra, dec, v2, v3 = (radians_of(value, f"Attitude.from_aperture: {name}") for name, value in names.items())
        if np.any(np.abs(dec) > np.pi / 2 + 1e-12):
            raise InvalidInputError(f"Attitude.from_aperture: dec must be within -90 to 90 deg; got {names['dec']}")
        if roll is not None:
            angle = radians_of(roll, "Attitude.from_aperture: roll")
            return cls(matrix=_frames(ra, dec, angle) @ np.swapaxes(_frames(v2, v3, 0.0), -1, -2))
        angle = radians_of(pa_v3, "Attitude.from_aperture: pa_v3")
        ra_v1, dec_v1 = _v1_of(ra, dec, v2, v3, angle)
        return cls(matrix=_frames(ra_v1, dec_v1, angle))

    def to_sky(self, v2: u.Quantity, v3: u.Quantity) -> tuple:
        """Return right ascension (0 to 360 deg) and declination of telescope positions.

        Parameters
        ----------
        v2, v3
            Quantities that broadcast.

        Raises
        ------
        InvalidInputError
            If one is no finite angle.
        """
        v2, v3 = radians_of(v2, "Attitude.to_sky: v2"), radians_of(v3, "Attitude.to_sky: v3")
        x, y, z = self._turned(self.matrix, unit_vectors(v2, v3))
        return _around(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y))) * u.deg

    def to_coordinates(self, v2: u.Quantity, v3: u.Quantity) -> Any:
        """Return the `~astropy.coordinates.SkyCoord` of telescope positions; as `to_sky` otherwise."""
        return SkyCoord(*self.to_sky(v2, v3))

    def to_telescope(self, ra: u.Quantity, dec: u.Quantity) -> tuple:
        """Return V2 (-180 to 180 deg) and V3 of sky positions.

        Parameters
        ----------
        ra, dec
            Quantities that broadcast. At a pole any ``ra`` means the same.

        Raises
        ------
        InvalidInputError
            If one is no finite angle.
        """
        ra, dec = radians_of(ra, "Attitude.to_telescope: ra"), radians_of(dec, "Attitude.to_telescope: dec")
        x, y, z = self._turned(np.swapaxes(self.matrix, -1, -2), unit_vectors(ra, dec))
        return np.degrees(np.arctan2(y, x)) * u.deg, np.degrees(np.arctan2(z, np.hypot(x, y))) * u.deg

    def roll_at(self, v2: u.Quantity, v3: u.Quantity) -> u.Quantity:
        """Return the position angle of V3, 0 to 360 deg, north over east, at telescope positions.

        At (0, 0) it is PA_V3, at the reference point of an aperture its ROLL_REF.

        Parameters
        ----------
        v2, v3
            Quantities that broadcast.

        Raises
        ------
        InvalidInputError
            If one is no finite angle.
        """
        v2, v3 = radians_of(v2, "Attitude.roll_at: v2"), radians_of(v3, "Attitude.roll_at: v3")
        x, y, z = self._turned(self.matrix, unit_vectors(v2, v3))
        along = self._turned(self.matrix, _frames(v2, v3, 0.0)[..., 2])
        ra = np.arctan2(y, x)
        east = along[1] * np.cos(ra) - along[0] * np.sin(ra)
        north = along[2] * np.hypot(x, y) - z * (along[0] * np.cos(ra) + along[1] * np.sin(ra))
        return _around(np.arctan2(east, north))

    @property
    def v1(self) -> tuple:
        """Right ascension and declination of V1, and the position angle of V3 there."""
        zero = 0 * u.deg
        return *self.to_sky(zero, zero), self.roll_at(zero, zero)

    @staticmethod
    def _turned(matrices, vectors):
        """Return the three components of ``matrices @ vectors``, every matrix with every vector."""
        turned = np.tensordot(matrices, vectors, axes=(-1, -1))
        return np.moveaxis(turned, matrices.ndim - 2, 0)


def _v1_of(ra, dec, v2, v3, pa_v3):
    """Return where V1 must point to have V3 at ``pa_v3`` there and (v2, v3) at (ra, dec), all in radians.

    The triangle of pole, V1 and point has the sides 90 deg - dec and d, the distance from V1, and at V1 the angle
    ``bearing``; sines and cosines of its sides give the rest.
    """
    across, along = np.sin(v2) * np.cos(v3), np.sin(v3)
    cos_d, sin_d = np.cos(v2) * np.cos(v3), np.hypot(across, along)
    bearing = pa_v3 + np.arctan2(across, along)
    toward = sin_d * np.cos(bearing)
    height = np.sin(dec) / np.hypot(cos_d, toward)
    dec_v1 = np.arcsin(np.clip(height, -1, 1)) - np.arctan2(toward, cos_d)
    if np.any(np.abs(height) > 1) or np.any(np.abs(dec_v1) > np.pi / 2):
        raise InvalidInputError(
            "Attitude.from_aperture: pa_v3 must be an angle that V3 can have at V1 with the point where it is; so "
            "close to a pole not all are: give the position angle at the aperture, roll="
        )
    step = np.arctan2(sin_d * np.sin(bearing), np.cos(dec_v1) * cos_d - np.sin(dec_v1) * toward)
    return ra - step, dec_v1
