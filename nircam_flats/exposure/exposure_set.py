"""Many exposures: on disk or in memory, selected, grouped, tabulated, checked."""

import glob
import os
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import QTable
from astropy.time import Time
from astropy.utils.masked import Masked
from attrs import evolve, field, frozen

from nircam_flats.exceptions import FlatsWarning, InvalidInputError
from nircam_flats.exposure._checks import demand_one_flat, member_problems
from nircam_flats.exposure.exposure import ExposureHeader
from nircam_flats.exposure.facts import ExposureFacts
from nircam_flats.instrument import Detector, Filter
from nircam_flats.parallel import map_ordered

__all__ = ["Exclusion", "ExposureSet"]


@frozen(kw_only=True, eq=False)
class Exclusion:
    """An exposure left out, and why.

    Attributes
    ----------
    name
        Of the exposure, or of its file if that could not be read.
    path
        The file, or None.
    reason
        Why, as a sentence.
    header
        The exposure's facts; None if they could not be read.
    """

    name: str = field()
    path: Path | None = field(default=None)
    reason: str = field()
    header: ExposureHeader | None = field(default=None, repr=False)

    def __str__(self):
        return f"{self.name}: {self.reason}"


# What exposures are selected and grouped by: how a wanted value is understood, how values are ordered.
_KEYS = {
    "detector": (Detector.get, lambda value: value.sca_id),
    "filter": (Filter.get, lambda value: (value.channel == "LW", value.pivot.to_value(u.um))),
    "channel": (lambda value: str(value).upper(), str),
    "module": (lambda value: str(value).upper(), str),
}
_KEYS |= {
    name: (str, lambda value: value or "")
    for name in ("name", "program", "observation", "visit", "subarray", "flat_name")
}


def _value(member, key):
    return getattr(member.detector, key) if key in ("channel", "module") else getattr(member, key)


def _check_keys(keys, where):
    for key in keys:
        if key not in _KEYS:
            raise InvalidInputError(
                f"ExposureSet.{where}: a key must be among {', '.join(_KEYS)}; got {key!r}"
            )


def _expand(paths):
    """Return the paths that a pattern, a path, or many of them stand for."""
    if not isinstance(paths, str | os.PathLike):
        return [path for item in paths for path in _expand(item)]
    text = os.path.expanduser(paths)
    if os.path.isdir(text):
        raise InvalidInputError(
            f"ExposureSet.read: needed files; got the folder {text}; say {os.path.join(text, '*_cal.fits')}"
        )
    if os.path.exists(text) or not glob.has_magic(text):
        return [Path(text)]
    return [Path(found) for found in sorted(glob.glob(text, recursive=True))]


def _read_or_reason(path):
    try:
        return ExposureHeader.read(path)
    except InvalidInputError as error:
        reason = str(error).removeprefix(f"{path}: ")
        return Exclusion(name=path.name, path=path, reason=reason)


def _to_members(members):
    members = tuple(members)
    for member in members:
        if not isinstance(member, ExposureFacts):
            raise InvalidInputError(
                f"ExposureSet.members must be Exposure or ExposureHeader; got {type(member).__name__}"
            )
    return members


@frozen(kw_only=True, eq=False, repr=False)
class ExposureSet:
    """Exposures to work on together, and those left out so far.

    Attributes
    ----------
    members
        Each an `ExposureHeader` (pixels on disk) or an `Exposure` (in memory); ``member.load()`` gives the
        `Exposure` of either.
    excluded
        An `Exclusion` for each that was left out.

    Examples
    --------
    >>> import numpy as np
    >>> from nircam_flats import Exposure, ExposureSet
    >>> exposures = ExposureSet.from_exposures(
    ...     Exposure(data=np.ones((8, 8)), detector=name, filter="F200W") for name in ("B4", "B4", "A1")
    ... )
    >>> exposures.where(detector=489)
    <ExposureSet: 2 exposures, NRCB4, F200W>
    """

    members: tuple = field(converter=_to_members)
    excluded: tuple = field(default=(), converter=tuple)

    @classmethod
    def read(cls, paths, *, executor=None):
        """Read the headers of many ``_cal`` files; pixels are left on disk.

        A file that cannot be used is left out, named in `excluded` with the reason, and one `FlatsWarning` says
        how many there are.

        Parameters
        ----------
        paths
            A pattern such as ``"cal/*_cal.fits"`` (``**`` matches folders), a path, or any number of them.
        executor
            As in `nircam_flats.parallel.map_ordered`.

        Raises
        ------
        InvalidInputError
            If no file is found, or none can be used.
        """
        expanded = _expand(paths)
        if not expanded:
            raise InvalidInputError(f"ExposureSet.read: needed at least one file; nothing matches {paths!r}")
        found = list(map_ordered(_read_or_reason, expanded, executor=executor, stage="reading headers"))
        members = [item for item in found if isinstance(item, ExposureHeader)]
        excluded = [item for item in found if isinstance(item, Exclusion)]
        if not members:
            raise InvalidInputError(
                f"ExposureSet.read: needed at least one usable _cal file; all {len(excluded)} were refused; "
                f"the first is {excluded[0]}"
            )
        if excluded:
            warnings.warn(
                f"{len(excluded)} of {len(found)} files cannot be used (see .excluded); the first is {excluded[0]}",
                FlatsWarning,
                stacklevel=2,
            )
        return cls(members=members, excluded=excluded)

    @classmethod
    def from_exposures(cls, exposures):
        """Return the set of these exposures: an iterable of `Exposure` or `ExposureHeader`."""
        return cls(members=exposures)

    def __len__(self):
        return len(self.members)

    def __iter__(self):
        return iter(self.members)

    def __getitem__(self, index):
        """Return the member at ``index``, or for a slice the set of those members."""
        return evolve(self, members=self.members[index]) if isinstance(index, slice) else self.members[index]

    def __add__(self, other):
        """Return the set with the members of both, in order."""
        if not isinstance(other, ExposureSet):
            return NotImplemented
        return ExposureSet(members=self.members + other.members, excluded=self.excluded + other.excluded)

    def __repr__(self):
        detectors, filters = (
            ", ".join(str(value) for value in self._values(key)) or "none" for key in ("detector", "filter")
        )
        left_out = f", {len(self.excluded)} left out" if self.excluded else ""
        return f"<ExposureSet: {len(self)} exposures, {detectors}, {filters}{left_out}>"

    def _values(self, key):
        return sorted({_value(member, key) for member in self}, key=_KEYS[key][1])

    def where(self, **wanted):
        """Return the set of the members with these facts.

        Parameters
        ----------
        **wanted
            ``detector``, ``filter``, ``channel``, ``module``, ``name``, ``program``, ``observation``, ``visit``,
            ``subarray`` or ``flat_name``: a value (any synonym), or a list of values any of which will do.

        Notes
        -----
        Of those left out before, the new set keeps the ones with these facts; a file that could not be read has
        none, and stays with the set that read it.

        Raises
        ------
        InvalidInputError
            If there is no such key, detector or filter.
        """
        _check_keys(wanted, "where")
        choices = {}
        for key, values in wanted.items():
            several = values if isinstance(values, list | tuple | set | frozenset) else [values]
            choices[key] = {_KEYS[key][0](value) for value in several}

        def fits(facts):
            return facts is not None and all(_value(facts, key) in values for key, values in choices.items())

        return ExposureSet(
            members=[member for member in self if fits(member)],
            excluded=[item for item in self.excluded if fits(item.header)] if wanted else self.excluded,
        )

    def group_by(self, *keys):
        """Yield pairs of a value and the `ExposureSet` of the members that have it, in a fixed order.

        Detectors are ordered by chip number, filters by wavelength, anything else as text. Keys are those of
        `where`; with several, the first of the pair is a tuple.
        """
        _check_keys(keys, "group_by")
        if not keys:
            raise InvalidInputError(
                f"ExposureSet.group_by: needed one key or more of {', '.join(_KEYS)}; got none"
            )
        groups = defaultdict(list)
        for member in self:
            groups[tuple(_value(member, key) for key in keys)].append(member)
        left_out = defaultdict(list)
        for item in self.excluded:
            if item.header is not None:
                left_out[tuple(_value(item.header, key) for key in keys)].append(item)

        def order(values):
            return tuple(_KEYS[key][1](value) for key, value in zip(keys, values, strict=True))

        for values in sorted(groups, key=order):
            group = ExposureSet(members=groups[values], excluded=left_out[values])
            yield (values[0] if len(keys) == 1 else values), group

    def exclude(self, flags, reason):
        """Return the set without the flagged members, which are kept in `excluded` with the reason.

        Parameters
        ----------
        flags
            A boolean per member, True to leave it out.
        reason
            Why, as a sentence.

        Raises
        ------
        InvalidInputError
            If there is not one boolean for each member.
        """
        flags = np.asarray(flags)
        if flags.shape != (len(self),) or (flags.dtype != bool and flags.size):
            raise InvalidInputError(
                f"ExposureSet.exclude: flags must be {len(self)} booleans, one for each member; "
                f"got {flags.dtype} of shape {flags.shape}"
            )
        left_out = [_exclusion(member, reason) for member, flag in zip(self, flags, strict=True) if flag]
        return ExposureSet(
            members=[member for member, flag in zip(self, flags, strict=True) if not flag],
            excluded=(*self.excluded, *left_out),
        )

    def check(self):
        """Return an `Exclusion` for each member that cannot be combined with the others, saying why.

        Reasons are: not imaging, not flat-fielded (S_FLAT), background subtracted already (S_BKDSUB), a visit that
        was not successful, the same exposure as an earlier member, and, among the members of one detector, a
        subarray beside full frames or another shape than most have. No member is left out by this.
        """
        problems = member_problems(self.members)
        return tuple(
            _exclusion(member, "; ".join(found))
            for member, found in zip(self, problems, strict=True)
            if found
        )

    def for_one_detector(self):
        """Return the set of the members that can be combined; the others (see `check`) are in its `excluded`.

        Raises
        ------
        InvalidInputError
            If the set as a whole cannot be combined: exposures of several detectors, exposures of one filter that
            were divided by different flats, fewer than two exposures left.
        """
        detectors = self._values("detector")
        if len(detectors) > 1:
            raise InvalidInputError(
                f"ExposureSet: needed exposures of one detector; got {', '.join(map(str, detectors))}; select one "
                "with .where(detector=...), or go through them with .group_by('detector')"
            )
        problems = member_problems(self.members)
        usable = ExposureSet(
            members=[member for member, found in zip(self, problems, strict=True) if not found],
            excluded=(*self.excluded, *self.check()),
        )
        if len(usable) < 2:
            reasons = "; ".join(map(str, usable.excluded[:5])) or "none was left out"
            raise InvalidInputError(
                f"ExposureSet: needed at least two usable exposures; got {len(usable)} of "
                f"{len(usable) + len(usable.excluded)}: {reasons}"
            )
        demand_one_flat(usable)
        return usable

    @property
    def table(self):
        """A `~astropy.table.QTable` with a row for each member; what is not known is masked, NaN or empty."""
        return _table(self.members)


def _exclusion(member, reason):
    return Exclusion(name=member.name, path=member.path, reason=str(reason), header=member.without_pixels())


def _angles(members, name, unit):
    values = [None if item.pointing is None else getattr(item.pointing, name) for item in members]
    return u.Quantity([np.nan if value is None else value.to_value(unit) for value in values], unit)


def _times(members, name):
    times = [getattr(member, name) for member in members]
    known = np.array([time is not None for time in times], dtype=bool)
    mjd = np.array([time.mjd if time is not None else 0.0 for time in times])
    return Time(mjd if known.all() else Masked(mjd, ~known), format="mjd", scale="utc")


def _table(members):
    seconds = [np.nan if item.exposure_time is None else item.exposure_time.to_value(u.s) for item in members]
    columns = {"name": [item.name for item in members]}
    columns["detector"] = [item.detector.name for item in members]
    columns["filter"] = [item.filter.name for item in members]
    columns["start"] = _times(members, "start")
    columns["end"] = _times(members, "end")
    columns["exposure_time"] = u.Quantity(seconds, u.s)
    for name in ("program", "observation", "visit", "visit_status", "exposure_type", "subarray"):
        columns[name] = [getattr(item, name) or "" for item in members]
    columns["shape"] = np.array([item.shape for item in members], dtype=int).reshape(-1, 2)
    columns["flat_name"] = [item.flat_name or "" for item in members]
    for name in ("ra_ref", "dec_ref", "roll_ref", "pa_v3"):
        columns[name] = _angles(members, name, u.deg)
    columns["path"] = ["" if item.path is None else str(item.path) for item in members]
    columns = {
        name: np.array(values, dtype=str) if isinstance(values, list) else values
        for name, values in columns.items()
    }
    return QTable(columns)
