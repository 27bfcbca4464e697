"""The old and the new flat of each exposure."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from astropy.table import QTable
from attrs import field, frozen

from nircam_flats.exceptions import FlatsError, InvalidInputError
from nircam_flats.exposure import Exclusion, ExposureSet
from nircam_flats.parallel import map_ordered
from nircam_flats.reference import FlatReference, GroundFlats
from nircam_flats.reference.ground_flats import expanded

__all__ = ["FlatExchange", "exposure_rows", "to_exposures", "work_on_each"]


def _by_mode(flats):
    flats = flats.values() if isinstance(flats, Mapping) else flats
    items = [flats] if isinstance(flats, str | Path | FlatReference) else list(flats)
    found = {}
    for path in (path for item in items for path in expanded(item)):
        flat = path if isinstance(path, FlatReference) else FlatReference.read(path)
        if (flat.detector, flat.filter) in found:
            raise InvalidInputError(
                f"the new flats must be of different modes; two are of {flat.detector} {flat.filter}"
            )
        found[flat.detector, flat.filter] = flat
    return found


@frozen(kw_only=True)
class FlatExchange:
    """Puts new flats in the place of old ones.

    Attributes
    ----------
    old
        `~nircam_flats.GroundFlats`: those that divided the exposures, found by name.
    new
        Dict from (detector, filter) to `~nircam_flats.FlatReference`.
    """

    old: GroundFlats = field(converter=lambda flats: GroundFlats.collect(flats))
    new: dict = field(converter=_by_mode)

    def after(self, exposure):
        """Return ``exposure`` as its new flat would have calibrated it."""
        mode = exposure.detector, exposure.filter
        if mode not in self.new:
            have = ", ".join(f"{detector} {filter}" for detector, filter in self.new) or "none"
            raise InvalidInputError(
                f"{exposure.name}: a new flat of {mode[0]} {mode[1]} is needed; those given are {have}"
            )
        return self.new[mode].apply_to(exposure, replacing=self.old.find(exposure.flat_name, *mode))


def to_exposures(exposures):
    """Return an `~nircam_flats.ExposureSet` of what can be one, or of paths."""
    if isinstance(exposures, ExposureSet):
        return exposures
    items = [exposures] if isinstance(exposures, str | Path) else exposures
    items = list(items) if hasattr(items, "__iter__") else items
    is_paths = isinstance(items, list) and all(isinstance(item, str | Path) for item in items)
    return ExposureSet.read(items) if is_paths else ExposureSet.from_exposures(items)


def work_on_each(work, exposures, *, executor, stage):
    """Return ``work(member)`` of each exposure that it can be done for, and an `Exclusion` for each of the others."""

    results = list(map_ordered(partial(_attempt, work), exposures, executor=executor, stage=stage))
    made = [item for item in results if not isinstance(item, Exclusion)]
    return made, [item for item in results if isinstance(item, Exclusion)]


def _attempt(work, member):
    try:
        return work(member)
    except FlatsError as error:
        return Exclusion.of(member, error)


def exposure_rows(used, left_out, **columns):
    """Return the table of exposures: those used (their facts, and a value of each of ``columns``), then the others."""
    names = [item.name for item in used] + [item.name for item in left_out]
    known = [*used, *(item.header for item in left_out)]
    table = QTable()
    table["name"] = names
    table["filter"] = ["" if item is None else item.filter.name for item in known]
    table["used"] = [True] * len(used) + [False] * len(left_out)
    table["reason"] = [""] * len(used) + [item.reason for item in left_out]
    for name, (values, missing) in columns.items():
        table[name] = [*values, *[missing] * len(left_out)]
    return table
