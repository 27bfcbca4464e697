"""One file of a delivery: made, or kept where it is already what would be made now; and looked at again."""

import hashlib
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen

from nircam_flats._files import let_go, open_fits, read_ahead
from nircam_flats.exceptions import FlatsError, InvalidInputError
from nircam_flats.instrument import Detector, Filter, Subarray
from nircam_flats.reference._fits import read_flat, write_flat
from nircam_flats.reference._inventory import Change
from nircam_flats.reference.correction import STEP, corrected
from nircam_flats.reference.flat_reference import FlatReference
from nircam_flats.reference.provenance import FlatProvenance

__all__ = ["COLUMNS", "PLACES", "Task", "faults_of_file", "file_name", "make_file"]

PLACES = tuple(dict.fromkeys(subarray.name for detector in Detector.all() for subarray in Subarray.of(detector)))
#: Bytes that are read and hashed at once: few and large pieces, since between two of them a thread may have to wait.
AT_ONCE = 1 << 24
#: Columns of the manifest and their types.
COLUMNS = {
    "file": str,
    "detector": str,
    "bandpass": str,
    "filter": str,
    "pupil": str,
    "size": int,
    "sha256": str,
    "ground_flat": str,
    "ground_sha256": str,
    "fit": str,
    "fit_sha256": str,
    "extrapolated": bool,
    "n_exposures": int,
    "useafter": str,
    "pedigree": str,
    "n_given_up": int,
    "shift_mean": float,
    "shift_median": float,
    "shift_scatter": float,
    **{f"shift_{place.lower()}": float for place in PLACES},
    "notes": str,
}


def file_name(detector, filter):
    """Return the name under which a flat is delivered: ``nircam_flat_DETECTOR_FILTER_PUPIL.fits``, in lower case.

    CRDS gives the names ``jwst_nircam_flat_NNNN.fits`` itself when it ingests files, one after the other; what is
    submitted must not look like one of them, and has letters of lower case, digits and ``_`` (``crds.core.config``).
    """
    return f"nircam_flat_{'_'.join((detector.name, *filter.keywords))}.fits".lower()


@frozen(kw_only=True)
class Task:
    """One file to make, with all it takes.

    ``earlier`` is its row in the manifest of an earlier call, or None; ``later`` a ground flat that another task needs
    soon, to be read from the disk meanwhile, or None.
    """

    path: Path = field()
    detector: Detector = field()
    filter: Filter = field()
    ground: Any = field()
    change: Change = field()
    useafter: str | None = field()
    author: str | None = field()
    overwrite: bool = field()
    earlier: dict | None = field()
    later: Path | None = field(default=None)


def make_file(task):
    """Return the row of the manifest and whether the file was written, or the reason why it was not, a text."""
    try:
        return _made(task)
    except FlatsError as error:
        return str(error)


def _made(task):
    if task.later is not None:
        read_ahead(task.later)
    origins = {
        "ground_sha256": _sha256_of_flat(task.ground),
        "fit_sha256": task.change.sha256,
        "useafter": task.useafter or "that of the ground flat",
        "author": task.author or "that of the ground flat",
    }
    if task.path.exists() and not task.overwrite:
        row = _row_if_current(task, origins)
        if row is not None:
            return row, False
    flat = _flight(task, origins)
    digest = hashlib.sha256()
    write_flat(flat, task.path, overwrite=True, digest=digest)
    return _row(flat, task.path, digest.hexdigest()), True


def _flight(task, origins):
    """Return the flight flat; the ground flat is let go before it is written."""
    ground = task.ground
    if not isinstance(ground, FlatReference):
        ground = FlatReference(**read_flat(task.ground)[0])
        let_go(task.ground)
    extrapolate = task.filter.name not in task.change.flat_names
    ground = attrs.evolve(ground, useafter=task.useafter or ground.useafter, author=task.author or ground.author)
    flat, unchecked = corrected(ground, task.change, extrapolate=extrapolate, **origins)
    notes = "; ".join([*ground._faults, *([unchecked] if unchecked else [])])
    history = flat.provenance.history.then("deliver", notes=notes)
    return attrs.evolve(flat, provenance=attrs.evolve(flat.provenance, history=history))


def _row_if_current(task, origins):
    """Return the row of a file that is whole and made of the same; None if it is ours to be made again.

    Raises
    ------
    InvalidInputError
        If the file is not one of a delivery.
    """
    settings = _settings_of_file(task.path)
    if task.earlier is None and not settings:
        raise InvalidInputError(
            f"{task.path}: exists already and is no flat of a delivery; say overwrite=True to replace it"
        )
    if any(settings.get(name) != value for name, value in origins.items()):
        return None
    sha256 = _sha256(task.path)
    if task.earlier is not None:
        return task.earlier if task.earlier["sha256"] == sha256 else None
    try:  # an earlier call was cut off before its manifest
        flat = FlatReference.read(task.path)
    except InvalidInputError:
        return None
    return None if flat.check() else _row(flat, task.path, sha256)


def _settings_of_file(path):
    try:
        with open_fits(path) as hdus:
            provenance = FlatProvenance.from_hdus(hdus, path)
    except (InvalidInputError, KeyError):
        return {}
    return {} if provenance is None else provenance.settings(STEP)


def _row(flat, path, sha256):
    provenance, photometry = flat.provenance, flat.provenance.photometry
    settings = provenance.settings(STEP)
    shifts = {f"shift_{name}": getattr(photometry, name, float("nan")) for name in ("mean", "median", "scatter")}
    for place in PLACES:
        shifts[f"shift_{place.lower()}"] = float("nan") if photometry is None else photometry.at(place)
    return {
        "file": path.name,
        "detector": flat.detector.name,
        "bandpass": flat.filter.name,
        "filter": flat.filter.keywords[0],
        "pupil": flat.filter.keywords[1],
        "size": path.stat().st_size,
        "sha256": sha256,
        "ground_flat": settings["ground"],
        "ground_sha256": settings["ground_sha256"],
        "fit": settings["fit"],
        "fit_sha256": settings["fit_sha256"],
        "extrapolated": settings["extrapolated"] == "True",
        "n_exposures": len(provenance.used),
        "useafter": flat.useafter,
        "pedigree": flat.pedigree,
        "n_given_up": int(settings["pixels_given_up"]),
        **shifts,
        "notes": provenance.settings("deliver").get("notes", ""),
    }


def faults_of_file(row, folder):
    """Return what is wrong with the file of a row of the manifest, a list of sentences."""
    path = Path(folder) / row["file"]
    if not path.is_file():
        return [f"{path.name}: must be there; it is missing"]
    sha256 = _sha256(path)
    if sha256 != row["sha256"]:
        return [f"{path.name}: must have the SHA-256 of the manifest, {row['sha256']}; got {sha256}"]
    try:
        flat = FlatReference(**read_flat(path)[0])
    except InvalidInputError as error:
        return [str(error)]
    found = _row(flat, path, sha256) if flat.provenance is not None else {}
    wrong = [f"{path.name}: {fault}" for fault in flat.check()]
    for name in ("detector", "bandpass", "filter", "pupil", "useafter", "pedigree", "ground_sha256", "fit_sha256"):
        if found.get(name) != row[name]:
            wrong.append(f"{path.name}: {name} must be {row[name]!r}, as the manifest says; got {found.get(name)!r}")
    return wrong


def _sha256(path):
    digest, buffer = hashlib.sha256(), memoryview(bytearray(AT_ONCE))
    with Path(path).open("rb", buffering=0) as handle:
        while n_bytes := handle.readinto(buffer):
            digest.update(buffer[:n_bytes])
    return digest.hexdigest()


def _sha256_of_flat(ground):
    """SHA-256 of the file, or of the planes and texts of a flat in memory."""
    if not isinstance(ground, FlatReference):
        try:
            return _sha256(ground)
        except OSError as error:
            raise InvalidInputError(f"{ground}: a ground flat is needed; {error.strerror}") from error
    digest = hashlib.sha256(repr((ground.name, ground.author, ground.useafter, ground.history)).encode())
    for plane in (ground.data, ground.err, ground.dq):
        if plane is not None:
            digest.update(plane)  # type: ignore[arg-type]
    return digest.hexdigest()
