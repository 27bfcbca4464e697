"""Is it flat or is it light?  The response of a detector in one filter, separated from light that varies."""

from concurrent.futures import Executor
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from astropy.table import QTable
from attrs import evolve, field, frozen
from scipy.ndimage import label

from nircam_flats._fields import HoldsArrays, image, to_tuple
from nircam_flats._files import reading
from nircam_flats.exceptions import InvalidInputError, demand
from nircam_flats.instrument import Detector, Filter
from nircam_flats.instrument.detector import to_detector
from nircam_flats.instrument.filters import to_filter
from nircam_flats.provenance import History
from nircam_flats.scattered import _decomposition_fits
from nircam_flats.scattered._light import (
    cleaned,
    errors_of_light,
    left_out_of,
    light_of_frames,
    second_template_of,
    strengths_of,
    template_of,
    with_errors,
)
from nircam_flats.scattered._posterior import separate, without_odd_boxes
from nircam_flats.scattered._separation import EIGHT_CONNECTED
from nircam_flats.scattered.evidence import LightEvidence
from nircam_flats.scattered.gauge import Gauge, SmoothResponse
from nircam_flats.scattered.identifiability import Identifiability
from nircam_flats.scattered.wisp_template import WispTemplate
from nircam_flats.skyflat import CombineStrategy, DeltaSkyflat, NormalizedFrames
from nircam_flats.skyflat.meshes import box_size_for

__all__ = ["SkyDecomposition", "light_of", "without_light"]

FEWEST = 8
"""Boxes along the shorter side of the frames, at least: fewer tell no light from a smooth response."""
UNKNOWN = 0.01
"""Error of the response, in a box where it is not smooth beneath the light, from which on the box is left out."""


@frozen(kw_only=True, eq=False)
class SkyDecomposition(HoldsArrays):
    """The frames of one detector and filter as response times sky plus light of varying strength.

    Attributes
    ----------
    detector, filter
        Of the frames.
    delta
        The response: an ordinary `~nircam_flats.DeltaSkyflat`, free of the light. Where the frames cannot tell the two
        apart, boxes are left out of it (NaN), for fits to go across.
    wisp
        The light: a `~nircam_flats.WispTemplate`; None if there is none, or none that could be told from response.
    second
        Light whose strengths vary beside those of `wisp`, where frames that are held out show it: a
        `~nircam_flats.WispTemplate` of one standard deviation of these strengths; otherwise None.
    strengths
        Table with a row per frame: name, strength (1 on average), its 1 sigma error, the part of the power of the light
        that the frame shows (``seen``), those of a second light (columns ``second`` and ``second_err``; 0 on average,
        because its mean is part of `wisp`), sky level. Where a frame shows less than a fifth, the halo of what hides
        the rest would pass for light: it has no strength (NaN, ``used`` is False), and `delta` is made without its
        boxes in the outline.
    evidence
        For light or response, box by box: a `LightEvidence`.
    verdicts
        What each structure of the mean frame is, a tuple of `Verdict`, the largest first.
    identifiability
        How well the two could be told apart, an `Identifiability`.
    light
        What each frame loses, {name: `~nircam_flats.skyflat.light.FrameLight`}, for
        `~nircam_flats.NormalizedFrames.minus`.
    light_err, influences
        1 sigma error that the light leaves in `delta`, an image, and what each frame adds to it on the mesh of
        `DeltaSkyflat.influences`; both are counted there.
    outline, left_out
        Boolean meshes of the boxes with structure, and of those that the response is left without: where it could not
        be told from light, or is known worse than to 1 % because something beneath the light is not smooth.
    history
        How it was made.

    Notes
    -----
    The frames, images divided by their sky level, are modelled as ``f_j(x) = F(x) + s_j W(x)`` with the response F,
    the light W and its strength s_j relative to the sky; with a second light W2 there is ``b_j W2(x)`` beside. See
    "Method" in the documentation.
    """

    MIN_FRAMES: ClassVar[int] = 3

    detector: Detector = field(converter=to_detector, repr=str)
    filter: Filter = field(converter=to_filter, repr=str)
    delta: DeltaSkyflat = field()
    wisp: WispTemplate | None = field()
    second: WispTemplate | None = field(default=None)
    strengths: QTable = field(repr=lambda table: f"<{len(table)} frames>")
    evidence: LightEvidence = field(repr=False)
    verdicts: tuple = field(converter=to_tuple, repr=lambda items: f"<{', '.join(item.kind for item in items)}>")
    identifiability: Identifiability = field(repr=False)
    light: dict = field(converter=dict, repr=lambda items: f"<{len(items)} frames>")
    light_err: np.ndarray = image()
    influences: np.ndarray = image(ndim=3, follows_shape=False)
    outline: np.ndarray = image(bool, follows_shape=False)
    left_out: np.ndarray = image(bool, follows_shape=False)
    history: History = field(factory=History, repr=False)

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a FITS file (extensions of the delta skyflat, light, evidence, verdicts) that `read` reads back."""
        _decomposition_fits.write_decomposition(self, path, overwrite=overwrite)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what `write` wrote.

        Raises
        ------
        InvalidInputError
            If the file is no decomposition; the text names it and what is missing.
        """
        with reading(path):
            return cls(**_decomposition_fits.read_decomposition(path))

    def plot(self, ax: Any = None, **artist_options: Any) -> Any:
        """Draw the evidence for light or response; returns the artist."""
        return self.evidence.plot(ax, title=f"{self.detector} {self.filter}: flat or light?", **artist_options)

    @property
    def verdict(self) -> Any:
        """What the decomposition says, in words: a sentence for the whole and one for each structure."""
        return " ".join([str(self.identifiability), *map(str, self.verdicts)])

    @classmethod
    def from_frames(
        cls,
        frames: NormalizedFrames,
        *,
        gauge: Any = None,
        box_size: int | None = None,
        strategy: CombineStrategy | None = None,
        executor: Executor | None = None,
    ) -> Self:
        """Separate the frames of one detector in one filter.

        Parameters
        ----------
        frames
            `~nircam_flats.NormalizedFrames`, of one filter (each filter has its own response), 3 or more.
        gauge
            The rule that fixes the gauge, a `Gauge`; by default `SmoothResponse`.
        box_size
            Side of the boxes on which the light is resolved, pixels; by default 32 for full frames, 1/32 of small ones.
        strategy, executor
            How the frames without light are combined; see `~nircam_flats.DeltaSkyflat.from_frames`.

        Raises
        ------
        InvalidInputError
            If there are several filters, fewer than 3 frames, or boxes that are too large.
        """
        gauge = SmoothResponse() if gauge is None else gauge
        frames, box_size, found = _separated(frames, gauge, box_size)
        identifiability = Identifiability.of(found, gauge)
        evidence = _evidence(found, identifiability, gauge, box_size, frames.shape)
        light = light_of_frames(found, frames, box_size)
        settings = {"gauge": gauge, "box_size": box_size}
        influences, err = errors_of_light(found, gauge, box_size, frames.shape)
        left_out = found.free & (found.light_err > UNKNOWN) if identifiability.determined else found.outline
        subtracted = light if identifiability.determined else dict.fromkeys(light)
        strengths = strengths_of(found, frames)
        without = cleaned(frames, subtracted, left_out_of(strengths, left_out, found.outline), box_size)
        delta = DeltaSkyflat.from_frames(without, strategy=strategy, executor=executor)
        if identifiability.determined:
            delta = with_errors(delta, influences, err)
        history = frames.history.then("decompose", **settings)
        templates = {
            name: make(found, frames, box_size, history) if identifiability.determined else None
            for name, make in (("wisp", template_of), ("second", second_template_of))
        }
        return cls(
            detector=frames.detector,
            filter=frames.filters[0],
            delta=evolve(delta, history=delta.history.then("decompose", **settings)),
            **templates,
            strengths=strengths,
            evidence=evidence,
            verdicts=_verdicts(found, evidence),
            identifiability=identifiability,
            light=light,
            light_err=err,
            influences=influences,
            outline=found.outline,
            left_out=left_out,
            history=history,
        )

    def taken_out_of(self, frames: NormalizedFrames) -> NormalizedFrames:
        """Return frames, of any filters, without the light in those of this filter.

        The boxes that are left out are masked in these frames; all of the outline if nothing could be told apart.

        Raises
        ------
        InvalidInputError
            If they are of another detector or shape.
        """
        demand(frames, "boxed", "SkyDecomposition.taken_out_of needs NormalizedFrames")
        if (frames.detector, frames.shape) != (self.detector, self.delta.data.shape):
            raise InvalidInputError(
                f"SkyDecomposition.taken_out_of needs frames of {self.detector} with shape {self.delta.data.shape}; "
                f"got {frames.detector} with {frames.shape}"
            )
        light = self.light if self.identifiability.determined else dict.fromkeys(self.light)
        left_out = left_out_of(self.strengths, self.left_out, self.outline)
        return cleaned(frames, light, left_out, self.evidence.box_size)


def light_of(frames, *, gauge=None, box_size=None):
    """Return what `SkyDecomposition.light` says, without making anything else of the frames.

    Where light and response cannot be told apart, all structure counts as light: that is what masks must not take for
    sources.
    """
    frames, box_size, found = _separated(frames, SmoothResponse() if gauge is None else gauge, box_size)
    return light_of_frames(found, frames, box_size)


def _separated(frames, gauge, box_size):
    """The frames with the light of the detector in them, the side of the boxes, and what is told in these."""
    _check(frames)
    if not isinstance(gauge, Gauge):
        raise InvalidInputError(f"SkyDecomposition needs a Gauge, SmoothResponse(), say; got {gauge!r}")
    frames = frames.minus({})
    box_size = box_size_for(frames.shape) if box_size is None else box_size
    largest = max(min(frames.shape) // FEWEST, 1)
    if box_size != int(box_size) or not 1 <= box_size <= largest:
        raise InvalidInputError(
            f"SkyDecomposition needs a box_size of 1 to {largest} pixels, {FEWEST} boxes along a side; got {box_size}"
        )
    meshes, noise = frames.boxed(box_size).astype(float), [frame.noise for frame in frames.frames]
    empty = [frame.name for frame, mesh in zip(frames.frames, meshes, strict=True) if np.isnan(mesh).all()]
    if empty:
        raise InvalidInputError(
            f"SkyDecomposition needs frames that show something; {', '.join(empty)} are masked all over: leave them out"
        )
    return frames, box_size, separate(meshes, noise, gauge, frames.fields)


def without_light(delta, frames, parts):
    """Return a delta skyflat of frames of several filters with the errors of the light that was taken out of them.

    Parameters
    ----------
    delta
        What `frames` were combined to.
    frames
        Frames of which the light has been taken out (`SkyDecomposition.taken_out_of`).
    parts
        The decompositions, an iterable of `SkyDecomposition`.

    Notes
    -----
    In the mean of N frames, the light of a filter with n frames counts n / N. Where the response is not smooth it is so
    in all filters, so their errors are added, not their squares.
    """
    parts = [part for part in parts if part.identifiability.determined]
    if not parts:
        return delta
    influences, err = np.zeros_like(delta.influences), np.zeros_like(delta.err)
    names = [frame.name for frame in frames.frames]
    for part in parts:
        share = len(part.strengths) / len(names)
        err += np.float32(share) * part.light_err
        influences[[names.index(name) for name in part.strengths["name"]]] += np.float32(share) * part.influences
    return with_errors(delta, influences, err)


def _check(frames):
    demand(frames, "boxed", "SkyDecomposition.from_frames needs NormalizedFrames")
    if len(frames.filters) > 1:
        names = ", ".join(item.name for item in frames.filters)
        raise InvalidInputError(
            f"SkyDecomposition needs frames of one filter, because each has its own response; got {names}: take "
            "frames.where(filter=...)"
        )
    if len(frames) < SkyDecomposition.MIN_FRAMES:
        raise InvalidInputError(
            f"SkyDecomposition of {frames.detector} {frames.filters[0]} needs at least {SkyDecomposition.MIN_FRAMES} "
            f"frames to see light vary; got {len(frames)}"
        )


def _evidence(found, identifiability, gauge, box_size, shape):
    regression, fit = found.regression, found.gauge
    varying, varying_err = regression.varying(fit.constant, fit.of_second)
    stripe_err = np.nan_to_num(varying_err) * np.sqrt(regression.stripe_share)
    excess, odd, _ = without_odd_boxes(regression.mean - fit.surface, found.misfit)
    varying = np.where(odd, np.nan, varying)
    if not identifiability.determined:
        varying, varying_err = np.full_like(varying, np.nan), np.full_like(varying, np.inf)
    return LightEvidence(
        excess=excess,
        excess_err=np.hypot(found.misfit, fit.surface_err),
        varying=varying,
        varying_err=varying_err,
        stripe_err=stripe_err,
        light=found.light if identifiability.determined else np.zeros_like(found.light),
        constant_err=identifiability.constant_err,
        box_size=box_size,
        shape=shape,
        rests_on=gauge.statement,
    )


def _verdicts(found, evidence):
    """The verdict on each structure: the features of the response within the light, then the rest of each outline."""
    verdicts = []
    for boxes, within in ((found.features, None), (found.outline & ~found.features, found.outline)):
        labels, n_groups = label(boxes, structure=EIGHT_CONNECTED)
        groups = [(labels == group).astype(float) for group in range(1, n_groups + 1)]
        verdicts += [evidence.judge_boxes(share, within) for share in groups]
    return sorted(verdicts, key=lambda verdict: -verdict.n_pixels)
