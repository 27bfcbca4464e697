"""Where an exposure looked: the reference point of its own aperture, on the sky and in the telescope frame."""

from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, quantity
from nircam_flats._files import read_keyword
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.instrument import Attitude

__all__ = ["POINTING_KEYWORDS", "Pointing"]

# One table maps the fields to the keywords of the SCI header and their units.  (Keywords of the same names in the
# primary header belong to the guider's aperture.)
_KEYWORDS = {
    "ra_ref": ("RA_REF", u.deg),
    "dec_ref": ("DEC_REF", u.deg),
    "roll_ref": ("ROLL_REF", u.deg),
    "v2_ref": ("V2_REF", u.arcsec),
    "v3_ref": ("V3_REF", u.arcsec),
    "v3_idl_y_angle": ("V3I_YANG", u.deg),
    "v_idl_parity": ("VPARITY", None),
    "ra_v1": ("RA_V1", u.deg),
    "dec_v1": ("DEC_V1", u.deg),
    "pa_v3": ("PA_V3", u.deg),
}
_OPTIONAL = ("ra_v1", "dec_v1", "pa_v3")
POINTING_KEYWORDS = tuple(keyword for keyword, _ in _KEYWORDS.values())

_AGREEMENT = 10 * u.mas
"""A third of a short-wavelength pixel: what RA_V1, DEC_V1, PA_V3 and RA_REF, DEC_REF, ROLL_REF may differ by."""
_TURN = 0.0001 * u.deg
"""The same for PA_V3 and ROLL_REF: it moves a star 10 deg away by 60 mas."""


@frozen(kw_only=True)
class Pointing(HoldsArrays):
    """Pointing of one exposure, for the aperture that took it.

    Attributes
    ----------
    ra_ref, dec_ref
        Sky position (ICRS) of the aperture's reference point, deg.
    roll_ref
        Position angle of the V3 axis at the reference point, north over east, deg.
    v2_ref, v3_ref
        Reference point in the telescope frame, arcsec.
    v3_idl_y_angle
        Angle from the V3 axis to the ideal y axis, deg.
    v_idl_parity
        Sense of V2 against ideal x; -1 on NIRCam.
    ra_v1, dec_v1
        Sky position of the telescope's V1 axis, deg; None if not known.
    pa_v3
        Position angle of the V3 axis at V1, deg; None if not known. It differs from `roll_ref`, by some
        hundredths of a degree at low declinations and by more towards the poles.
    """

    ra_ref: u.Quantity = quantity(u.deg)
    dec_ref: u.Quantity = quantity(u.deg)
    roll_ref: u.Quantity = quantity(u.deg)
    v2_ref: u.Quantity = quantity(u.arcsec)
    v3_ref: u.Quantity = quantity(u.arcsec)
    v3_idl_y_angle: u.Quantity = quantity(u.deg)
    v_idl_parity: int = field(default=-1)
    ra_v1: u.Quantity | None = quantity(u.deg, optional=True)
    dec_v1: u.Quantity | None = quantity(u.deg, optional=True)
    pa_v3: u.Quantity | None = quantity(u.deg, optional=True)

    def __attrs_post_init__(self):
        if self.v_idl_parity not in (-1, 1):
            raise InvalidInputError(f"Pointing.v_idl_parity must be -1 or 1; got {self.v_idl_parity!r}")
        for name, (keyword, unit) in _KEYWORDS.items():
            value = getattr(self, name)
            most = 90 * u.deg if keyword.startswith("DEC") else 360 * u.deg if unit == u.deg else 1 * u.deg
            if unit is not None and value is not None and not abs(value) <= most:
                raise InvalidInputError(f"Pointing.{name} must be finite and at most {most} from 0; got {value}")

    @classmethod
    def from_header(cls, sci_header: Any, path: str | Path = "SCI header") -> Self | None:
        """Return the pointing that the SCI header of a ``_cal`` file gives; None if it gives none at all.

        Parameters
        ----------
        sci_header
            The header of the extension SCI. The primary header will not do: its V2_REF, V3_REF, ROLL_REF and
            V3I_YANG are those of the guider.
        path
            Named in errors.

        Raises
        ------
        InvalidInputError
            If only some of the keywords are there, or one is not a finite number.
        """
        if not any(keyword in sci_header for keyword in POINTING_KEYWORDS):
            return None
        facts = {}
        for name, (keyword, unit) in _KEYWORDS.items():
            kind = int if unit is None else float
            default = None if name in _OPTIONAL else ...
            value = read_keyword(sci_header, keyword, kind, path, where="SCI header", default=default)
            facts[name] = value if unit is None or value is None else u.Quantity(value, unit)
        try:
            return cls(**facts)
        except InvalidInputError as error:
            raise InvalidInputError(f"{path}: {error}") from None

    @property
    def attitude(self) -> Attitude:
        """The `~nircam_flats.Attitude` of the telescope, from the reference point and its roll."""
        return Attitude.from_aperture(self.ra_ref, self.dec_ref, self.v2_ref, self.v3_ref, roll=self.roll_ref)

    def to_sky(self, x: u.Quantity, y: u.Quantity) -> tuple:
        """Return right ascension and declination of ideal coordinates of the aperture, angles from its reference point.

        Ideal x and y run along the columns and rows of an image; lens distortion is not in them.
        """
        c, s = np.cos(self.v3_idl_y_angle), np.sin(self.v3_idl_y_angle)
        x = self.v_idl_parity * x
        return self.attitude.to_sky(self.v2_ref + x * c + y * s, self.v3_ref - x * s + y * c)

    def to_ideal(self, ra: u.Quantity, dec: u.Quantity) -> tuple:
        """Return the ideal coordinates x and y of sky positions: the inverse of `to_sky`."""
        v2, v3 = self.attitude.to_telescope(ra, dec)
        v2, v3 = v2 - self.v2_ref, v3 - self.v3_ref
        c, s = np.cos(self.v3_idl_y_angle), np.sin(self.v3_idl_y_angle)
        return self.v_idl_parity * (v2 * c - v3 * s), v2 * s + v3 * c

    def check(self) -> tuple:
        """Return what is wrong with the pointing, as a tuple of texts.

        The position and angle of V1 (RA_V1, DEC_V1, PA_V3), where they are known, and those of the reference point
        (RA_REF, DEC_REF, ROLL_REF) must say the same: to 10 mas in the position and 0.0001 deg in the angle.
        """
        if self.ra_v1 is None or self.dec_v1 is None or self.pa_v3 is None:
            return ()
        attitude = Attitude.from_v1(self.ra_v1, self.dec_v1, self.pa_v3)
        place = self.v2_ref, self.v3_ref
        found = []
        there = attitude.to_coordinates(*place)
        apart = there.separation(SkyCoord(self.ra_ref, self.dec_ref))
        if apart > _AGREEMENT:
            found.append(
                "RA_REF, DEC_REF must be where RA_V1, DEC_V1, PA_V3 put V2_REF, V3_REF; got a place "
                f"{apart.to(u.arcsec):.3f} away"
            )
        turned = abs((attitude.roll_at(*place) - self.roll_ref + 180 * u.deg) % (360 * u.deg) - 180 * u.deg)
        if turned > _TURN:
            found.append(
                f"ROLL_REF must be the angle of V3 at V2_REF, V3_REF that PA_V3 makes; got {turned:.5f} off it"
            )
        return tuple(found)

    def to_cards(self) -> dict:
        """Return the SCI header's keywords and their values as a dictionary, without those not known."""
        values = {keyword: (getattr(self, name), unit) for name, (keyword, unit) in _KEYWORDS.items()}
        return {
            keyword: value if unit is None else value.to_value(unit).item()
            for keyword, (value, unit) in values.items()
            if value is not None
        }
