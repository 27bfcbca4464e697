"""What a simulated program was made from."""

from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable
from attrs import field, frozen

from nircam_flats.instrument import Detector, Filter
from nircam_flats.instrument.detector import to_detector
from nircam_flats.simulation._levels import electrons_per_mjsr
from nircam_flats.skyflat import FrameStack

__all__ = ["SimulatedTruth"]

ROWS = 256
"""Rows that are combined at once."""


@frozen(kw_only=True)
class SimulatedTruth:
    """The truth about one detector of a `SimulatedProgram`; its images are made when asked for.

    Attributes
    ----------
    program
        The program.
    detector
        One of its detectors.
    """

    program: Any = field(repr=False)
    detector: Detector = field(converter=to_detector, repr=str)

    @property
    def filters(self) -> tuple:
        """The filters of this detector, a tuple."""
        return self.program.filters_of(self.detector)

    def delta(self, filter: Filter | str) -> np.ndarray:
        """Return what a noiseless frame of a uniform sky shows, divided by the sky.

        That is the true response in flight over the ground flat as delivered, whose noise is therefore in it.
        float32, NaN where the ground flat has no answer. Bad pixels have their true value.
        """
        return self.program._response(*self.program._mode(self.detector, filter)).delta()

    def flight_flat(self, filter: Filter | str) -> Any:
        """Return the true response in flight, about 1: float32, 0 on reference pixels and known dead ones."""
        return self.program._response(*self.program._mode(self.detector, filter)).flight

    def grey(self, strategy: Any = None) -> Any:
        """Return the combination of noiseless frames of all filters, each divided by its own median.

        Parameters
        ----------
        strategy
            A `~nircam_flats.CombineStrategy`; by default the median. Each filter has as many frames as exposures.

        Returns
        -------
        numpy.ndarray
            float32 image, NaN where the ground flats have no answer.
        """
        scaled = []
        for filter in self.filters:
            delta = self.delta(filter)
            scaled.append(delta / np.nanmedian(delta))
        deltas = np.stack(scaled)
        if strategy is None:  # every filter has as many frames: the median of all is that of one of each
            return np.median(deltas, axis=0).astype(np.float32)
        modes = [(filter, index) for filter in self.filters for index in range(self.program.n_exposures)]
        noise = np.array([self._noise(filter, index) for filter, index in modes])
        bands = []
        for first in range(0, deltas.shape[1], ROWS):
            values = np.repeat(deltas[:, first : first + ROWS], self.program.n_exposures, axis=0)
            bands.append(strategy(FrameStack(values=values, noise=noise))[0])
        return np.concatenate(bands)

    def _noise(self, filter, index):
        """1 sigma of the photon noise of one pixel, divided by the sky: the weight of a frame."""
        sky = self.sky(filter, index).to_value(u.MJy / u.sr)
        return 1 / np.sqrt(sky * electrons_per_mjsr(self.detector, filter, self.program.exposure_time.to_value(u.s)))

    @property
    def crosshatch(self) -> Any:
        """1 plus the crossed lines in the response, the same in all filters; float32, 1 everywhere in SW."""
        return self.program._change(self.detector).crosshatch

    @property
    def new_response(self) -> Any:
        """Response of the pixels that died since the ground flat, 1 elsewhere; float32."""
        return self.program._change(self.detector).new_response

    @property
    def dead(self) -> Any:
        """Boolean image of the pixels that died since the ground flat, those in concentrations included."""
        return self.program._change(self.detector).dead

    @property
    def noisy(self) -> Any:
        """Boolean image of the pixels with telegraph noise."""
        return self.program._change(self.detector).telegraph > 0

    @property
    def known_dead(self) -> Any:
        """Boolean image of the pixels that were dead on the ground."""
        return self.program._change(self.detector).known_dead

    @property
    def concentrations(self) -> QTable:
        """Clusters of new dead pixels: `~astropy.table.QTable` with ``x``, ``y`` (zero-based) and ``n_pixels``."""
        return self.program._change(self.detector).concentrations

    def wisp(self, filter: Filter | str) -> Any:
        """Return the wisp, mean of all exposures in a filter, float32, MJy/sr; an image shows ``wisp * delta``."""
        shape = self.program._wisp(self.detector)
        if shape is None:
            return np.zeros(self.program.shape, np.float32)
        levels = [self.wisp_level(filter, index) for index in range(self.program.n_exposures)]
        return shape * np.float32(np.mean(u.Quantity(levels).to_value(u.MJy / u.sr)))

    def sky(self, filter: Filter | str, index: Any) -> Any:
        """Return the injected brightness of the sky in one exposure, MJy/sr."""
        return self.program.sky_level(self.detector, filter, index)

    def wisp_level(self, filter: Filter | str, index: Any) -> Any:
        """Return the brightness of the wisp at its brightest in one exposure, MJy/sr."""
        return self.program.wisp_level(self.detector, filter, index) * self.sky(filter, index)
