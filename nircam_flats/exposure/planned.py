"""Exposures as they are planned: a place on the sky, held at a place in the telescope frame."""

from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, quantity
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.exposure._apt import read_apt_rows
from nircam_flats.exposure.facts import ExposureFacts
from nircam_flats.exposure.pointing import Pointing
from nircam_flats.instrument import Attitude, Detector, Filter

__all__ = ["PlannedPointing"]


def _to_filters(value):
    return tuple(map(Filter.get, (value,) if isinstance(value, str | Filter) else value))


def _to_modules(value):
    modules = tuple(value)
    if not set(modules) <= {"A", "B"}:
        raise InvalidInputError(f"PlannedPointing.modules must be of 'A' and 'B'; got {value!r}")
    return modules


@frozen(kw_only=True)
class PlannedPointing(HoldsArrays):
    """A pointing of the telescope whose roll may still be open.

    Attributes
    ----------
    name
        Of the exposure or dither.
    ra, dec
        Sky position (ICRS), deg, ...
    v2, v3
        ... that lies at this point of the telescope frame, arcsec; the telescope is turned about it.
    roll
        Position angle of V3 at that point (not at V1), deg; None while it is open.
    filters
        The filters used there; none stands for whichever are asked for.
    modules
        The modules used there, of 'A' and 'B'.
    detector
        The detector, if it is one alone.

    Examples
    --------
    >>> from astropy.coordinates import SkyCoord
    >>> from nircam_flats import PlannedPointing
    >>> target = SkyCoord("10h00m28.6s +02d12m21s")
    >>> one, two = PlannedPointing.from_sky(target, "B1", dithers=[(0, 0), (5.1, -3)])
    >>> print(f"{one.v2:.2f}, then {two.v2:.2f}")
    -122.43 arcsec, then -127.55 arcsec
    """

    name: str = field(default="", converter=str)
    ra: u.Quantity = quantity(u.deg)
    dec: u.Quantity = quantity(u.deg)
    v2: u.Quantity = quantity(u.arcsec)
    v3: u.Quantity = quantity(u.arcsec)
    roll: u.Quantity | None = quantity(u.deg, optional=True)
    filters: tuple = field(default=(), converter=_to_filters)
    modules: tuple = field(default=("A", "B"), converter=_to_modules)
    detector: Detector | None = field(
        default=None, converter=lambda item: None if item is None else Detector.get(item), repr=str
    )

    def __attrs_post_init__(self):
        self.attitude(0 * u.deg)  # refuses what is no direction

    @classmethod
    def of(cls, item: Any) -> Self:
        """Return the pointing of anything that has one.

        Parameters
        ----------
        item
            A `PlannedPointing`, a `Pointing`, an `Exposure` or `ExposureHeader`, or one `Attitude`, which is turned
            about V1.

        Raises
        ------
        InvalidInputError
            If it has none; for a `~astropy.coordinates.SkyCoord`, of which `from_sky` makes pointings.
        """
        if isinstance(item, cls):
            return item
        if isinstance(item, ExposureFacts):
            if item.pointing is None:
                raise InvalidInputError(f"PlannedPointing.of: exposure {item.name!r} has no pointing in its SCI header")
            return cls._of_pointing(
                item.pointing,
                name=item.name,
                filters=(item.filter,),
                detector=item.detector,
                modules=item.detector.module,
            )
        if isinstance(item, Pointing):
            return cls._of_pointing(item)
        if isinstance(item, Attitude):
            if item.shape:
                raise InvalidInputError(f"PlannedPointing.of: needed one attitude; got an array of shape {item.shape}")
            ra, dec, roll = item.v1
            return cls(ra=ra, dec=dec, roll=roll, v2=0 * u.arcsec, v3=0 * u.arcsec)
        remedy = "; PlannedPointing.from_sky makes pointings of it" if isinstance(item, SkyCoord) else ""
        raise InvalidInputError(
            "PlannedPointing.of: needed a PlannedPointing, Pointing, Exposure, ExposureHeader or Attitude; got "
            f"{type(item).__name__}{remedy}"
        )

    @classmethod
    def _of_pointing(cls, pointing, **facts):
        place = {"v2": pointing.v2_ref, "v3": pointing.v3_ref}
        return cls(ra=pointing.ra_ref, dec=pointing.dec_ref, roll=pointing.roll_ref, **place, **facts)

    @classmethod
    def from_sky(
        cls,
        coordinates: Any,
        detector: Detector | str | int,
        *,
        dithers: Any = ((0, 0),),
        filters: Any = (),
        modules: Any = ("A", "B"),
    ) -> tuple:
        """Return the pointings that put a target on a detector, moved by each dither, as a tuple.

        Parameters
        ----------
        coordinates
            A `~astropy.coordinates.SkyCoord`, of one target or several.
        detector
            Any name of a detector: the target lies at its reference point, in the middle.
        dithers
            Where the target lies instead: pairs of offsets along the ideal x and y of the detector, arcsec, as APT
            lists them.
        filters, modules
            As in the class.

        Raises
        ------
        InvalidInputError
            If the coordinates are none, or the dithers no pairs of finite numbers.
        """
        if not isinstance(coordinates, SkyCoord):
            needed = "a SkyCoord"
            raise InvalidInputError(f"PlannedPointing.from_sky: needed {needed}; got {type(coordinates).__name__}")
        detector = Detector.get(detector)
        try:
            offsets = u.Quantity(dithers, u.arcsec, dtype=float).to_value(u.arcsec)
        except (TypeError, ValueError) as error:
            raise InvalidInputError(
                f"PlannedPointing.from_sky: dithers must be pairs of x, y in arcsec; got {dithers!r} ({error})"
            ) from None
        if offsets.ndim != 2 or offsets.shape[1] != 2 or not len(offsets) or not np.all(np.isfinite(offsets)):
            raise InvalidInputError(f"PlannedPointing.from_sky: dithers must be pairs of finite x, y; got {dithers!r}")
        angle = detector.v3_idl_y_angle.to_value(u.rad)
        x, y = detector.v_idl_parity * offsets[:, 0], offsets[:, 1]
        v2 = detector.v2_ref + (x * np.cos(angle) + y * np.sin(angle)) * u.arcsec
        v3 = detector.v3_ref + (y * np.cos(angle) - x * np.sin(angle)) * u.arcsec
        targets = coordinates.icrs.reshape(-1)
        return tuple(
            cls(
                name=f"target {i + 1} dither {k + 1}" if len(targets) > 1 else f"dither {k + 1}",
                ra=target.ra,
                dec=target.dec,
                v2=v2[k],
                v3=v3[k],
                filters=filters,
                modules=modules,
            )
            for i, target in enumerate(targets)
            for k in range(len(offsets))
        )

    @classmethod
    def read_apt(cls, path: str | Path, observation: Any = None) -> Any:
        """Return the NIRCam pointings in the ``records.json`` that APT exports, as a tuple.

        Parameters
        ----------
        path
            The file.
        observation
            Number of one observation; by default all.

        Raises
        ------
        InvalidInputError
            If the file is no such export, has no such observation, or no NIRCam imaging in it.

        Notes
        -----
        What looks at one place with the same modules is one pointing, with all its filters. The base of a dither
        pattern, which takes no images, is left out. The roll is open.
        """
        found: dict = {}
        for row in read_apt_rows(path, observation):
            key = tuple(row[name] for name in ("ra", "dec", "v2", "v3", "modules"))
            entry = found.setdefault(key, {"name": row["name"], "filters": []})
            entry["filters"] += [item for item in row["filters"] if item not in entry["filters"]]
        return tuple(
            cls(ra=ra * u.deg, dec=dec * u.deg, v2=v2 * u.arcsec, v3=v3 * u.arcsec, modules=modules, **entry)
            for (ra, dec, v2, v3, modules), entry in found.items()
        )

    def attitude(self, angles: u.Quantity | None = None, *, angle_at: str = "aperture") -> Attitude:
        """Return the `Attitude` for position angles of V3.

        Parameters
        ----------
        angles
            A Quantity of any shape; by default `roll`.
        angle_at
            Where they are meant: 'aperture' (at the point held, as ROLL_REF and the angles of APT), or 'v1' (as PA_V3).

        Raises
        ------
        InvalidInputError
            If there is no roll and no angles are given, or as in `Attitude.from_aperture`.
        """
        place = self.ra, self.dec, self.v2, self.v3
        if angles is None:
            if self.roll is None:
                raise InvalidInputError(f"PlannedPointing {self.name!r}: its roll is open; give the angles")
            return Attitude.from_aperture(*place, roll=self.roll)
        if angle_at not in ("aperture", "v1"):
            raise InvalidInputError(f"PlannedPointing.attitude: angle_at must be 'aperture' or 'v1'; got {angle_at!r}")
        return Attitude.from_aperture(*place, **{"roll" if angle_at == "aperture" else "pa_v3": angles})
