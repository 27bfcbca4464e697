"""A delivery: flight flats of up to 136 imaging modes in a folder, with a manifest and a list of what is missing."""

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Executor
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, Self

import attrs
import numpy as np
from astropy.table import Table
from attrs import field, frozen

from nircam_flats._fields import to_tuple
from nircam_flats._files import atomic_path
from nircam_flats._html import ShowsCard
from nircam_flats._keywords import useafter_of
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.fit import FlatModelFit
from nircam_flats.instrument import imaging_modes
from nircam_flats.parallel import map_ordered, n_cores
from nircam_flats.reference._deliver import COLUMNS, Task, faults_of_file, file_name, make_file
from nircam_flats.reference._inventory import collect_changes, collect_grounds
from nircam_flats.reference.flat_reference import FlatReference
from nircam_flats.reference.ground_flats import flats_in

__all__ = ["FlatDelivery"]

MANIFEST, NOT_MADE = "manifest.ecsv", "not_made.ecsv"


@frozen(kw_only=True, eq=False)
class FlatDelivery(ShowsCard):
    """A folder of flight flats, ready to be submitted.

    Attributes
    ----------
    folder
        Where the files are.
    manifest
        Table with a row for each file: its name, mode, size and SHA-256; ground flat and fit, with theirs; whether a
        grey fit was applied to a filter without exposures (``extrapolated``); USEAFTER, PEDIGREE; how many pixels have
        no answer that had one (``n_given_up``); what the flat does to fluxes (``shift_...``, see `PhotometricShift`);
        and what else to know (``notes``).
    not_made
        Table of the modes without a file and the files that are no ground flats: ``what``, ``kind``, ``reason``.
    made
        Names of the files that this call wrote; the others were there already.

    Examples
    --------
    ::

        delivery = nf.FlatDelivery.from_ground("ground_flats/", fits=["nrcb4_grey_fit.fits"], out="delivery/")
        print(delivery)
        assert not delivery.verify()
    """

    folder: Path = field(converter=Path)
    manifest: Table = field(repr=lambda table: f"<{len(table)} files>")
    not_made: Table = field(repr=lambda table: f"<{len(table)} rows>")
    made: tuple[str, ...] = field(default=(), converter=to_tuple, repr=False)

    @classmethod
    def from_ground(
        cls,
        ground_flats: Any,
        fits: FlatModelFit | str | Path | Iterable,
        *,
        out: str | Path,
        useafter: Any = None,
        author: str | None = None,
        overwrite: bool = False,
        executor: Executor | None = None,
    ) -> Self:
        """Correct each ground flat by the fit of its detector and write the flight flats, one after the other.

        What is in ``out`` from an earlier call is kept where it is whole and made of the same ground flat, fit and
        settings; only what is missing, damaged or out of date is made. A mode is corrected by the fit of its filter
        alone, if there is one, else by the grey fit of its detector, also where that has no exposures in this filter.

        Parameters
        ----------
        ground_flats
            A folder, paths, `FlatReference` objects, a `GroundFlats`, or a mapping from modes to paths or flats. Of two
            for one mode, the one is taken that the exposures of the fit were divided by; if neither, none.
        fits
            The fits of the detectors, `~nircam_flats.FlatModelFit` objects or paths.
        out
            Folder to write to, made if need be.
        useafter
            From when on the flats are to be used (USEAFTER), an astropy ``Time`` or text ``YYYY-MM-DDTHH:MM:SS``; by
            default that of each ground flat: the epoch from which it applied.
        author
            AUTHOR of the flats; by default that of each ground flat.
        overwrite
            Whether to make all again, also over files that are no flats of a delivery; without it, those are left
            alone and reported.
        executor
            Any `concurrent.futures.Executor`; by default threads for all cores.

        Raises
        ------
        InvalidInputError
            If there is no ground flat or no fit at all, two fits are as good for a mode, ``useafter`` is no date, or
            ``out`` cannot be written to. What is wrong with one ground flat costs its mode only: see `not_made`.
        """
        grounds, unusable = collect_grounds(ground_flats)
        find_change = collect_changes(fits)
        useafter = None if useafter is None else useafter_of(useafter, "FlatDelivery needs")
        settings = {"useafter": useafter, "author": author, "overwrite": overwrite}
        folder = _folder(out)
        earlier = {row["file"]: row for row in _rows(cls.read(folder).manifest)} if (folder / MANIFEST).exists() else {}
        rows, tasks, problems = {}, [], [(name, "file left out", reason) for name, reason in unusable.items()]
        for mode in imaging_modes():
            path = folder / file_name(mode.detector, mode.filter)
            change = find_change(mode.detector, mode.filter)
            ground, problem = _chosen(mode, grounds.get((mode.detector, mode.filter), []), change)
            if problem is None:
                facts = {"path": path, "detector": mode.detector, "filter": mode.filter, "ground": ground}
                tasks.append(Task(**facts, **settings, change=change, earlier=earlier.get(path.name)))
            elif path.name in earlier and path.is_file():
                rows[path.name] = earlier[path.name]
            else:
                problems.append((str(mode), *problem))
        paths = [None if isinstance(task.ground, FlatReference) else task.ground for task in tasks]
        tasks = [attrs.evolve(task, later=later) for task, later in zip_longest(tasks, paths[n_cores() :])]
        made = []
        for task, result in zip(tasks, map_ordered(make_file, tasks, executor=executor, stage="deliver"), strict=True):
            if isinstance(result, str):
                problems.append((f"{task.detector} {task.filter}", "not made", result))
                continue
            rows[task.path.name], written = result
            if written:
                made.append(task.path.name)
        delivery = cls(folder=folder, manifest=_manifest(rows), not_made=_not_made(problems), made=made)
        for name, table in ((MANIFEST, delivery.manifest), (NOT_MADE, delivery.not_made)):
            with atomic_path(folder / name, overwrite=True) as temporary:
                table.write(temporary, format="ascii.ecsv", overwrite=True)
        return delivery

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Return the delivery in ``folder``.

        Raises
        ------
        InvalidInputError
            If its tables are missing or damaged.
        """
        tables = [_read_table(Path(folder) / name) for name in (MANIFEST, NOT_MADE)]
        missing = [name for name in COLUMNS if name not in tables[0].colnames]
        if missing:
            raise InvalidInputError(
                f"{Path(folder) / MANIFEST}: needs the columns {', '.join(missing)}; they are missing"
            )
        return cls(folder=folder, manifest=tables[0], not_made=tables[1])

    @property
    def missing(self) -> Any:
        """The `~nircam_flats.ImagingMode` without a file, a tuple."""
        there = set(zip(map(str, self.manifest["detector"]), map(str, self.manifest["bandpass"]), strict=True))
        return tuple(mode for mode in imaging_modes() if (mode.detector.name, mode.filter.name) not in there)

    @property
    def complete(self) -> bool:
        """Whether all 136 modes have a file."""
        return not self.missing

    def verify(self, *, executor: Executor | None = None) -> Any:
        """Read everything again and return what is wrong, a tuple of sentences; empty if nothing is.

        Each file of the manifest must be there with its SHA-256, keep all rules (`FlatReference.check`) and be of the
        mode, date and making that the manifest tells; each mode has one file, and no other flat lies in the folder.
        """
        work = partial(faults_of_file, folder=self.folder)
        rows = _rows(self.manifest)
        wrong = [text for faults in map_ordered(work, rows, executor=executor, stage="verify") for text in faults]
        modes = Counter((row["detector"], row["bandpass"]) for row in rows)
        wrong += [f"{' '.join(mode)}: must have one file; got {n}" for mode, n in modes.items() if n > 1]
        known = {row["file"] for row in rows}
        found = [path.name for path in flats_in(self.folder)]
        wrong += [f"{name}: must be in the manifest; it is not" for name in found if name not in known]
        return tuple(wrong)

    def __str__(self):
        n_modes = len(imaging_modes())
        lines = [f"{self.folder}: {len(self.manifest)} of {n_modes} modes, {len(self.made)} of them made now"]
        extrapolated = int(np.sum(self.manifest["extrapolated"]))
        if extrapolated:
            lines.append(f"  {extrapolated} by a grey fit without exposures in their filter")
        for kind, n in Counter(map(str, self.not_made["kind"])).items():
            lines.append(f"  {kind}: {n}")
            reasons = Counter(str(row["reason"]) for row in self.not_made if row["kind"] == kind)
            for row in self.not_made:
                reason = str(row["reason"])
                if row["kind"] == kind and reasons[reason]:
                    more = f" (and {reasons[reason] - 1} more)" if reasons[reason] > 1 else ""
                    lines.append(f"    {row['what']}{more}: {reason}")
                    reasons[reason] = 0
        return "\n".join(lines)


def _chosen(mode, candidates, change):
    """Return the ground flat for a mode and None, or None and (kind, reason)."""
    if change is None:
        return None, ("no fit", f"no fit of {mode.detector} serves this filter")
    if not candidates:
        return None, ("no ground flat", "no ground flat of this mode is given")
    if len(candidates) > 1:
        used = change.flat_names.get(mode.filter.name)
        named = [item for item in candidates if item.name == used]
        if len(named) != 1:
            names = ", ".join(sorted(item.name or "one without a name" for item in candidates))
            return None, ("several ground flats", f"{len(candidates)} ground flats of one mode: {names}")
        candidates = named
    return candidates[0], None


def _folder(out):
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(f"{folder}: a folder to write to is needed; {error.strerror}") from error
    return folder


def _manifest(rows):
    names = [file_name(mode.detector, mode.filter) for mode in imaging_modes()]
    ordered = [rows[name] for name in names if name in rows]
    return Table({name: np.array([row[name] for row in ordered], kind) for name, kind in COLUMNS.items()})


def _not_made(problems):
    names = ("what", "kind", "reason")
    return Table({name: np.array([row[i] for row in problems], str) for i, name in enumerate(names)})


def _rows(table):
    return [{name: row[name].item() if hasattr(row[name], "item") else row[name] for name in COLUMNS} for row in table]


def _read_table(path):
    try:
        return Table.read(path, format="ascii.ecsv").filled("")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(f"{path}: a table of a delivery is needed; {error}") from error
