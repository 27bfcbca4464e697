"""Which exposures belong in a flat: rules for what their headers say and what their first masked frames show."""

from collections import defaultdict
from collections.abc import Iterator
from warnings import catch_warnings, simplefilter

import numpy as np
from astropy import units as u
from astropy.time import Time
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, check_part, quantity
from nircam_flats.exceptions import demand
from nircam_flats.exposure import Exposure, ExposureHeader, ExposureSet
from nircam_flats.instrument import DQ
from nircam_flats.kernels import large_groups
from nircam_flats.skyflat.frames import NormalizedFrames

__all__ = ["AdmissionRules"]

FEWEST_BOXES = 64
"""A frame of less shows no shape of its light."""
FEWEST_OTHERS = 3
"""Frames of a filter that tell what is typical of it."""
BRIGHT_BOX = 1.1
"""Light of a box, relative to what is typical there, that is taken for an object."""


def _to_time(value: object) -> Time | None:
    return None if value is None else Time(value)


@frozen(kw_only=True, eq=False)
class AdmissionRules(HoldsArrays):
    """Which exposures go into a flat; None (or False) turns a rule off.

    What can never be combined is left out whatever the rules: see `~nircam_flats.ExposureSet.check` (no imaging, not
    divided by a flat, sky subtracted, visit failed, other layout, there twice). Claws are predicted by
    `~nircam_flats.ClawForecast`, whose ``flags`` go the same way, to `~nircam_flats.ExposureSet.exclude`.

    Attributes
    ----------
    min_exposure_time
        Shorter ones are left out, s.
    first_date, last_date
        Those that began earlier or later are left out: flats change with time.
    refuse_cleaned
        Whether those that were cleaned of 1/f noise (S_CLNFNS) are left out: row by row that takes the flat's own
        structure away, unless a flat was used, which the header does not say.
    min_level
        A fainter sky is left out, MJy/sr: what was added to it (bias, scattered light) is too large a part of it.
    max_level_ratio
        Largest ratio of the sky level to the median of those of the same filter: stray light.
    max_masked
        Largest masked part of the good pixels: a crowded field hides faint sources everywhere.
    max_asymmetry
        Largest ``|1 - mean / median|`` of the boxes of a frame, relative to the typical frame of its filter: light that
        others do not have.
    max_object
        Largest part of the frame that one object may take, its halo included.
    max_persistence
        Largest part of the pixels that saturated in an earlier exposure of the same visit, within
        ``persistence_time``: they glow where the telescope pointed before. The flags of all exposures are read for it.
    persistence_time
        How long they are taken to glow, s.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy import units as u
    >>> from nircam_flats import AdmissionRules, Exposure, ExposureSet
    >>> image = {"data": np.ones((8, 8)), "detector": "B4", "filter": "F200W"}
    >>> exposures = ExposureSet.from_exposures(Exposure(**image, exposure_time=time * u.s) for time in (100, 900))
    >>> AdmissionRules(min_exposure_time=300 * u.s).reasons(exposures)
    ['its exposure time must be at least 300 s; it is 100 s', '']
    """

    min_exposure_time: u.Quantity | None = quantity(u.s, optional=True)
    first_date: Time | None = field(default=None, converter=_to_time)
    last_date: Time | None = field(default=None, converter=_to_time)
    refuse_cleaned: bool = field(default=True, converter=bool)
    min_level: u.Quantity | None = quantity(u.MJy / u.sr, default=0.02 * u.MJy / u.sr, optional=True)
    max_level_ratio: float | None = field(default=None)
    max_masked: float | None = field(default=0.6, validator=check_part)
    max_asymmetry: float | None = field(default=0.03, validator=check_part)
    max_object: float | None = field(default=0.3, validator=check_part)
    max_persistence: float | None = field(default=None, validator=check_part)
    persistence_time: u.Quantity = quantity(u.s, default=1800 * u.s)

    @classmethod
    def none(cls) -> "AdmissionRules":
        """Return rules that are all turned off."""
        off = dict.fromkeys(("min_level", "max_masked", "max_asymmetry", "max_object"))
        return cls(refuse_cleaned=False, **off)

    def reasons(self, exposures: ExposureSet, frames: NormalizedFrames | None = None) -> list[str]:
        """Return why each exposure does not belong in a flat, a text for each; empty where it does.

        Parameters
        ----------
        exposures
            An `~nircam_flats.ExposureSet`.
        frames
            Their `NormalizedFrames`, of any pass; without, what pixels show is not judged. Exposures without a frame
            are not judged by it.
        """
        found = [list(self._of_header(member)) for member in exposures]
        if self.max_persistence is not None:
            for texts, part in zip(found, _persistence(exposures, self.persistence_time), strict=True):
                if part > self.max_persistence:
                    texts.append(
                        f"at most {self.max_persistence:.3g} of its pixels may have saturated within "
                        f"{self.persistence_time:.4g} before; it is {part:.3g}"
                    )
        if frames is not None:
            shown = self._of_frames(frames)
            for texts, member in zip(found, exposures, strict=True):
                texts += shown.get(member.name, ())
        return [", and ".join(texts) for texts in found]

    def admit(self, exposures: ExposureSet, frames: NormalizedFrames | None = None) -> ExposureSet:
        """Return the set of those that belong in a flat; the others are in its ``excluded`` with their reasons."""
        demand(exposures, "exclude", "AdmissionRules.admit needs an ExposureSet (ExposureSet.read(...))")
        reasons = self.reasons(exposures, frames)
        return exposures.exclude([bool(reason) for reason in reasons], reasons)

    def _of_header(self, member: Exposure | ExposureHeader) -> Iterator[str]:
        time = member.exposure_time
        if self.min_exposure_time is not None and (time is None or time < self.min_exposure_time):
            came = "not known" if time is None else f"{time:.4g}"
            yield f"its exposure time must be at least {self.min_exposure_time:.4g}; it is {came}"
        for limit, sign, word in ((self.first_date, 1, "before"), (self.last_date, -1, "after")):
            if limit is not None and (member.start is None or sign * (member.start - limit) < 0 * u.s):
                came = "it is not known when it did" if member.start is None else f"it did on {member.start.isot}"
                yield f"it must not begin {word} {limit.isot}; {came}"
        if self.refuse_cleaned and member.steps.get("S_CLNFNS") == "COMPLETE":
            yield "S_CLNFNS must not be COMPLETE: cleaned of 1/f noise, which can take the flat's structure with it"

    def _of_frames(self, frames: NormalizedFrames) -> dict[str, list[str]]:
        """What the frames show, by their names."""
        by_filter = defaultdict(list)
        for frame in frames.frames:
            by_filter[frame.filter].append(frame)
        found: dict[str, list[str]] = {}
        for group in by_filter.values():
            typical = np.median([frame.level.value for frame in group])
            for frame, mesh in zip(group, _relative_meshes(group), strict=True):
                texts = found[frame.name] = []
                level = frame.level.value * frame.level.unit
                if self.min_level is not None and _is_below(level, self.min_level):
                    texts.append(f"its sky must be at least {self.min_level:.3g}; it is {level:.3g}")
                ratio = frame.level.value / typical
                if self.max_level_ratio is not None and ratio > self.max_level_ratio:
                    texts.append(
                        f"its sky must be at most {self.max_level_ratio:.3g} times the usual; it is {ratio:.3g}"
                    )
                masked = frame.level.masked_fraction
                if self.max_masked is not None and masked > self.max_masked:
                    texts.append(f"its masked part must be at most {self.max_masked:.3g}; it is {masked:.3f}")
                if mesh.size >= FEWEST_BOXES:
                    texts += self._of_mesh(mesh)
        return found

    def _of_mesh(self, mesh: np.ndarray) -> Iterator[str]:
        asymmetry = abs(1 - np.nanmean(mesh) / np.nanmedian(mesh))
        if self.max_asymmetry is not None and asymmetry > self.max_asymmetry:
            yield f"|1 - mean / median| of its boxes must be at most {self.max_asymmetry:.3g}; it is {asymmetry:.3f}"
        if self.max_object is not None:
            taken = ~(mesh < BRIGHT_BOX * np.nanmedian(mesh))
            n = int(np.count_nonzero(large_groups(taken, int(self.max_object * mesh.size) + 1)))
            if n:
                yield f"one object may take at most {self.max_object:.3g} of it; it takes {n / mesh.size:.2f}"


def _is_below(level: u.Quantity, limit: u.Quantity) -> bool:
    """Whether it is; counts, which say nothing of the sky, are not."""
    return level.unit.is_equivalent(limit.unit) and level < limit


def _relative_meshes(group: list) -> np.ndarray:
    """The meshes of frames of a filter, over what is typical of them if there are enough."""
    meshes = np.stack([frame.mesh for frame in group])
    if len(group) < FEWEST_OTHERS:
        return meshes
    with catch_warnings():
        simplefilter("ignore", RuntimeWarning)  # of medians of nothing, where all are masked
        return meshes / np.nanmedian(meshes, axis=0)


def _persistence(exposures: ExposureSet, glow: u.Quantity) -> list[float]:
    """Part of the pixels of each exposure that saturated in an earlier one of its visit and detector."""
    parts = [0.0] * len(exposures)
    seen: dict = defaultdict(list)
    order = sorted((m.start, i) for i, m in enumerate(exposures) if m.start is not None)
    for start, i in order:
        member = exposures[i]
        dq = member.load(planes=("dq",)).dq
        if dq is None:
            continue
        visit = (member.detector, member.program, member.observation, member.visit)
        seen[visit] = [(end, then) for end, then in seen[visit] if start - end < glow]
        earlier = [then for _, then in seen[visit] if then.shape == dq.shape]
        if earlier:
            parts[i] = float(np.mean(np.logical_or.reduce(earlier)))
        seen[visit].append((start if member.end is None else member.end, DQ.SATURATED.is_set(dq)))
    return parts
