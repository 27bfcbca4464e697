"""The ground flats of a campaign, found by the name that exposures know them by."""

from pathlib import Path
from typing import Any, Self

from attrs import field, frozen

from nircam_flats._files import bare_file_name
from nircam_flats._html import ShowsCard
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.instrument import Detector, Filter
from nircam_flats.reference.flat_reference import FlatReference

__all__ = ["GroundFlats", "expanded"]


@frozen(kw_only=True, eq=False)
class GroundFlats(ShowsCard):
    """Flats by file name: paths, read when asked for, or flats in memory.

    Attributes
    ----------
    flats
        Dict from bare file name to path or `FlatReference`.
    source
        Where they come from, for messages.
    """

    flats: dict = field(converter=dict, repr=lambda flats: f"<{len(flats)} flats>")
    source: str = field(converter=str)

    @classmethod
    def collect(cls, source: Any) -> Self:
        """Return the flats in ``source``: a folder (all its ``*.fits``), a path, a `FlatReference`, or several of them.

        Raises
        ------
        InvalidInputError
            If there is no flat, a path does not exist, or two flats have one name, or one has none.
        """
        if isinstance(source, cls):
            return source
        items = [source] if isinstance(source, str | Path | FlatReference) else list(source)
        flats, folders = {}, []
        for item in items:
            for flat in expanded(item):
                name = bare_file_name(flat.name)
                if name is None:
                    raise InvalidInputError(
                        f"ground flats need names, by which exposures know them (R_FLAT); a flat of {flat.detector} "
                        f"{flat.filter} has none: give it one, attrs.evolve(flat, name=...)"
                    )
                if name in flats:
                    raise InvalidInputError(f"ground flats must have different names; two are called {name}")
                flats[name] = flat
            folders.append(str(item) if isinstance(item, str | Path) else item.name)
        shown = ", ".join(map(str, folders[:3])) + (" ..." if len(folders) > 3 else "")
        if not flats:
            raise InvalidInputError(
                f"{shown or 'ground flats'}: at least one ground flat (*.fits) is needed; there is none"
            )
        return cls(flats=flats, source=shown)

    def find(self, name: Any, detector: Detector | str | int, filter: Filter | str) -> Any:
        """Return the flat called ``name``, which must be one of ``detector`` and ``filter``.

        Raises
        ------
        InvalidInputError
            If there is no flat of that name, the exposures do not tell the name, or the flat is of another mode.
        """
        if name is None:
            raise InvalidInputError(
                f"the exposures of {detector} {filter} do not tell which ground flat divided them (R_FLAT); "
                "correct it yourself with FlatReference.read(...).corrected_by(fit)"
            )
        found = self.flats.get(bare_file_name(name))
        if found is None:
            raise InvalidInputError(
                f"the ground flat {name}, which divided the exposures of {detector} {filter} (R_FLAT), is needed; "
                f"{self.source} has none of that name"
            )
        flat = found if isinstance(found, FlatReference) else FlatReference.read(found)
        if (flat.detector, flat.filter) != (detector, filter):
            raise InvalidInputError(
                f"{name if found is flat else found}: a flat of {detector} {filter} is needed; its header says "
                f"{flat.detector} {flat.filter}"
            )
        return flat


def flats_in(folder):
    """Return the paths ``*.fits`` of a folder, sorted; hidden ones are of writers that were stopped."""
    return sorted(path for path in Path(folder).glob("*.fits") if not path.name.startswith("."))


def expanded(item):
    """Return the flat, the path, or the paths ``*.fits`` of the folder ``item``, a list."""
    if isinstance(item, FlatReference):
        return [item]
    path = Path(item).expanduser()
    if path.is_dir():
        return flats_in(path)
    if not path.is_file():
        raise InvalidInputError(f"{path}: a ground flat, or a folder of them, is needed; nothing is there")
    return [path]
