"""A simulated campaign: exposures, ground flats, and the truth they were made from."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from astropy import units as u
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, quantity, readonly, to_tuple
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.exposure import Exposure
from nircam_flats.instrument import Detector, Filter, imaging_modes
from nircam_flats.reference import FlatReference
from nircam_flats.simulation import sky
from nircam_flats.simulation._headers import exposure_facts, exposure_name
from nircam_flats.simulation._levels import EXPOSURE_TIME, photmjsr
from nircam_flats.simulation._memory import Memory
from nircam_flats.simulation.camera import calibrated_planes
from nircam_flats.simulation.effects import Effects
from nircam_flats.simulation.files import SimulatedFiles
from nircam_flats.simulation.geometry import FrameGeometry
from nircam_flats.simulation.response import DetectorChange, Response
from nircam_flats.simulation.truth import SimulatedTruth

__all__ = ["SimulatedProgram"]

DEFAULT_FILTERS = ("F115W", "F200W", "F277W", "F444W")
SMALLEST = 32


def _number(smallest):
    def check(instance, attribute, value):
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or value < smallest:
            raise InvalidInputError(
                f"SimulatedProgram.{attribute.name} must be a whole number from {smallest} on; got {value!r}"
            )

    return check


def _unique(kind, values):
    values = [values] if isinstance(values, str | kind) else values
    return tuple(dict.fromkeys(kind.get(value) for value in values))


def _to_detectors(values: Iterable[Detector | str | int] | Detector | str) -> tuple:
    return _unique(Detector, values)


def _to_filters(values: Iterable[Filter | str] | Filter | str | None) -> tuple:
    return _unique(Filter, DEFAULT_FILTERS if values is None else values)


def _check_detectors(instance, attribute, value):
    if not value:
        raise InvalidInputError("SimulatedProgram.detectors must name at least one detector; got none")


def _check_filters(instance, attribute, value):
    for detector in instance.detectors:
        if not any(filter.channel == detector.channel for filter in value):
            names = ", ".join(filter.name for filter in value) or "none"
            raise InvalidInputError(
                f"SimulatedProgram.filters must hold one of the {detector.channel} channel for {detector}; got {names}"
            )


def _check_shape(instance, attribute, value):
    if len(value) != 2 or any(not isinstance(n, int | np.integer) or n < SMALLEST for n in value):
        raise InvalidInputError(
            f"SimulatedProgram.shape must be (rows, columns), whole numbers from {SMALLEST} on; got {value}"
        )


def _check_dither_range(instance, attribute, value):
    if len(value) != 2 or not 0 <= value[0] <= value[1]:
        raise InvalidInputError(
            f"SimulatedProgram.dither_range must be (smallest, largest), parts of a SW frame from 0 on; got {value}"
        )


def _check_density(instance, attribute, value):
    if not (np.isfinite(value) and value >= 0):
        raise InvalidInputError(f"SimulatedProgram.star_density must be a number from 0 on; got {value!r}")


def _check_effects(instance, attribute, value):
    if not isinstance(value, Effects):
        raise InvalidInputError(f"SimulatedProgram.effects must be an Effects; got {value!r}")


def _check_wisp_range(instance, attribute, value):
    if value is not None and (len(value) != 2 or not 0 <= value[0] <= value[1]):
        raise InvalidInputError(
            f"SimulatedProgram.wisp_range must be None or (lowest, highest), from 0 on; got {value}"
        )


@frozen(kw_only=True)
class SimulatedProgram(HoldsArrays):
    """A seeded campaign of sky exposures, like the commissioning program that made the first flight flats.

    Each detector takes `n_pointings` x `n_dithers` exposures in each filter of its channel. An exposure depends on
    the seed, the detector, the filter and its place in the program only: it is the same made alone or with others,
    in any order, in any thread. The fields lie where JWST can look on their date; their rolls are what they like.

    The light on a pixel is the sky, plus stars and galaxies divided by the pixel's area, plus wisps and persistence;
    the true response in flight multiplies it; stripes, photon noise and read noise are added; the ground flat divides
    the sum. Variances follow the rules of the JWST pipeline. Small frames are small detectors: everything that
    varies smoothly over the field varies as much from edge to edge as in a full frame.

    Attributes
    ----------
    detectors
        Detectors, by any of their names.
    filters
        Filters; a detector uses those of its channel. By default (None) F115W, F200W, F277W, F444W.
    n_pointings, n_dithers
        Different fields, and exposures of each field, shifted from its middle.
    dither_range
        How far they are shifted, smallest and largest, in parts of a SW frame.
    star_density
        Stars of magnitude 19.5 to 27 (AB, at 2 um) per square arcminute.
    shape
        Rows and columns of a frame.
    seed
        Of all chance.
    exposure_time
        Of each exposure, s. Photons come in proportion; the noise of the readout is the same number of electrons.
    effects
        What is switched on: an `Effects`.
    wisp_range
        Brightness of the wisps at their brightest, divided by that of the sky, between (lowest, highest) in the
        exposures; by default (None) 0.05 to 0.2, with a mean of its own for each filter.

    Examples
    --------
    >>> from nircam_flats.simulation import SimulatedProgram
    >>> program = SimulatedProgram(detectors="B4", shape=(64, 64))
    >>> program.exposure("B4", "F200W", 0).name
    'jw09999001001_02102_00001_nrcb4'
    >>> program.truth("B4").delta("F200W").shape
    (64, 64)
    """

    detectors: tuple = field(default=("NRCB4", "NRCALONG"), converter=_to_detectors, validator=_check_detectors)
    filters: tuple = field(default=None, converter=_to_filters, validator=_check_filters)
    n_pointings: int = field(default=2, validator=_number(1))
    n_dithers: int = field(default=3, validator=_number(1))
    shape: tuple[int, int] = field(default=(2048, 2048), converter=to_tuple, validator=_check_shape)
    seed: int = field(default=1, validator=_number(0))
    exposure_time: u.Quantity = quantity(u.s, default=EXPOSURE_TIME * u.s)
    effects: Effects = field(factory=Effects, validator=_check_effects)
    dither_range: tuple[float, float] = field(default=sky.DITHER, converter=to_tuple, validator=_check_dither_range)
    wisp_range: tuple[float, float] | None = field(
        default=None, converter=attrs.converters.optional(tuple), validator=_check_wisp_range
    )
    star_density: float = field(default=sky.STARS_PER_ARCMIN2, validator=_check_density)

    @exposure_time.validator
    def _check_exposure_time(self, attribute, value):
        if not 0 < value < np.inf * u.s:
            raise InvalidInputError(f"SimulatedProgram.exposure_time must be positive and finite; got {value}")

    # ------------------------------------------------------------------ what there is

    @property
    def n_exposures(self) -> int:
        """Exposures of each detector in each of its filters."""
        return self.n_pointings * self.n_dithers

    def filters_of(self, detector: Any) -> tuple:
        """Return the filters that a detector uses, a tuple."""
        detector = self._detector(detector)
        return tuple(filter for filter in self.filters if filter.channel == detector.channel)

    def modes(self, detector: Detector | str | int | None = None) -> tuple:
        """Return the pairs (detector, filter) of the program, or of one detector, a tuple."""
        detectors = self.detectors if detector is None else (self._detector(detector),)
        return tuple((one, filter) for one in detectors for filter in self.filters_of(one))

    # ------------------------------------------------------------------ what it makes

    def exposure(self, detector: Detector | str | int, filter: Filter | str, index: Any) -> Exposure:
        """Return one `~nircam_flats.Exposure`.

        Parameters
        ----------
        detector, filter
            Of the program.
        index
            From 0 to `n_exposures` - 1: all dithers of the first pointing, then those of the second...

        Raises
        ------
        InvalidInputError
            If the program has no such detector, filter or exposure.
        """
        detector, filter = self._mode(detector, filter)
        place = pointing_number, dither = self._place(index)
        geometry = self._geometry(detector)
        pointing = geometry.pointing(*sky.telescope_pointing(self.seed, self.shape, *place, self.dither_range))  # type: ignore[call-arg]
        level = sky.sky_level(self.seed, filter, *place)
        calibration = photmjsr(detector, filter)
        area = geometry.area if self.effects.area else readonly(np.ones(self.shape, np.float32))
        light = self._sources(detector, pointing_number).light(geometry, pointing, filter)
        if self.effects.persistence and self.effects.saturated_star:
            patches = sky.persistence_patches(geometry, self.seed, *place, level, self.dither_range)  # type: ignore[call-arg]
            sky.add_patches(light, patches, area)
        setup = self.filters_of(detector).index(filter)
        n_setups = max(len(self.filters_of(one)) for one in self.detectors)
        facts = exposure_facts(
            detector=detector,
            filter=filter,
            geometry=geometry,
            pointing=pointing,
            flat_name=_flat_name(detector, filter),
            photmjsr=calibration,
            position=(pointing_number, setup, dither),
            sequence=(pointing_number * n_setups + setup) * self.n_dithers + dither,
            n_dithers=self.n_dithers,
            exposure_time=self.exposure_time.to_value(u.s).item(),
        )
        planes = calibrated_planes(
            light,
            sky=level,
            wisp=self._wisp(detector),
            wisp_level=level * self.wisp_level(detector, filter, index),
            area=area,
            response=self._response(detector, filter),
            dq=self._change(detector).dq,
            telegraph=self._change(detector).telegraph,
            calibration=calibration,
            exposure_time=self.exposure_time.to_value(u.s).item(),
            seed=self.seed,
            index=index,
            effects=self.effects,
        )
        return Exposure(**facts, **planes)

    def exposures(self, detector: Detector | str | int | None = None) -> Iterator:
        """Iterate over all exposures, or those of one detector: by detector, filter, pointing, dither."""
        for one, filter in self.modes(detector):
            for index in range(self.n_exposures):
                yield self.exposure(one, filter, index)

    def ground_flat(self, detector: Detector | str | int, filter: Filter | str) -> FlatReference:
        """Return the `~nircam_flats.FlatReference` that calibrated the exposures of a mode."""
        detector, filter = self._mode(detector, filter)
        response = self._response(detector, filter)
        return FlatReference(
            data=response.ground,
            err=response.ground_err,
            dq=response.ground_dq,
            detector=detector,
            filter=filter,
            name=_flat_name(detector, filter),
            author="nircam_flats",
            description=f"Simulated ground flat {detector} {filter}",
            pedigree="SIMULATION",
            useafter="2014-10-01T00:00:00",
            history=(f"Simulated ground flat, seed {self.seed}",),
        )

    def exposure_name(self, detector: Detector | str | int, filter: Filter | str, index: Any) -> Any:
        """Return the root of an exposure's file name."""
        detector, filter = self._mode(detector, filter)
        pointing, dither = self._place(index)
        return exposure_name(detector, pointing, self.filters_of(detector).index(filter), dither)

    def truth(self, detector: Detector | str | int) -> Any:
        """Return the `SimulatedTruth` of a detector."""
        return SimulatedTruth(program=self, detector=self._detector(detector))

    def write(self, folder: str | Path, *, executor: Executor | None = None, overwrite: bool = False) -> Any:
        """Write everything: ``cal/*_cal.fits``, ``ground_flats/*.fits``, ``truth/*``.

        Parameters
        ----------
        folder
            Made if it does not exist.
        executor
            Any `concurrent.futures.Executor`; by default threads.
        overwrite
            Whether files that exist are replaced.

        Returns
        -------
        SimulatedFiles
            The paths.
        """
        return SimulatedFiles.write(self, folder, executor=executor, overwrite=overwrite)

    # ------------------------------------------------------------------ levels

    def sky_level(self, detector: Detector | str | int, filter: Filter | str, index: Any) -> Any:
        """Return the injected brightness of the sky in one exposure, MJy/sr."""
        _, filter = self._mode(detector, filter)
        return sky.sky_level(self.seed, filter, *self._place(index)) * u.MJy / u.sr

    def wisp_level(self, detector: Detector | str | int, filter: Filter | str, index: Any) -> float:
        """Return the brightness of the wisp in one exposure at its brightest, divided by that of the sky."""
        detector, filter = self._mode(detector, filter)
        if self._wisp(detector) is None:
            return 0.0
        return sky.wisp_level(self.seed, detector, filter, *self._place(index), self.wisp_range)  # type: ignore[call-arg]

    # ------------------------------------------------------------------ parts, kept for the next exposure

    @cached_property
    def _memory(self):
        # Three of each: while exposures are made in order, threads are busy with two modes and the truth of both.
        return {name: Memory(3) for name in ("geometry", "change", "response", "wisp", "sources")}

    def _geometry(self, detector):
        return self._memory["geometry"].get(detector, partial(FrameGeometry, detector=detector, shape=self.shape))

    def _change(self, detector):
        make = partial(DetectorChange.draw, detector, self.shape, self.seed, self.effects)
        return self._memory["change"].get(detector, make)

    def _response(self, detector, filter):
        def make():
            return Response.draw(detector, filter, self._change(detector), self.seed, self.effects)

        return self._memory["response"].get((detector, filter), make)

    def _sources(self, detector, pointing):
        make = partial(
            sky.Sources.draw,
            self._geometry(detector),
            self.seed,
            pointing,
            self.effects,
            star_density=self.star_density,
            dither_range=self.dither_range,
        )
        return self._memory["sources"].get((detector, pointing), make)

    def _wisp(self, detector):
        if not self.effects.wisps:
            return None
        return self._memory["wisp"].get(detector, partial(sky.wisp_shape, self.seed, detector, self.shape))

    def _detector(self, detector):
        detector = Detector.get(detector)
        if detector not in self.detectors:
            names = ", ".join(one.name for one in self.detectors)
            raise InvalidInputError(f"SimulatedProgram has the detectors {names}; got {detector}")
        return detector

    def _mode(self, detector, filter):
        detector, filter = self._detector(detector), Filter.get(filter)
        if filter not in self.filters_of(detector):
            names = ", ".join(one.name for one in self.filters_of(detector))
            raise InvalidInputError(f"SimulatedProgram has the filters {names} for {detector}; got {filter}")
        return detector, filter

    def _place(self, index):
        if not isinstance(index, int | np.integer) or not 0 <= index < self.n_exposures:
            raise InvalidInputError(
                f"SimulatedProgram: the index of an exposure must be from 0 to {self.n_exposures - 1}; got {index!r}"
            )
        return divmod(index, self.n_dithers)


def _flat_name(detector, filter):
    modes = [(mode.detector, mode.filter) for mode in imaging_modes()]
    return f"jwst_nircam_flat_{9000 + modes.index((detector, filter)):04d}.fits"
