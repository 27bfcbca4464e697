"""Many exposures, on disk or in memory: selected, grouped, tabulated, checked."""

import glob
import os
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy import units as u
from astropy.table import QTable
from attrs import evolve, field, frozen

from nircam_flats._fields import to_tuple
from nircam_flats._html import ShowsCard
from nircam_flats.exceptions import FlatsWarning, InvalidInputError
from nircam_flats.exposure._checks import demand_one_detector, demand_one_flat, problems_of
from nircam_flats.exposure._table import exposure_table
from nircam_flats.exposure.exposure import ExposureHeader
from nircam_flats.exposure.facts import ExposureFacts
from nircam_flats.instrument import Detector, Filter
from nircam_flats.parallel import map_ordered

__all__ = ["Exclusion", "ExposureSet"]


@frozen(kw_only=True, eq=False)
class Exclusion(ShowsCard):
    """An exposure left out, and why.

    Attributes
    ----------
    name
        Of the exposure, or of its file if that could not be read.
    path
        The file; None for an exposure that came from none.
    reason
        Why it was left out.
    header
        The exposure's facts; None if they could not be read.
    """

    name: str = field()
    path: Path | None = field(default=None)
    reason: str = field()
    header: ExposureHeader | None = field(default=None, repr=False)

    @classmethod
    def of(cls, member: Any, reason: Any) -> Any:
        """Return the exclusion of ``member`` (an `Exposure` or `ExposureHeader`) for ``reason``."""
        return cls(name=member.name, path=member.path, reason=str(reason), header=member.without_pixels())

    def __str__(self):
        return f"{self.name or 'an exposure without a name'}: {self.reason}"


@frozen
class _Key:
    """A fact to select and group by: where it is, what a wanted value is turned into, how values are ordered."""

    get: object
    convert: object
    order: object


def _fact(name, convert=str, order=str):
    return _Key(lambda member: getattr(member, name), convert, order)


def _detector_fact(name):
    return _Key(lambda member: getattr(member.detector, name), lambda value: str(value).upper(), str)


def _number(n_digits):
    return lambda value: str(value).zfill(n_digits)


def _wavelength(filter):
    return (filter.channel == "LW", filter.pivot.to_value(u.um))


_KEYS = {
    "detector": _fact("detector", Detector.get, lambda detector: detector.sca_id),
    "filter": _fact("filter", Filter.get, _wavelength),
    "channel": _detector_fact("channel"),
    "module": _detector_fact("module"),
    "program": _fact("program", _number(5)),
    "observation": _fact("observation", _number(3)),
    "visit": _fact("visit", _number(3)),
    "subarray": _fact("subarray"),
    "flat_name": _fact("flat_name"),
    "name": _fact("name"),
}


def _keys(names, where):
    unknown = [str(name) for name in names if name not in _KEYS]
    if unknown or not names:
        came = ", ".join(unknown) or "none"
        raise InvalidInputError(f"ExposureSet.{where}: needed one or more of {', '.join(_KEYS)}; got {came}")
    return [_KEYS[name] for name in names]


def _expand(paths):
    """Return the files that a pattern, a path, or any number of them stand for."""
    if not isinstance(paths, str | os.PathLike):
        if not isinstance(paths, Iterable):
            raise InvalidInputError(f"ExposureSet.read: needed paths or patterns; got {paths!r}")
        return [path for item in paths for path in _expand(item)]
    text = os.path.expanduser(paths)
    if os.path.isdir(text):
        remedy = os.path.join(text, "*_cal.fits")
        raise InvalidInputError(f"ExposureSet.read: needed files; got the folder {text}; say {remedy!r}")
    if not os.path.exists(text) and not glob.has_magic(text):
        raise InvalidInputError(f"{text}: a file to read is needed; nothing is there")
    if os.path.exists(text):
        return [Path(text)]
    found = sorted(glob.glob(text, recursive=True))
    if not found:
        raise InvalidInputError(f"ExposureSet.read: needed at least one file; nothing matches {text!r}")
    return [Path(item) for item in found]


def _read_or_exclude(path):
    try:
        return ExposureHeader.read(path)
    except InvalidInputError as error:
        return Exclusion(name=path.name, path=path, reason=str(error).removeprefix(f"{path}: "))


def _to_members(members):
    if isinstance(members, ExposureFacts):
        members = (members,)
    members = tuple(members)
    for member in members:
        if not isinstance(member, ExposureFacts):
            came = type(member).__name__
            raise InvalidInputError(f"ExposureSet.members must be Exposure or ExposureHeader; got {came}")
    return members


@frozen(kw_only=True, eq=False, repr=False)
class ExposureSet(ShowsCard):
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
    ...     Exposure(data=np.ones((8, 8)), detector=name, filter="F200W") for name in ("B4", "A1", "B4")
    ... )
    >>> exposures.where(detector=489)
    <ExposureSet: 2 exposures of NRCB4 in F200W>
    >>> [(detector.label, len(group)) for detector, group in exposures.group_by("detector")]
    [('A1', 1), ('B4', 2)]
    """

    members: tuple = field(converter=_to_members)
    excluded: tuple = field(default=(), converter=to_tuple)

    @classmethod
    def read(cls, paths: Any, *, executor: Executor | None = None) -> Self:
        """Read the headers of many ``_cal`` files; the pixels stay on disk.

        A file that cannot be used is left out and named in `excluded` with the reason; one `FlatsWarning` says
        how many these are.

        Parameters
        ----------
        paths
            A pattern such as ``"cal/*_cal.fits"`` (``**`` stands for folders), a path, or any number of them.
        executor
            As in `nircam_flats.parallel.map_ordered`.

        Raises
        ------
        InvalidInputError
            If there is no file, a pattern matches none, or none can be used.
        """
        expanded = _expand(paths)
        if not expanded:
            raise InvalidInputError(f"ExposureSet.read: needed at least one file; nothing matches {paths!r}")
        found = list(map_ordered(_read_or_exclude, expanded, executor=executor, stage="reading headers"))
        members = [item for item in found if isinstance(item, ExposureHeader)]
        excluded = [item for item in found if isinstance(item, Exclusion)]
        if not members:
            raise InvalidInputError(
                f"ExposureSet.read: needed at least one _cal file that can be used; got {len(excluded)} that "
                f"cannot; the first is {excluded[0]}"
            )
        if excluded:
            warnings.warn(
                f"{len(excluded)} of {len(found)} files cannot be used (see .excluded); the first is {excluded[0]}",
                FlatsWarning,
                stacklevel=2,
            )
        return cls(members=members, excluded=excluded)

    @classmethod
    def from_exposures(cls, exposures: Any) -> Self:
        """Return the set of these: one or an iterable of `Exposure` or `ExposureHeader`."""
        return cls(members=exposures)

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator:
        return iter(self.members)

    def __getitem__(self, index: Any) -> Any:
        """Return the member at ``index``, or for a slice the set of those members."""
        return evolve(self, members=self.members[index]) if isinstance(index, slice) else self.members[index]

    def __add__(self, other: Any) -> Any:
        """Return the set with the members of both, in order."""
        if not isinstance(other, ExposureSet):
            return NotImplemented
        return ExposureSet(members=self.members + other.members, excluded=self.excluded + other.excluded)

    def __repr__(self):
        text = f"{len(self)} exposure{'' if len(self) == 1 else 's'}"
        if self.members:
            detectors = sorted({member.detector for member in self}, key=_KEYS["detector"].order)
            filters = sorted({member.filter for member in self}, key=_KEYS["filter"].order)
            text += f" of {', '.join(map(str, detectors))} in {', '.join(map(str, filters))}"
        return f"<ExposureSet: {text}{f'; {len(self.excluded)} left out' if self.excluded else ''}>"

    def where(self, **wanted: Any) -> "ExposureSet":
        """Return the set of the members with these facts.

        Parameters
        ----------
        **wanted
            Any of ``detector``, ``filter``, ``channel``, ``module``, ``program``, ``observation``, ``visit``,
            ``subarray``, ``flat_name`` and ``name``, each a value (any synonym; None where it is not known),
            or a list of values any of which will do.

        Raises
        ------
        InvalidInputError
            If there is no such fact, detector or filter.

        Notes
        -----
        Of the exposures left out before, the new set keeps those with these facts. A file that could not be
        read has none, and stays with the set that read it.
        """
        keys = _keys(wanted, "where")
        choices = []
        for key, values in zip(keys, wanted.values(), strict=True):
            several = values if isinstance(values, list | tuple | set | frozenset) else (values,)
            choices.append({None if value is None else key.convert(value) for value in several})

        def matches(facts):
            found = [None if facts is None else key.get(facts) for key in keys]
            found = [None if value is None else key.convert(value) for key, value in zip(keys, found, strict=True)]
            return facts is not None and all(value in choice for value, choice in zip(found, choices, strict=True))

        return ExposureSet(
            members=[member for member in self if matches(member)],
            excluded=[item for item in self.excluded if matches(item.header)],
        )

    def group_by(self, *names: Any) -> Iterator:
        """Yield pairs of a value and the `ExposureSet` of the members that have it, in a fixed order.

        Parameters
        ----------
        *names
            One or more of the facts of `where`. With several, the first of each pair is a tuple.

        Raises
        ------
        InvalidInputError
            If there is no such fact.

        Notes
        -----
        Detectors come in the order of their chip numbers, filters by wavelength, anything else as text does,
        and what is not known first. Exposures left out before are shared out as in `where`.
        """
        keys = _keys(names, "group_by")
        members, excluded = defaultdict(list), defaultdict(list)
        for member in self:
            members[tuple(key.get(member) for key in keys)].append(member)
        for item in self.excluded:
            if item.header is not None:
                excluded[tuple(key.get(item.header) for key in keys)].append(item)

        def order(values):
            return [(value is not None, value and key.order(value)) for key, value in zip(keys, values, strict=True)]

        return (
            (
                values[0] if len(values) == 1 else values,
                ExposureSet(members=members[values], excluded=excluded.get(values, ())),
            )
            for values in sorted(members, key=order)
        )

    def exclude(self, flags: Any, reason: Any) -> "ExposureSet":
        """Return the set without the flagged members, which are kept in `excluded` with the reason.

        Parameters
        ----------
        flags
            A boolean for each member, True to leave it out.
        reason
            Why: a text, or one for each member.

        Raises
        ------
        InvalidInputError
            If there is not one boolean (and one reason) for each member.
        """
        flags = np.asarray(flags)
        if flags.shape != (len(self),) or (flags.size and flags.dtype != bool):
            came = f"{flags.dtype} of shape {flags.shape}"
            raise InvalidInputError(f"ExposureSet.exclude: flags must be {len(self)} booleans; got {came}")
        reasons = [reason] * len(self) if isinstance(reason, str) else list(reason)
        if len(reasons) != len(self):
            needed = f"one text or {len(self)}"
            raise InvalidInputError(f"ExposureSet.exclude: reason must be {needed}; got {len(reasons)}")
        rows = list(zip(self, flags, reasons, strict=True))
        left_out = [Exclusion.of(member, text) for member, flag, text in rows if flag]
        return ExposureSet(
            members=[member for member, flag, _ in rows if not flag],
            excluded=(*self.excluded, *left_out),
        )

    def check(self) -> tuple:
        """Return an `Exclusion` for each member that cannot be combined with the others, saying why.

        That is: not imaging, not flat-fielded (S_FLAT), sky subtracted already (S_BKDSUB), a visit that was not
        successful, the same exposure as an earlier member, and, among the members of one detector, a subarray
        beside full frames or another shape than most have. The set itself stays as it is.
        """
        return self._without_problems().excluded[len(self.excluded) :]

    def check_pointings(self) -> tuple:
        """Return an `Exclusion` for each member whose pointing is not known or contradicts itself, saying how.

        That does not keep it out of a flat, but its sky positions and predicted claws are not to be trusted; see
        `Pointing.check`. ``exposures.exclude`` takes them out. The set itself stays as it is.
        """
        found = []
        for member in self:
            nothing = ("the SCI header must say where it was pointed; it does not",)
            problems = nothing if member.pointing is None else member.pointing.check()
            if problems:
                found.append(Exclusion.of(member, ", and ".join(problems)))
        return tuple(found)

    def for_one_detector(self) -> "ExposureSet":
        """Return the set of the members that can be combined, with those that `check` names in `excluded`.

        Raises
        ------
        InvalidInputError
            If the set as a whole cannot be combined: several detectors, exposures of one filter divided by
            different flats, fewer than two exposures that can be used.
        """
        demand_one_detector(self)
        usable = self._without_problems()
        if len(usable) < 2:
            reasons = "; ".join(map(str, usable.excluded[:5]))
            raise InvalidInputError(
                f"ExposureSet: needed at least two exposures that can be used; got {len(usable)} of "
                f"{len(usable) + len(usable.excluded)}{reasons and '; left out: '}{reasons}"
            )
        demand_one_flat(usable)
        return usable

    def _without_problems(self):
        problems = problems_of(self.members)
        return self.exclude([bool(problem) for problem in problems], problems)

    def plot(self, **options: Any) -> Any:
        """Return a figure of the exposures of one detector, over their sky levels, in the order of their rolls.

        What moves from panel to panel is light from elsewhere (claws); what stays is the flat, or a wisp. The options
        are those of `~nircam_flats.plotting.claw_sequence`: ``correction``, ``forecast``, ``half_range``, ``figure``.
        """
        from nircam_flats.plotting import claw_sequence

        return claw_sequence(self, **options)

    @property
    def table(self) -> QTable:
        """A `~astropy.table.QTable` with a row for each member; what is not known is masked, NaN or empty."""
        return exposure_table(self.members)
