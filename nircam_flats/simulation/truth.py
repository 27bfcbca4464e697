"""What a simulated program was made from."""

from typing import Any

import numpy as np
from attrs import field, frozen

from nircam_flats.exceptions import InvalidInputError
from nircam_flats.instrument import Detector

__all__ = ["SimulatedTruth"]


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
    detector: Detector = field(converter=Detector.get)

    @property
    def filters(self):
        """The filters of this detector, a tuple."""
        return self.program.filters_of(self.detector)

    def delta(self, filter):
        """Return what a noiseless frame of a uniform sky shows, divided by the sky.

        That is the true response in flight over the ground flat as delivered, whose noise is therefore in it.
        float32, NaN where the ground flat has no answer. Bad pixels have their true value.
        """
        return self.program._response(*self.program._mode(self.detector, filter)).delta()

    def flight_flat(self, filter):
        """Return the true response in flight, about 1: float32, 0 on reference pixels and known dead ones."""
        return self.program._response(*self.program._mode(self.detector, filter)).flight

    def grey(self, strategy=None):
        """Return the combination of noiseless frames of all filters, each divided by its own median.

        Parameters
        ----------
        strategy
            Combines a stack of frames ``[frame, y, x]`` to an image: a function, or a
            `~nircam_flats.CombineStrategy`. By default the median. Each filter has as many frames as exposures.

        Returns
        -------
        numpy.ndarray
            float32 image, NaN where the ground flats have no answer.
        """
        deltas = []
        for filter in self.filters:
            delta = self.delta(filter)
            deltas.append(delta / np.nanmedian(delta))
        deltas = np.stack(deltas)
        if strategy is None:  # every filter has as many frames: the median of all is that of one of each
            return np.median(deltas, axis=0).astype(np.float32)
        return strategy(np.repeat(deltas, self.program.n_exposures, axis=0))

    @property
    def crosshatch(self):
        """1 plus the crossed lines in the response, the same in all filters; float32, 1 everywhere in SW."""
        return self.program._change(self.detector).crosshatch

    @property
    def dead(self):
        """Boolean image of the pixels that died since the ground flat, those in concentrations included."""
        return self.program._change(self.detector).dead

    @property
    def known_dead(self):
        """Boolean image of the pixels that were dead on the ground."""
        return self.program._change(self.detector).known_dead

    @property
    def concentrations(self):
        """Clusters of new dead pixels: `~astropy.table.QTable` with ``x``, ``y`` (zero-based) and ``n_pixels``."""
        return self.program._change(self.detector).concentrations

    @property
    def wisp(self):
        """The wisp, 1 at its brightest, float32: seen in an image as ``wisp * delta``; zero without one."""
        wisp = self.program._wisp(self.detector)
        return np.zeros(self.program.shape, np.float32) if wisp is None else wisp

    def sky(self, filter, index):
        """Return the injected brightness of the sky in one exposure, MJy/sr."""
        return self.program.sky_level(self.detector, filter, index)

    def wisp_level(self, filter, index):
        """Return the brightness of the wisp in one exposure where it is brightest, MJy/sr."""
        return self.program.wisp_level(self.detector, filter, index) * self.sky(filter, index)
