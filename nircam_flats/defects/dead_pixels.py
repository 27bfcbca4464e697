"""Maps of the pixels of a detector that died."""

from concurrent.futures import Executor
from enum import IntFlag
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy.table import QTable
from astropy.time import Time
from attrs import field, frozen
from regions import CirclePixelRegion, PixCoord, RegionMeta, Regions

from nircam_flats._fields import HoldsArrays, check_not_negative, image, readonly
from nircam_flats._files import reading
from nircam_flats.defects import _fits
from nircam_flats.defects._clusters import clusters
from nircam_flats.defects._mask_file import write_mask
from nircam_flats.defects._odds import probability_dead
from nircam_flats.defects._strips import vignetted_strips
from nircam_flats.defects.comparison import DeadPixelComparison
from nircam_flats.defects.known import LOW_BITS, known_flags
from nircam_flats.exceptions import InvalidInputError, demand
from nircam_flats.instrument import DQ, Detector
from nircam_flats.instrument.detector import to_detector
from nircam_flats.provenance import History
from nircam_flats.skyflat import DeltaSkyflat, NormalizedFrames
from nircam_flats.skyflat.delta import to_filters

__all__ = ["DeadPixelMap", "PixelClass"]

DEAD_BELOW = 0.5
"""Response below which a lost pixel is DEAD in a bad-pixel mask; above, it is LOW_QE."""
LEAST_PROBABILITY = 0.5


class PixelClass(IntFlag):
    """What is the matter with a pixel; bits of `DeadPixelMap.classes`, 0 for a good one."""

    NEW = 1
    WORSE = 2
    VIGNETTED = 4
    UNCERTAIN = 8
    UNMEASURED = 16
    KNOWN = 32


@frozen(kw_only=True, eq=False)
class DeadPixelMap(HoldsArrays):
    """The pixels of a detector that see far less light than they should.

    Attributes
    ----------
    detector
        The detector.
    classes
        uint8 image ``[y, x]`` of `PixelClass` bits. NEW: dead since the bad-pixel mask was made. WORSE: in that mask,
        and lower still than the ground flat knows. VIGNETTED: in a strip along an edge that sees less light. UNCERTAIN:
        low, but as likely a noisy pixel. UNMEASURED: no value. KNOWN: in the mask.
    response, err
        Relative response (the delta skyflat) and its 1 sigma error; NaN where not known.
    probability
        float32 image: how likely a low pixel is dead rather than noisy; 0 where it is not low.
    known_dq
        uint32 image of `DQ` bits: the flags that were there before.
    threshold
        Response below which a pixel is low.
    filters, flat_names, first_date, last_date
        Those of the delta skyflat.
    history
        How it was made.

    Examples
    --------
    >>> import numpy as np
    >>> from nircam_flats import DeadPixelMap
    >>> dead = np.zeros((64, 64), bool)
    >>> dead[30:34, 40:44] = True
    >>> found = DeadPixelMap.from_image(dead, detector="B1")
    >>> found.concentrations()["x", "y", "n_pixels"].pformat()[-1].split()
    ['41.5', '31.5', '16']
    """

    detector: Detector = field(converter=to_detector, repr=str)
    classes: np.ndarray = image(np.uint8, sets_shape=True)
    response: np.ndarray = image()
    err: np.ndarray = image()
    probability: np.ndarray = image()
    known_dq: np.ndarray = image(np.uint32)
    threshold: float = field(default=0.8, converter=float, validator=check_not_negative)
    filters: tuple = field(default=(), converter=to_filters, repr=False)
    flat_names: dict = field(factory=dict, converter=dict, repr=False)
    first_date: Time | None = field(default=None, repr=False)
    last_date: Time | None = field(default=None, repr=False)
    history: History = field(factory=History, repr=False)

    @classmethod
    def from_delta(
        cls,
        grey: DeltaSkyflat,
        *,
        known: Any = None,
        frames: NormalizedFrames | None = None,
        threshold: float = 0.8,
        purity: float = 0.998,
        executor: Executor | None = None,
    ) -> Self:
        """Find the dead pixels in a delta skyflat.

        Parameters
        ----------
        grey
            A `~nircam_flats.DeltaSkyflat`, of all filters best.
        known
            Which pixels were dead before: a MASK reference file (its path), something with ``dq`` (a
            `~nircam_flats.FlatReference`, an exposure), an `~nircam_flats.ExposureSet`, a boolean image; None for none.
        frames
            The `~nircam_flats.NormalizedFrames` that ``grey`` was combined of. With them each low pixel is looked at a
            second time, in all frames: also where a mask hides it, beside its neighbours. None looks at ``grey`` alone.
        threshold
            Response below which a pixel is low; 0.8 in the report.
        purity
            Part of the pixels found that shall really be dead: low pixels are taken in order of their probability for
            as long as the mean of it stays above. So few are left out of a deep stack, and many of four exposures.
        executor
            Any `concurrent.futures.Executor` that goes through the frames; by default threads for all cores.

        Raises
        ------
        InvalidInputError
            If ``grey`` has no good pixel, ``known`` or ``frames`` do not fit it, or a setting is not between 0 and 1.

        Notes
        -----
        The rule of the report (Sunnquist et al. 2022, JWST-STScI-008304, section 3.4): below 0.8 in the grey delta
        skyflat, not dead in the ground bad-pixel mask, not exactly 0 or 1. In a shallow stack thousands of pixels are
        low by chance or because they are noisy; so each is asked how likely it is dead, given its value, its error and
        the scatter of its frames.
        """
        for name, value in {"threshold": threshold, "purity": purity}.items():
            if not 0 < value < 1:
                raise InvalidInputError(f"DeadPixelMap.from_delta needs {name} between 0 and 1; got {value}")
        demand(grey, "scatter", "DeadPixelMap.from_delta needs a DeltaSkyflat")
        measured = grey.good & (grey.data != 0) & (grey.data != 1)
        if not measured.any():
            raise InvalidInputError(f"DeadPixelMap of {grey.detector} needs at least one good pixel; all are bad")
        if frames is not None:
            _refuse_other_frames(frames, grey)
        known_dq = known_flags(known, grey.detector, grey.data.shape)
        was_low = LOW_BITS.is_set(known_dq)
        strips = vignetted_strips(grey.data, measured, (1 + threshold) / 2)
        low = measured & (grey.data < threshold) & ~strips
        probability = np.zeros(low.shape, np.float32)
        probability[low] = probability_dead(grey, low, threshold, frames, executor)
        dead = probability >= _least_probability(probability[low], purity)
        looks = "at the stack" if frames is None else "at the frames"
        classes = np.zeros(low.shape, np.uint8)
        for flag, where in {
            PixelClass.NEW: dead & ~was_low,
            PixelClass.WORSE: dead & was_low,
            PixelClass.VIGNETTED: strips,
            PixelClass.UNCERTAIN: low & ~dead,
            PixelClass.UNMEASURED: ~measured,
            PixelClass.KNOWN: was_low,
        }.items():
            classes[where] |= np.uint8(flag)
        return cls(
            detector=grey.detector,
            classes=readonly(classes),
            response=grey.data,
            err=grey.err,
            probability=readonly(probability),
            known_dq=known_dq,
            threshold=threshold,
            filters=grey.filters,
            flat_names=grey.flat_names,
            first_date=grey.first_date,
            last_date=grey.last_date,
            history=grey.history.then("find dead pixels", looks=looks, threshold=threshold, purity=purity),
        )

    @classmethod
    def from_image(cls, dead: np.ndarray, *, detector: Detector | str | int, known: Any = None) -> Self:
        """Return the map of pixels that somebody else found.

        Parameters
        ----------
        dead
            Boolean image, True where a pixel is dead (of a FITS image of labels: ``labels > 0``).
        detector
            The detector, by any of its names.
        known
            As in `from_delta`.

        Raises
        ------
        InvalidInputError
            If ``dead`` is no boolean image, or ``known`` does not fit it.
        """
        detector = Detector.get(detector)
        if not (isinstance(dead, np.ndarray) and dead.dtype == bool and dead.ndim == 2):
            came = f"{dead.dtype} {dead.shape}" if isinstance(dead, np.ndarray) else type(dead).__name__
            raise InvalidInputError(f"DeadPixelMap.from_image needs a boolean image; got {came}")
        known_dq = known_flags(known, detector, dead.shape)
        was_low = LOW_BITS.is_set(known_dq)
        classes = np.where(was_low, np.uint8(PixelClass.KNOWN), np.uint8(0))
        classes[dead & ~was_low] = PixelClass.NEW
        nothing = readonly(np.full(dead.shape, np.nan, np.float32))
        return cls(
            detector=detector,
            classes=readonly(classes),
            response=nothing,
            err=nothing,
            probability=readonly(dead.astype(np.float32)),
            known_dq=known_dq,
            history=History().then("dead pixels of another origin"),
        )

    def _in(self, flag):
        return readonly((self.classes & np.uint8(flag)) != 0)

    @cached_property
    def new(self):
        """Boolean image: pixels that died since the bad-pixel mask was made."""
        return self._in(PixelClass.NEW)

    @cached_property
    def worse(self):
        """Boolean image: known dead pixels that are lower still than the ground flat knows."""
        return self._in(PixelClass.WORSE)

    @cached_property
    def vignetted(self):
        """Boolean image: strips along an edge that see less light."""
        return self._in(PixelClass.VIGNETTED)

    @cached_property
    def uncertain(self):
        """Boolean image: low pixels that may be noisy ones."""
        return self._in(PixelClass.UNCERTAIN)

    @cached_property
    def known(self):
        """Boolean image: pixels that the bad-pixel mask had as DEAD or LOW_QE."""
        return self._in(PixelClass.KNOWN)

    @cached_property
    def measured(self):
        """Boolean image: pixels with a value."""
        return readonly(~self._in(PixelClass.UNMEASURED))

    @cached_property
    def significance(self):
        """float32 image: by how many standard deviations a pixel lies below a response of 1."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return readonly((1 - self.response) / self.err)

    @property
    def expected_purity(self) -> float:
        """Part of the new and worse pixels that are dead, by their probabilities; NaN if there are none."""
        found = self.probability[self.new | self.worse]
        return float(found.mean(dtype=float)) if found.size else np.nan

    @property
    def counts(self) -> dict:
        """Number of pixels in each class, a dict by its name."""
        return {flag.name: int(self._in(flag).sum()) for flag in PixelClass}

    def concentrations(self, *, linking_length: float = 5, min_pixels: int = 10) -> QTable:
        """Return the clusters of new and worse pixels, a `~astropy.table.QTable`, the largest first.

        Parameters
        ----------
        linking_length
            Two pixels at most this far from each other, pixels, are in one cluster.
        min_pixels
            Smaller clusters are no concentrations.

        Returns
        -------
        astropy.table.QTable
            ``x``, ``y``: centre (zero-based), ``radius``: of the circle about it that holds all its pixels,
            ``x_min``, ``x_max``, ``y_min``, ``y_max``, ``n_pixels``, and ``response``: their mean.
        """
        if not (linking_length > 0 and min_pixels >= 1):
            raise InvalidInputError(
                "DeadPixelMap.concentrations needs linking_length > 0 and min_pixels >= 1; got "
                f"{linking_length} and {min_pixels}"
            )
        lost = self.new | self.worse
        return clusters(lost, self.response, linking_length=linking_length, min_pixels=min_pixels)

    def to_regions(self, **settings: Any) -> Any:
        """Return circles around the concentrations as `regions.Regions`, which can write them for DS9.

        ``settings`` are those of `concentrations`. The text of each circle says how many pixels are in it.
        """
        rows = self.concentrations(**settings)
        return Regions(
            [
                CirclePixelRegion(
                    PixCoord(float(row["x"].value), float(row["y"].value)),
                    radius=float(row["radius"].value),
                    meta=RegionMeta(text=f"{row['n_pixels']} px"),
                )
                for row in rows
            ]
        )

    def compare(self, other: "DeadPixelMap") -> Any:
        """Return the `DeadPixelComparison` of this map, the earlier one, with ``other``, the later one."""
        return DeadPixelComparison.between(self, other)

    @property
    def dq(self) -> np.ndarray:
        """uint32 image of `DQ` bits for a bad-pixel mask.

        The flags that were known before (all of a MASK reference file; DEAD and LOW_QE of exposures and flats, whose
        other flags are of the image and not of the detector), and for new and worse pixels DO_NOT_USE and DEAD
        (response below 0.5 or not known) or LOW_QE: a smooth flat does not correct single pixels.
        """
        lost, dead = self.new | self.worse, ~(self.response >= DEAD_BELOW)
        dq = self.known_dq.copy()
        dq[DQ.DEAD.is_set(dq) | lost] |= np.uint32(DQ.DO_NOT_USE)
        dq[lost & dead] |= np.uint32(DQ.DEAD)
        dq[lost & ~dead] |= np.uint32(DQ.LOW_QE)
        return readonly(dq)

    def write_mask(
        self,
        path: str | Path,
        *,
        author: str | None,
        useafter: Any = None,
        pedigree: str | None = None,
        description: str | None = None,
        overwrite: bool = False,
    ) -> None:
        """Write `dq` as a MASK reference file of the JWST pipeline.

        Parameters
        ----------
        path, overwrite
            The file, and whether it may be replaced.
        author
            Keyword AUTHOR.
        useafter, pedigree, description
            Keywords USEAFTER, PEDIGREE and DESCRIP; by default from the dates of the exposures, and INFLIGHT.

        Raises
        ------
        InvalidInputError
            If the map has no dates and these are not given, or ``path`` exists and ``overwrite`` is false.
        """
        if None in (self.first_date, self.last_date) and None in (useafter, pedigree):
            raise InvalidInputError(f"{path}: the map has no dates; a MASK file needs useafter=... and pedigree=...")
        dates = [date and date.utc.strftime("%Y-%m-%d") for date in (self.first_date, self.last_date)]
        write_mask(
            self.dq,
            self.detector,
            path,
            author=author,
            description=description or f"Bad pixels of {self.detector}, dead ones found in sky flats",
            pedigree=pedigree or "INFLIGHT {} {}".format(*dates),
            useafter=useafter or self.first_date,
            history=self.history,
            overwrite=overwrite,
        )

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a FITS file (extensions CLASSES, RESPONSE, ERR, PROBABILITY, KNOWN_DQ) that `read` reads back."""
        _fits.write_map(self, path, overwrite=overwrite)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what `write` wrote.

        Raises
        ------
        InvalidInputError
            If the file is no map of dead pixels; the text names it and what is missing.
        """
        with reading(path):
            return cls(**_fits.read_map(path))

    def plot(self, ax: Any = None, **artist_options: Any) -> Any:
        """Draw the dead pixels on the detector, circles around their concentrations; returns the artist."""
        from nircam_flats.plotting import draw_dead_pixels

        return draw_dead_pixels(self, ax=ax, **artist_options)


def _least_probability(probabilities, purity):
    """The least probability of those taken, most likely first, while their mean stays at least ``purity``."""
    ordered = np.sort(probabilities.astype(float))[::-1]
    enough = np.cumsum(ordered) >= purity * np.arange(1, ordered.size + 1)
    enough &= ordered >= LEAST_PROBABILITY
    n = np.count_nonzero(enough)
    return ordered[n - 1] if n else np.inf


def _refuse_other_frames(frames, grey):
    demand(frames, "frames", "DeadPixelMap.from_delta needs NormalizedFrames as frames")
    if frames.detector != grey.detector or frames.shape != grey.data.shape:
        raise InvalidInputError(
            f"DeadPixelMap.from_delta needs the frames of {grey.detector}, shape {grey.data.shape}; got those of "
            f"{frames.detector}, shape {frames.shape}"
        )
    used, given = set(grey.exposures["name"][grey.exposures["used"]]), {frame.name for frame in frames.frames}
    if used != given:
        raise InvalidInputError(
            f"DeadPixelMap.from_delta needs the frames that the delta skyflat of {grey.detector} was combined of, "
            f"{len(used)}; got {len(given)}, {len(used & given)} of them its own"
        )
