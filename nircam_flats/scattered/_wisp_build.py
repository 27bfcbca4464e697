"""How a wisp template is made of exposures."""

import warnings

import numpy as np
from astropy.table import QTable
from attrs import evolve

from nircam_flats._strategy import checked_image
from nircam_flats.exceptions import FitError, FlatsWarning, InvalidInputError, demand
from nircam_flats.exposure import ExposureSet
from nircam_flats.kernels import box_means, expand_mesh
from nircam_flats.masks import Segmentation, SourceMask
from nircam_flats.scattered._factors import LEAST_SEEN
from nircam_flats.scattered._wisp_meshes import WEAKEST, compare_meshes
from nircam_flats.scattered._wisp_shape import find_outline, smoothed_by_scale, smoothed_mesh
from nircam_flats.scattered._wisp_stack import WispStack, surface_of
from nircam_flats.skyflat import NormalizedFrames
from nircam_flats.skyflat.meshes import MESH_BOX, box_size_for

__all__ = ["build_template"]

FEWEST = 3
WIDEST = 0.9
"""Part of the frame that a wisp may cover."""
N_TURNS = 2
PLACE = "WispTemplate.from_exposures"
ALIKE = 3.0
"""Scatter of strength over sky, in its errors, from which on a wisp is told from a flat."""


def build_template(exposures, *, correction, masks, outline, **settings):
    """Return the fields of a `WispTemplate` as a dict; parameters and errors are those of its ``from_exposures``."""
    _demand_wisps(exposures, outline)
    if masks is None:
        frames = _masked_frames(exposures, correction, settings)
    else:
        frames = NormalizedFrames.from_exposures(exposures, masks=masks, correction=correction, **settings)
    found = _Turns(frames, correction, outline, settings["executor"])
    for turn in range(N_TURNS):
        found.find_shape()
        found.find_strengths(judge=turn < N_TURNS - 1)
    return found.fields()


def _masked_frames(exposures, correction, settings):
    """Mask sources with the wisp taken out: what box medians of the images, with all their sources, have in common."""

    def nothing(exposure):
        return ~exposure.good

    frames = NormalizedFrames.from_exposures(exposures, masks=nothing, correction=correction, **settings)
    strengths, _, pattern, _ = compare_meshes(frames, surface_of(correction), executor=settings["executor"])
    wisp = expand_mesh(pattern, MESH_BOX, frames.shape)
    strength_of = dict(zip((frame.name for frame in frames.frames), strengths, strict=True))

    def sources(exposure):
        light = np.float32(strength_of[exposure.name]) * wisp * surface_of(correction)
        clean = evolve(exposure, data=exposure.data - light)
        return SourceMask.from_exposure(clean, Segmentation(), correction=correction)

    chosen = ExposureSet(
        members=[member for member in exposures if member.name in strength_of], excluded=frames.excluded
    )
    return NormalizedFrames.from_exposures(chosen, masks=sources, correction=correction, **settings)


def _demand_wisps(exposures, outline):
    demand(exposures, "for_one_detector", f"{PLACE} needs an ExposureSet (ExposureSet.read(...))")
    filters = sorted({member.filter.name for member in exposures})
    if len(filters) != 1:
        raise InvalidInputError(
            f"{PLACE} needs exposures in one filter, because wisps differ between them; got "
            f"{', '.join(filters) or 'none'}: choose with exposures.where(filter=...)"
        )
    detectors = {member.detector for member in exposures}
    known = [detector for detector in detectors if detector.has_wisps]
    if not known and outline is None:
        raise InvalidInputError(
            f"{PLACE}: A3, A4, B3 and B4 are known for wisps; got {', '.join(sorted(map(str, detectors)))}: if these "
            "show scattered light, say where with outline=..."
        )
    if len(exposures) < FEWEST:
        raise InvalidInputError(f"{PLACE} needs at least {FEWEST} exposures; got {len(exposures)}")


def _checked_outline(outline, shape):
    outline = checked_image(outline, shape, bool, f"{PLACE}: outline")
    if not outline.any() or outline.mean() > WIDEST:
        raise InvalidInputError(
            f"{PLACE}: outline must be True where the wisp may be and leave {1 - WIDEST:.0%} of the frame beside it, "
            f"which tells the sky; got {outline.mean():.0%} True"
        )
    return outline


class _Turns:
    """Strengths and shape of the wisp in a set of frames, found in turns."""

    def __init__(self, frames, correction, outline, executor):
        self.names = [frame.name for frame in frames.frames]
        self.given = None if outline is None else _checked_outline(outline, frames.shape)
        self.errs = dict.fromkeys(self.names, np.nan)
        self.reasons = dict.fromkeys(self.names, "")
        if len(frames) < FEWEST:
            reasons = "; ".join(str(item) for item in frames.excluded)
            raise InvalidInputError(
                f"{PLACE} needs at least {FEWEST} exposures that can be used; got {len(frames)}; left out: {reasons}"
            )
        values, skies, _, light = compare_meshes(frames, surface_of(correction), executor=executor)
        self.values, self.skies = (dict(zip(self.names, items, strict=True)) for items in (values, skies))
        nothing = np.ones([-(-size // box_size_for(frames.shape)) for size in frames.shape])
        self.backgrounds = {name: sky * nothing for name, sky in self.skies.items()}
        self.frames = frames.without(light)
        self.stack = WispStack(frames=self.frames, correction=correction, executor=executor)

    @property
    def used(self):
        return [name for name in self.names if not self.reasons[name]]

    def find_shape(self):
        self.numbers = used = [self.names.index(name) for name in self.used]
        box_size = box_size_for(self.frames.shape)
        picture, err, influences = self.stack.picture(
            used, [self.values[name] for name in self.used], [self.backgrounds[name] for name in self.used]
        )
        influences = np.stack([smoothed_mesh(item, box_size) for item in influences])
        shared = np.sqrt(len(used) / (len(used) - 1) * np.sum(influences.astype(np.float64) ** 2, axis=0))
        shared = np.maximum(expand_mesh(shared, box_size, picture.shape), 0)
        result, pixel_err, smooth = smoothed_by_scale(picture, err)
        self.outline = find_outline(smooth, shared, place=PLACE) if self.given is None else self.given
        self.influences = influences * box_means(self.outline.astype(np.float32), box_size)
        self.data = np.where(self.outline, result - np.median(smooth[~self.outline]), np.float32(0))
        self.err = np.where(self.outline, np.hypot(pixel_err, shared), np.float32(0))

    def find_strengths(self, *, judge):
        """Fit the strengths, and scale the shape so that they are 1 on average.

        ``judge`` tells whether to choose anew which exposures the shape is made of.
        """
        found = dict(zip(self.names, self.stack.strengths(self.data, self.influences, self.numbers), strict=True))
        fitted = {name: item for name, item in found.items() if not isinstance(item, FitError)}
        if judge:
            self._judge(found, fitted)
        mean = np.float32(np.mean([fitted[name].value for name in self.used if name in fitted]))
        self.data, self.err, self.influences = (item * mean for item in (self.data, self.err, self.influences))
        for name, item in fitted.items():
            self.values[name], self.errs[name] = item.value / mean, item.err / mean
            self.skies[name], self.backgrounds[name] = item.sky, item.background

    def _judge(self, found, fitted):
        typical = np.median([item.value for item in fitted.values()]) if fitted else np.nan
        self.reasons = {name: self._reason(found[name], typical) for name in self.names}
        for name in found.keys() - fitted.keys():
            self.values[name], self.skies[name] = np.nan, np.nan
        if len(self.used) < FEWEST:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.reasons.items() if reason)
            raise FitError(
                f"{PLACE} needs at least {FEWEST} exposures that show the wisp; got {len(self.used)}; left out: "
                f"{reasons}"
            )

    @staticmethod
    def _reason(found, typical):
        if isinstance(found, FitError):
            return str(found)
        if found.seen < LEAST_SEEN:
            return f"sources and other light hide its wisp: {found.seen:.0%} of it can be seen"
        if not found.value > WEAKEST * typical:
            return f"its wisp is too weak to tell its shape: {found.value / typical:.2f} times the usual"
        return ""

    def fields(self):
        """The fields of the template."""
        self._warn_if_alike()
        excluded = self.frames.excluded
        first = self.frames.frames[0]
        table = QTable(
            {
                "name": [*self.names, *(item.name for item in excluded)],
                "used": [*(not self.reasons[name] for name in self.names), *(False for _ in excluded)],
                "reason": [*self.reasons.values(), *(item.reason for item in excluded)],
                "strength": [*self.values.values(), *(np.nan for _ in excluded)],
                "strength_err": [*self.errs.values(), *(np.nan for _ in excluded)],
                "sky": [*self.skies.values(), *(np.nan for _ in excluded)] * first.level.unit,
            }
        )
        return {
            "detector": self.frames.detector,
            "filter": first.filter,
            "data": self.data,
            "err": self.err,
            "outline": self.outline,
            "amplitude_err": self._amplitude_err(),
            "influences": self.influences,
            "unit": first.level.unit,
            "exposures": table,
            "history": self.frames.history.then(
                "make wisp template",
                exposures=len(self.used),
                outline="found" if self.given is None else "given",
                correction="none" if self.stack.correction is None else self.stack.correction.strategy,
            ),
        }

    def _amplitude_err(self):
        """Relative error of the template as a whole: that of the mean strength of its exposures."""
        errs = np.array([self.errs[name] for name in self.used])
        return float(np.sqrt(np.sum(errs**2)) / len(errs))

    def _warn_if_alike(self):
        skies = np.array([self.skies[name] for name in self.used])
        values, errs = (np.array([items[name] for name in self.used]) for items in (self.values, self.errs))
        ratio, err = values / skies, errs / skies
        centre = np.average(ratio, weights=1 / err**2)
        if np.sum(((ratio - centre) / err) ** 2) < ALIKE**2 * (len(ratio) - 1):
            warnings.warn(
                f"{PLACE}: the wisp of {self.frames.detector} is as strong as the sky is bright in all exposures, "
                f"within errors (strength / sky varies by {np.std(ratio / centre):.1%}), so nothing tells it from an "
                "error of the flat: the template is what the correction left, whatever it is",
                FlatsWarning,
                stacklevel=5,
            )
