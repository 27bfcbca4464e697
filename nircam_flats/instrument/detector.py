"""The ten NIRCam detectors."""

from functools import cache
from typing import Self

import numpy as np
from astropy import units as u
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, choice, quantity
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.instrument._tables import packaged_table

__all__ = ["Detector"]

WISP_DETECTORS = ("NRCA3", "NRCA4", "NRCB3", "NRCB4")
"""Sunnquist et al. 2022 (JWST-STScI-008304), section 3.5."""
N_AMPLIFIERS = 4
"""A full frame is read by four amplifiers, each a quarter of the columns, which share part of their 1/f noise."""
CLAW_DETECTORS = ("NRCA1", "NRCA3", "NRCB1", "NRCB2", "NRCB4")
"""The same, section 3.6."""


def to_detector(value: "Detector | str | int") -> "Detector":
    """Convert to a `Detector`, as a named function: so type checkers know what a field takes."""
    return Detector.get(value)


@frozen(kw_only=True)
class Detector(HoldsArrays):
    """One of the ten NIRCam detectors (sensor chip assemblies); `Detector.get` finds it by any of its names.

    Geometry is that of the SIAF aperture ``<SCA>_FULL`` (PRDOPSSOC-075), in the science orientation.

    Attributes
    ----------
    name
        Value of the header keyword DETECTOR: NRCA1 ... NRCA4, NRCALONG, NRCB1 ... NRCB4, NRCBLONG.
    sca_id
        Number of the chip assembly, 481 to 490.
    module, channel
        'A' or 'B'; 'SW' (0.6-2.3 um) or 'LW' (2.4-5.0 um).
    shape
        Rows and columns of a full frame.
    pixel_scale
        Mean side of a pixel at the reference point, arcsec.
    v2_ref, v3_ref, v3_idl_y_angle, v_idl_parity
        Reference point of the aperture in the telescope frame, the angle from V3 to the ideal y axis, and
        the sense of V2 against ideal x.
    x_scale, y_scale
        Sides of the reference pixel, arcsec.
    corners
        V2 and V3 of the four corners, arcsec, shape (4, 2), from pixel (1, 1) counter-clockwise in the
        science frame.
    fast_axis, slow_axis
        Directions of the readout in the science frame, as FASTAXIS and SLOWAXIS give them.

    Examples
    --------
    >>> from nircam_flats import Detector
    >>> Detector.get("B4").name, Detector.get(489).label, Detector.get("NRCA5").name
    ('NRCB4', 'B4', 'NRCALONG')
    """

    name: str = field()
    sca_id: int = field(eq=False)
    module: str = choice("A", "B")
    channel: str = choice("SW", "LW")
    shape: tuple[int, int] = field(eq=False, repr=False)
    v2_ref: u.Quantity = quantity(u.arcsec, repr=False)
    v3_ref: u.Quantity = quantity(u.arcsec, repr=False)
    v3_idl_y_angle: u.Quantity = quantity(u.deg, repr=False)
    v_idl_parity: int = field(eq=False, repr=False)
    x_scale: u.Quantity = quantity(u.arcsec, repr=False)
    y_scale: u.Quantity = quantity(u.arcsec, repr=False)
    fast_axis: int = field(eq=False, repr=False)
    slow_axis: int = field(eq=False, repr=False)
    corners: u.Quantity = quantity(u.arcsec, ndim=2, eq=False, repr=False)

    def __str__(self):
        return self.name

    @property
    def label(self) -> str:
        """Short name: A1 ... A4, ALONG, B1 ... B4, BLONG."""
        return self.name.removeprefix("NRC")

    @property
    def aperture(self) -> str:
        """Name of the full-frame SIAF aperture, such as NRCA5_FULL."""
        return self.name.replace("LONG", "5") + "_FULL"

    @property
    def has_wisps(self) -> bool:
        """Whether wisps fall on it, light scattered off the supports of the secondary mirror: A3, A4, B3, B4."""
        return self.name in WISP_DETECTORS

    @property
    def has_claws(self) -> bool:
        """Whether claws fall on it, light of bright stars far away: A1, A3, B1, B2, B4; never on the LW detectors."""
        return self.name in CLAW_DETECTORS

    @property
    def pixel_scale(self) -> u.Quantity:
        """Geometric mean of `x_scale` and `y_scale`."""
        return np.sqrt(self.x_scale * self.y_scale)

    @classmethod
    def get(cls, detector: "Detector | str | int") -> Self:
        """Return the detector known by ``detector``.

        Parameters
        ----------
        detector
            A `Detector`, a header value ('NRCB4', 'NRCALONG'), a label ('B4', 'ALONG', 'A5'), or a chip
            number (489, '489'). Upper and lower case are the same.

        Raises
        ------
        InvalidInputError
            If no detector has that name.
        """
        if isinstance(detector, cls):
            return detector
        found = _synonyms().get(str(detector).strip().upper())
        if found is None:
            known = ", ".join(item.name for item in cls.all())
            raise InvalidInputError(
                f"Detector must be one of {known} (or a label such as B4, or 481-490); got {detector!r}"
            )
        return found

    @classmethod
    def all(cls) -> tuple:
        """Return the ten detectors as a tuple, in the order of their chip numbers."""
        return _all_detectors()


def _from_row(row):
    corners = [u.Quantity([row[f"{axis}_corner_{i}"] for axis in ("v2", "v3")]) for i in (1, 2, 3, 4)]
    # The science frame is the readout frame mirrored in x (parity -1) and, on half of the detectors, turned
    # by 180 degrees (det_sci_y_angle): so one of the two axes runs against the readout on every one of them.
    turned = row["det_sci_y_angle"].to_value(u.deg) == 180
    return Detector(
        name=str(row["name"]),
        sca_id=int(row["sca_id"]),
        module=str(row["module"]),
        channel=str(row["channel"]),
        shape=(int(row["ny"]), int(row["nx"])),
        v2_ref=row["v2_ref"],
        v3_ref=row["v3_ref"],
        v3_idl_y_angle=row["v3_idl_y_angle"],
        v_idl_parity=int(row["v_idl_parity"]),
        x_scale=row["x_scale"],
        y_scale=row["y_scale"],
        fast_axis=1 if turned else -1,
        slow_axis=-2 if turned else 2,
        corners=u.Quantity(corners),
    )


@cache
def _all_detectors():
    return tuple(_from_row(row) for row in packaged_table("detectors"))


@cache
def _synonyms():
    names = {}
    for detector in _all_detectors():
        numbered = detector.label.replace("LONG", "5")
        for name in (detector.name, detector.label, numbered, f"NRC{numbered}", str(detector.sca_id)):
            names[name] = detector
    return names
