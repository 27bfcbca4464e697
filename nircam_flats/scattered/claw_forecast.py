"""How bright claws will be, and the roll angles without them."""

from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy import units as u
from astropy.table import QTable
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, choice, image, quantity, to_tuple
from nircam_flats._files import reading
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.exposure import PlannedPointing
from nircam_flats.exposure.facts import ExposureFacts
from nircam_flats.instrument import Attitude, Detector, Filter
from nircam_flats.provenance import History
from nircam_flats.scattered._claw_fits import read_forecast, write_forecast
from nircam_flats.scattered._claw_light import compare_claw_light
from nircam_flats.scattered._starlight import (
    BRIGHTNESS,
    FLUX,
    ClawBand,
    limits_of,
    star_weights,
    starlight,
    stars_near,
)
from nircam_flats.scattered.angle_ranges import AngleRanges, degrees_of
from nircam_flats.scattered.claw_zone import MODULES, ClawSusceptibilityZone
from nircam_flats.scattered.star_catalog import StarCatalog

__all__ = ["ClawForecast"]

STEP = 0.05
"""Degrees between the angles at which the edges of clear ranges are sought."""


def _to_pointings(value):
    single = (PlannedPointing, ExposureFacts, Attitude)
    return tuple(map(PlannedPointing.of, (value,) if isinstance(value, single) or not np.iterable(value) else value))


@frozen(kw_only=True, eq=False)
class ClawForecast(HoldsArrays):
    """Flux of claws against the position angle of V3, for pointings, modules and filters.

    The flux in a pixel of a claw is the sum over the stars in the zone of intensity x 10^(-0.4 (m + 17 - zero point)),
    with the 2MASS magnitude of the band nearest to the filter, and empirical zero points of filters and modules.

    Attributes
    ----------
    pointings
        `PlannedPointing`, one for each exposure.
    filters
        Short-wavelength filters; the others are not affected.
    zones
        A `ClawSusceptibilityZone` for each module.
    stars
        The stars that some roll brings into a zone.
    angles
        Position angles of V3, deg.
    angle_at
        Where they are meant: 'aperture' or 'v1'.
    flux
        DN/s in a pixel, ``[module, filter, pointing, angle]``; NaN where the pointing uses no such module or filter.
    unknown
        The same shape, True where a star without a magnitude stands in the zone: then `flux` is a lower limit.
    history
        How it was made.

    Examples
    --------
    >>> from astropy import units as u
    >>> from astropy.coordinates import SkyCoord
    >>> from nircam_flats import ClawForecast, PlannedPointing
    >>> target = SkyCoord("08h16m24.2s +19d13m52.5s")
    >>> pointings = PlannedPointing.from_sky(target, "B5", dithers=[(0, 0), (5, 5)])
    >>> forecast = ClawForecast.from_pointings(pointings, filters=["F150W", "F200W"])
    >>> print(forecast.claw_free_angles(limit=0.02 * u.MJy / u.sr, allowed=[(200, 260)]))
    200.00-221.45, 247.35-253.05 deg
    """

    pointings: tuple = field(converter=_to_pointings, repr=lambda value: f"<{len(value)} pointings>")
    filters: tuple = field(converter=lambda value: tuple(map(Filter.get, value)), repr=lambda v: ", ".join(map(str, v)))
    zones: tuple = field(converter=to_tuple, repr=lambda value: ", ".join(map(str, value)))
    stars: StarCatalog = field()
    angles: u.Quantity = quantity(u.deg, ndim=1, eq=False, repr=False)
    angle_at: str = choice("aperture", "v1", default="aperture")
    flux: np.ndarray = image(np.float64, ndim=4)
    unknown: np.ndarray = image(bool, ndim=4, follows_shape=False)
    history: History = field(repr=False)

    def __attrs_post_init__(self):
        needed = (len(self.zones), len(self.filters), len(self.pointings), len(self.angles))
        if self.flux.shape != needed or self.unknown.shape != needed:
            raise InvalidInputError(
                f"ClawForecast.flux and .unknown must have shape {needed} (modules, filters, pointings, angles); got "
                f"{self.flux.shape} and {self.unknown.shape}"
            )

    @classmethod
    def from_pointings(
        cls,
        pointings: Any,
        filters: Any = None,
        *,
        zones: Any = None,
        stars: StarCatalog | None = None,
        angles: Any = None,
        angle_at: str = "aperture",
    ) -> Self:
        """Predict the flux of claws.

        Parameters
        ----------
        pointings
            What `PlannedPointing.of` takes, one or many: pointings planned (`PlannedPointing.from_sky`, `.read_apt`),
            or those of an `ExposureSet`.
        filters
            Filters, by any name; by default those of the pointings.
        zones
            One or more `ClawSusceptibilityZone`; by default the packaged ones of both modules.
        stars
            A `StarCatalog`; by default the packaged one.
        angles
            Position angles of V3, a Quantity; by default 0, 1, ... 359 deg.
        angle_at
            'aperture': V3 at the point held, as APT and ROLL_REF give it. 'v1': at V1, as PA_V3 gives it.

        Raises
        ------
        InvalidInputError
            If there is no pointing or no filter, a filter is a long-wavelength one, an angle is outside 0 to 360 deg,
            or the catalogue has no magnitudes in a band that a filter needs.
        """
        pointings = _to_pointings(pointings)
        if not pointings:
            raise InvalidInputError("ClawForecast.from_pointings: needed at least one pointing; got none")
        if filters is None:
            own = {filter for pointing in pointings for filter in pointing.filters}
            filters = [filter for filter in Filter.all() if filter in own and filter.channel == "SW"]
        bands = [ClawBand.of(filter) for filter in ([filters] if isinstance(filters, str | Filter) else filters)]
        if not bands:
            raise InvalidInputError(
                "ClawForecast.from_pointings: needed at least one short-wavelength filter; the pointings name none: "
                "give filters=[...]"
            )
        stars = StarCatalog.packaged() if stars is None else stars
        for band in bands:
            stars.magnitude(band.band)  # refuses a catalogue without it
        zones = [ClawSusceptibilityZone.default(module) for module in MODULES] if zones is None else _to_zones(zones)
        degrees = np.arange(360.0) if angles is None else degrees_of(angles, "ClawForecast.from_pointings: angles")
        angles = np.atleast_1d(degrees) * u.deg
        shape = len(zones), len(bands), len(pointings), len(angles)
        flux, unknown = np.full(shape, np.nan), np.zeros(shape, bool)
        near = [stars_near(pointing, stars, zones) for pointing in pointings]
        for i, pointing in enumerate(pointings):
            attitude = pointing.attitude(angles, angle_at=angle_at)
            flux[:, :, i], unknown[:, :, i] = _light(pointing, stars.where(near[i]), bands, zones, attitude)
        return cls(
            pointings=pointings,
            filters=[band.filter for band in bands],
            zones=zones,
            stars=stars.where(np.unique(np.concatenate(near))),
            angles=angles,
            angle_at=angle_at,
            flux=flux,
            unknown=unknown,
            history=History().then("forecast", zones=", ".join(map(str, zones)), n_stars=len(stars), angle_at=angle_at),
        )

    @property
    def modules(self) -> tuple:
        """The modules of the zones, in their order."""
        return tuple(zone.module for zone in self.zones)

    @property
    def detectors(self) -> dict:
        """The detectors that claws fall on, by module."""
        return {
            module: tuple(d for d in Detector.all() if d.has_claws and d.module == module) for module in self.modules
        }

    @cached_property
    def _bands(self):
        return tuple(map(ClawBand.of, self.filters))

    @cached_property
    def mean_flux(self):
        """Mean over the pointings that use module and filter, a Quantity in DN/s, ``[module, filter, angle]``."""
        used = np.isfinite(self.flux)
        n = used.sum(axis=2)
        return np.where(n, np.where(used, self.flux, 0).sum(axis=2) / np.maximum(n, 1), np.nan) * FLUX

    @property
    def table(self) -> QTable:
        """A `~astropy.table.QTable`: the angle, and for each module and filter the mean and largest flux."""
        columns = {"angle": self.angles}
        for m, module in enumerate(self.modules):
            for f, filter in enumerate(self.filters):
                columns[f"{filter}_{module}"] = self.mean_flux[m, f]
                columns[f"{filter}_{module}_max"] = np.fmax.reduce(self.flux[m, f], axis=0) * FLUX
        return QTable(columns)

    @property
    def missing(self) -> Any:
        """A `~astropy.table.QTable` of the stars near the zones whose magnitude in a needed band is missing."""
        rows = [
            (self.stars.names[i], band, self.stars.ra[i], self.stars.dec[i])
            for band in sorted({band.band for band in self._bands})
            for i in np.flatnonzero(self.stars.missing(band))
        ]
        names = ("name", "band", "ra", "dec")
        return QTable(rows=rows, names=names) if rows else QTable(names=names, dtype=(str, str, float, float))

    def claw_free_angles(self, limit: u.Quantity, *, allowed: Any = None) -> AngleRanges:
        """Return the angles at which every exposure, in every module and filter that it uses, stays within the limit.

        An angle at which a star without a magnitude stands in a zone is not clear. Edges are found to 0.05 deg, on the
        clear side.

        Parameters
        ----------
        limit
            Largest flux of a claw: a number of DN/s in a pixel, a Quantity in DN/s or in MJy/sr (with a typical
            PHOTMJSR of the filter), or a mapping from filter to one of these.
        allowed
            Angles to choose from: `AngleRanges`, or pairs of start and end in degrees.

        Returns
        -------
        AngleRanges

        Raises
        ------
        InvalidInputError
            If the limit is none, or an allowed angle is outside 0 to 360 deg.
        """
        limits = limits_of(limit, self._bands)
        angles = np.arange(round(360 / STEP)) * STEP * u.deg
        clear = np.ones(len(angles), bool)
        for pointing in self.pointings:
            attitude = pointing.attitude(angles, angle_at=self.angle_at)
            near = self.stars.where(stars_near(pointing, self.stars, self.zones))
            clear &= ~self._too_bright(_light(pointing, near, self._bands, self.zones, attitude), limits).any(
                axis=(0, 1)
            )
        found = AngleRanges.from_samples(angles, clear)
        if allowed is None:
            return found
        return found & (allowed if isinstance(allowed, AngleRanges) else AngleRanges(allowed))

    @staticmethod
    def _too_bright(light, limits):
        flux, unknown = light
        return (flux > limits.reshape(-1, *[1] * (flux.ndim - 2))) | unknown

    def contributions(self, angle: u.Quantity, filter: Filter | str, module: str, *, pointing: Any = None) -> Any:
        """Return what each star gives to the flux at an angle.

        Parameters
        ----------
        angle
            Position angle of V3, a Quantity, meant as `angle_at` says.
        filter, module
            Of the forecast.
        pointing
            Index of a pointing; by default the mean over all that use module and filter.

        Returns
        -------
        astropy.table.QTable
            The stars in the zone, the brightest first: name, ra, dec, magnitude, v2 and v3 (in the first of the
            pointings), intensity, flux (NaN where the magnitude is missing), fraction of the whole.

        Raises
        ------
        InvalidInputError
            If there is no such filter, module or pointing.
        """
        m, f = self._index(module, filter)
        used = [i for i in range(len(self.pointings)) if np.isfinite(self.flux[m, f, i]).all()]
        if pointing is not None:
            if pointing not in used:
                raise InvalidInputError(f"ClawForecast.contributions: pointing must be one of {used}; got {pointing!r}")
            used = [pointing]
        degrees = degrees_of(angle, "ClawForecast.contributions: angle")
        attitudes = [self.pointings[i].attitude(degrees * u.deg, angle_at=self.angle_at) for i in used]
        return self._shares(attitudes, m, f)

    def _shares(self, attitudes, m, f):
        """Return the table of `contributions`: the mean over ``attitudes``."""
        zone, band, stars = self.zones[m], self._bands[f], self.stars
        places = [attitude.to_telescope(stars.ra, stars.dec) for attitude in attitudes]
        intensity = sum(zone.intensity(*place) for place in places) / max(len(places), 1) + np.zeros(len(stars))
        (weights,) = star_weights(stars, [band], zone.module)
        hit = np.flatnonzero(intensity)
        flux = intensity[hit] * weights[hit]
        hit, flux = (values[np.argsort(-flux)] for values in (hit, flux))  # NaN last
        total = np.nansum(flux)
        v2, v3 = places[0] if places else (np.zeros(len(stars)) * u.deg,) * 2
        picked = stars.where(hit)
        return QTable(
            {
                "name": np.array(picked.names, str),
                "ra": picked.ra,
                "dec": picked.dec,
                "magnitude": picked.magnitude(band.band),
                "v2": v2[hit],
                "v3": v3[hit],
                "intensity": intensity[hit],
                "flux": flux * FLUX,
                "fraction": flux / total if total else np.zeros(len(hit)),
            },
            meta={"filter": band.filter.name, "band": band.band, "module": zone.module},
        )

    def worst_offender(self, filter: Filter | str, module: str) -> Any:
        """Return the star that gives the most light at the angle where the mean flux is largest.

        Returns
        -------
        astropy.table.QTable
            One row of `contributions` after a column angle; no row where no star comes into the zone.
        """
        m, f = self._index(module, filter)
        flux = np.nan_to_num(self.mean_flux[m, f].to_value(FLUX))
        angle = self.angles[np.argmax(flux)]
        table = self.contributions(angle, filter, module)[:1]
        table.add_column(np.repeat(angle, len(table)), name="angle", index=0)
        return table

    def _index(self, module, filter):
        filter = Filter.get(filter)
        if module not in self.modules or filter not in self.filters:
            raise InvalidInputError(
                f"ClawForecast: module must be one of {', '.join(self.modules)} and filter one of "
                f"{', '.join(map(str, self.filters))}; got {module!r} and {filter}"
            )
        return self.modules.index(module), self.filters.index(filter)

    @cached_property
    def _own_light(self):
        """Flux and unknown ``[module, filter, pointing]`` at each pointing's own roll; NaN where that is open."""
        shape = self.flux.shape[:3]
        flux, unknown = np.full(shape, np.nan), np.zeros(shape, bool)
        for i, pointing in enumerate(self.pointings):
            if pointing.roll is not None:
                light = _light(pointing, self.stars, self._bands, self.zones, pointing.attitude())
                flux[:, :, i], unknown[:, :, i] = (part[..., 0] for part in light)
        return flux, unknown

    @property
    def own_flux(self) -> u.Quantity:
        """Flux ``[module, filter, pointing]``, a Quantity in DN/s, at each pointing's own roll; NaN as in `flux`."""
        return self._own_light[0] * FLUX

    @property
    def predicted(self) -> QTable:
        """A `~astropy.table.QTable` of what is predicted for the pointings as they were taken, at their own roll.

        A row for each pointing, filter and module that it uses: flux in DN/s, brightness in MJy/sr, the brightest star
        and its share. Empty where the rolls are open; no row for what is not affected (long wavelengths, and the
        detectors on which no claws fall).
        """
        flux, _ = self._own_light
        rows = []
        for m, f, i in np.argwhere(np.isfinite(flux).transpose(2, 1, 0))[:, ::-1]:
            pointing, band = self.pointings[i], self._bands[f]
            shares = self._shares([pointing.attitude()], m, f)
            worst = (shares["name"][0], shares["fraction"][0]) if len(shares) else ("", 0.0)
            value = flux[m, f, i]
            rows.append((i, pointing.name, band.filter.name, self.modules[m], value, value * band.photmjsr, *worst))
        names = ("pointing", "name", "filter", "module", "flux", "brightness", "star", "fraction")
        if not rows:
            return QTable(names=names, dtype=(int, str, str, str, float, float, str, float))
        return QTable(rows=rows, names=names, units={"flux": FLUX, "brightness": BRIGHTNESS})

    def flags(self, limit: Any) -> np.ndarray:
        """Return a boolean for each pointing, True where its claws at its own roll exceed the limit.

        They are what ``exposures.exclude(flags, reason)`` takes, for a forecast made of those exposures.

        Parameters
        ----------
        limit
            As in `claw_free_angles`.

        Raises
        ------
        InvalidInputError
            If a roll is open, or the limit is none.
        """
        limits = limits_of(limit, self._bands)
        still_open = [pointing.name for pointing in self.pointings if pointing.roll is None]
        if still_open:
            raise InvalidInputError(
                f"ClawForecast.flags: needed pointings with a roll, as exposures have; it is open in "
                f"{len(still_open)}, the first {still_open[0]!r}: claw_free_angles tells which are clear"
            )
        return self._too_bright(self._own_light, limits[:, np.newaxis]).any(axis=(0, 1))

    def compare_with(self, other: Any, *, masks: Any = None, correction: Any = None) -> Any:
        """Compare the claw light predicted with that measured.

        Parameters
        ----------
        other
            An `Exposure`, an `ExposureSet`, or a `DeltaSkyflat`; the forecast must be made of the same exposures, by
            their names.
        masks
            A `MaskStrategy` that leaves claws alone, where large objects are in the way; by default none is needed,
            since clipping takes care of small ones.
        correction
            A `FlatModelFit` by which exposures are divided first.

        Returns
        -------
        astropy.table.QTable
            name, filter, detector; predicted, measured and err, relative to the sky level; covered, the part of the
            image. Measured is 0 where no claw is seen. The page on the method tells how claw light is measured.

        Raises
        ------
        InvalidInputError
            If an exposure is not among the pointings, or its roll is open.
        """
        return compare_claw_light(self, other, masks=masks, correction=correction)

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the forecast as a FITS file, with all that it was made of.

        Raises
        ------
        InvalidInputError
            If the file exists already and ``overwrite`` is false, or its folder does not exist.
        """
        write_forecast(self, path, overwrite=overwrite)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what `write` wrote.

        Raises
        ------
        InvalidInputError
            If the file is damaged or holds something else.
        """
        with reading(path):
            return cls(**read_forecast(path))

    def plot(self, ax: Any = None, limit: Any = None, allowed: Any = None, **artist_options: Any) -> Any:
        """Draw the largest flux of the exposures against the angle, with the limit and the clear ranges.

        Parameters
        ----------
        ax
            Axes to draw on; by default the current one.
        limit, allowed
            As in `claw_free_angles`; without a limit, no ranges are drawn.
        **artist_options
            For ``Axes.plot``.

        Returns
        -------
        list of matplotlib.lines.Line2D
        """
        from nircam_flats.plotting import draw_claw_forecast

        return draw_claw_forecast(self, ax=ax, limit=limit, allowed=allowed, **artist_options)

    def limits(self, limit: Any) -> Any:
        """Return a limit, as in `claw_free_angles`, in DN/s for each filter, as a dictionary of Quantities."""
        return dict(zip(self.filters, limits_of(limit, self._bands) * FLUX, strict=True))


def _to_zones(zones):
    zones = (zones,) if isinstance(zones, ClawSusceptibilityZone) else tuple(zones)
    modules = [getattr(zone, "module", None) for zone in zones]
    if not zones or None in modules or len(set(modules)) != len(zones):
        raise InvalidInputError(
            f"ClawForecast.from_pointings: zones must be ClawSusceptibilityZone, one of each module; got {zones!r}"
        )
    return zones


def _light(pointing, stars, bands, zones, attitude):
    """Return flux and unknown ``[module, filter, attitude]`` of one pointing; NaN where it uses no such thing."""
    shape = len(zones), len(bands), int(np.prod(attitude.shape, dtype=int))
    flux, unknown = np.full(shape, np.nan), np.zeros(shape, bool)
    used = [i for i, band in enumerate(bands) if not pointing.filters or band.filter in pointing.filters]
    affected = pointing.detector is None or pointing.detector.has_claws
    for m, zone in enumerate(zones):
        if used and affected and zone.module in pointing.modules:
            flux[m, used], unknown[m, used] = starlight(attitude, stars, [bands[i] for i in used], zone)
    return flux, unknown
