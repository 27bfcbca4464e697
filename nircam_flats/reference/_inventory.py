"""What a delivery is made of: ground flats and fits, found by imaging mode."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy.table import QTable
from astropy.time import Time
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, image
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.fit import FlatModelFit, SurfaceCovariance
from nircam_flats.instrument import Detector, Filter, ImagingMode
from nircam_flats.parallel import map_ordered
from nircam_flats.provenance import History
from nircam_flats.reference._fits import read_facts
from nircam_flats.reference.flat_reference import FlatReference
from nircam_flats.reference.ground_flats import GroundFlats, expanded

__all__ = ["Change", "collect_changes", "collect_grounds"]


@frozen(kw_only=True, eq=False)
class Change(HoldsArrays):
    """What correcting takes from a fit: less to hold, and to send to other processes, than a `FlatModelFit`."""

    detector: Detector = field()
    surface: np.ndarray = image(sets_shape=True)
    err: np.ndarray = image()
    covariance: SurfaceCovariance = field()
    flat_names: dict = field(converter=dict)
    exposures: QTable = field()
    first_date: Time | None = field()
    last_date: Time | None = field()
    history: History = field()
    sha256: str = field()

    @property
    def is_grey(self):
        return len(self.flat_names) > 1

    @classmethod
    def of(cls, fit):
        names = ["detector", "surface", "err", "covariance", "flat_names", "exposures"]
        names += ["first_date", "last_date", "history"]
        facts = {name: getattr(fit, name) for name in names}
        digest = hashlib.sha256()
        for part in (facts["surface"], facts["err"], repr((fit.history, fit.flat_names)).encode()):
            digest.update(part)
        digest.update("\n".join(map(str, fit.exposures["name"][fit.exposures["used"]])).encode())
        return cls(**facts, sha256=digest.hexdigest())


def collect_changes(fits):
    """Return a function from (detector, filter) to the `Change` that corrects it, or None.

    The fit of that filter alone, else the grey one with exposures in it, else the grey one of other filters.

    Raises
    ------
    InvalidInputError
        If there is no fit, one cannot be read, or two are as good for a mode.
    """
    items = [fits] if isinstance(fits, FlatModelFit | str | Path) else list(fits)
    changes = list(map_ordered(_change, items))
    if not changes:
        raise InvalidInputError("FlatDelivery needs at least one fit; got none")

    def find(detector, filter):
        here = [change for change in changes if change.detector == detector]
        alone = [change for change in here if list(change.flat_names) == [filter.name]]
        within = [change for change in here if change.is_grey and filter.name in change.flat_names]
        grey = [change for change in here if change.is_grey]
        best = alone or within or grey
        if len(best) > 1:
            shown = " and ".join("+".join(change.flat_names) for change in best)
            raise InvalidInputError(f"FlatDelivery needs one fit for {detector} {filter}; got {len(best)}: {shown}")
        return best[0] if best else None

    return find


def _change(fit):
    return Change.of(fit if isinstance(fit, FlatModelFit) else FlatModelFit.read(fit))


def collect_grounds(source):
    """Return the ground flats by mode, {(detector, filter): [path or flat, ...]}, and what is left out, {name: reason}.

    Parameters
    ----------
    source
        A folder, a path, a `FlatReference`, several of them, a `GroundFlats`, or a mapping from modes
        (`~nircam_flats.ImagingMode` or pairs of detector and filter) to paths or flats.

    Raises
    ------
    InvalidInputError
        If there is no file or flat at all, or the mapping has other keys.
    """
    flats: dict = {}
    unusable: dict = {}
    for wanted, item in _items(source):
        name = item.name or f"{item.detector} {item.filter}"
        try:
            facts = item if isinstance(item, FlatReference) else read_facts(item)
            detector, filter = (
                (facts.detector, facts.filter)
                if isinstance(facts, FlatReference)
                else (facts["detector"], facts["filter"])
            )
        except InvalidInputError as error:
            unusable[name] = str(error)
            continue
        if wanted is not None and wanted != (detector, filter):
            asked = " ".join(map(str, wanted))
            unusable[name] = f"a ground flat of {asked} is needed here; its header says {detector} {filter}"
            continue
        flats.setdefault((detector, filter), []).append(item)
    if not flats and not unusable:
        raise InvalidInputError("FlatDelivery needs at least one ground flat (*.fits); there is none")
    return flats, unusable


def _items(source):
    """Yield (mode or None, path or flat)."""
    if isinstance(source, Mapping):
        for mode, item in source.items():
            yield _mode(mode), item if isinstance(item, FlatReference) else Path(item).expanduser()
        return
    items = source.flats.values() if isinstance(source, GroundFlats) else source
    items = [items] if isinstance(items, str | Path | FlatReference) else items
    for item in items:
        for found in expanded(item):
            yield None, found


def _mode(key):
    if isinstance(key, ImagingMode):
        return key.detector, key.filter
    if isinstance(key, tuple) and len(key) == 2:
        return Detector.get(key[0]), Filter.get(key[1])
    raise InvalidInputError(
        f"a mapping of ground flats needs modes as keys, ImagingMode or (detector, filter); got {key!r}"
    )
