"""Where the pixels of exposures, and what was found out about them, are kept between passes and between runs.

A store in memory lets the passes of one run share the pixels. A store in a folder does that on disk, and lets a later
run take up what an earlier one left:

``index/``
    For each file of exposures its size and time of change, and the digest of its pixels: a file that has not changed is
    not read again.
``pixels/``
    Images by the digest of their content, read band by band.
``frames/``
    Mask, sky level and mesh, by the digest of the pixels and of all that decides about the mask.
``models/``
    The rough models of the passes, by the digest of the frames that they were made of.

Every entry appears whole or not at all and carries a checksum; one that is damaged is made again.
"""

import hashlib
import io
import json
import os
import shutil
import weakref
import zlib
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import Any

import numpy as np
from astropy import units as u
from attrs import asdict, frozen

from nircam_flats._fields import readonly
from nircam_flats._files import atomic_path
from nircam_flats.exceptions import InvalidInputError, StorageError
from nircam_flats.masks import SkyLevel

__all__ = ["FrameStore", "StoredImage", "digest"]

VERSION = "2"
CHECKSUM = 4  # bytes


def digest(*parts):
    """Return a text that stands for the content of arrays and texts."""
    total = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            total.update(f"{part.dtype} {part.shape}".encode())
            total.update(np.ascontiguousarray(part).data)
        else:
            total.update(f"{part}\0".encode())
    return total.hexdigest()


@frozen
class StoredImage:
    """An image in a file, of which rows are read when they are asked for.

    Plain reads, no memory map: what was read does not stay in the memory of the process.
    """

    path: Path
    shape: tuple
    dtype: str = "<f4"

    def __getitem__(self, rows):
        start, stop, _ = rows.indices(self.shape[0])
        n = max(stop - start, 0) * self.shape[1]
        offset = CHECKSUM + np.dtype(self.dtype).itemsize * start * self.shape[1]
        try:
            values = np.fromfile(self.path, self.dtype, count=n, offset=offset)
        except OSError as error:
            raise StorageError(
                f"{self.path}: pixels that were stored are needed; they cannot be read any more "
                f"({error.strerror or error})"
            ) from None
        if values.size != n:
            raise InvalidInputError(f"{self.path}: {n} values are needed; the file has been cut short meanwhile")
        return readonly(values.reshape(-1, self.shape[1]))


class FrameStore:
    """A store in memory, or in a folder.

    Parameters
    ----------
    folder
        The folder; it is made if it is not there. None keeps everything in memory.

    Raises
    ------
    StorageError
        If the folder cannot be made or written to.
    """

    def __init__(self, folder=None):
        self.folder: Any = None if folder is None else Path(folder).expanduser().absolute()
        self._known = {}  # what this run has asked for already
        if self.folder is not None:
            for name in ("index", "pixels", "frames", "models"):
                try:
                    (self.folder / name).mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise StorageError(
                        f"{self.folder}: the store needs a folder that can be written to; {error.strerror}: give "
                        "another one with store=..., or TMPDIR for temporary ones"
                    ) from None

    @classmethod
    def for_exposures(cls, members, store, memory_limit):
        """Return ``store``, a store in the folder of that name, or the one that suits the exposures.

        That is one in memory if their pixels take no more than ``memory_limit``, otherwise one in a temporary folder,
        which goes when it is not used any more.
        """
        if isinstance(store, cls):
            return store
        members = list(members)
        try:
            limit = u.Quantity(memory_limit).to_value(u.byte)
        except (TypeError, u.UnitConversionError) as error:
            raise InvalidInputError(f"memory_limit must be an amount of memory, 1 * u.GiB, say; {error}") from None
        n_bytes = sum(4 * int(np.prod(member.shape)) for member in members)
        if store is not None:
            made = cls(store)
        elif n_bytes <= limit:
            return cls()
        else:
            try:
                temporary = mkdtemp(prefix="nircam_flats_")
            except OSError as error:
                raise StorageError(
                    f"{gettempdir()}: {len(members)} exposures need a folder for {n_bytes / 1e9:.1f} GB, which do not "
                    f"fit in memory_limit={memory_limit}; {error.strerror}: name another one with store=... or TMPDIR"
                ) from None
            made = cls(temporary)
            weakref.finalize(made, _remove, made.folder, os.getpid())
        made._check_space(members, n_bytes)
        return made

    def __getstate__(self):
        """Another process knows the folder; what is in memory stays behind."""
        return {"folder": self.folder, "_known": {}}

    def __eq__(self, other):
        return isinstance(other, FrameStore) and self.folder == other.folder

    def __hash__(self):
        return hash(self.folder)

    def __repr__(self):
        return f"FrameStore({'in memory' if self.folder is None else self.folder})"

    def _check_space(self, members, n_bytes):
        free = shutil.disk_usage(self.folder).free
        there = sum(item.stat().st_size for item in (self.folder / "pixels").iterdir())
        if n_bytes - there > free:
            raise StorageError(
                f"{self.folder}: {len(members)} exposures need {n_bytes / 1e9:.1f} GB for their pixels; "
                f"{free / 1e9:.1f} GB are free: name a larger folder with store=... or TMPDIR, or raise memory_limit"
            )

    # ------------------------------------------------------------------------------------------ pixels

    def pixels(self, member, preprocess, load):
        """Return the pixels of an exposure (an array or a `StoredImage`) and their digest (None in memory).

        Parameters
        ----------
        member
            A member of an `~nircam_flats.ExposureSet`.
        preprocess
            What is done to the exposure first; other runs use the result only if it has a ``cache_key``.
        load
            Called with ``member`` if its pixels are not here yet; returns the image, NaN where not good.
        """
        in_this_run = (id(member), id(preprocess))
        if in_this_run in self._known:
            return self._known[in_this_run][:2]
        if self.folder is None:
            image, key = load(member), None
        else:
            index = self._index_path(member, preprocess)
            key = self._indexed(member, index)
            image = None if key is None else self._stored_image(key)
            if image is None:
                image, key = self._keep_pixels(np.ascontiguousarray(load(member), "<f4"))
                if index is not None:
                    self._write(index, json.dumps({"key": key, "signature": _signature(member.path)}).encode())
        self._known[in_this_run] = (image, key, member, preprocess)  # which keeps their ids from being used again
        return image, key

    def _index_path(self, member, preprocess):
        label = "" if preprocess is None else getattr(preprocess, "cache_key", None)
        if member.path is None or label is None:
            return None
        return self.folder / "index" / digest(VERSION, Path(member.path).resolve(), label)

    def _indexed(self, member, index):
        payload = None if index is None else self._read(index)
        entry = None if payload is None else json.loads(payload)
        return entry["key"] if entry and entry["signature"] == _signature(member.path) else None

    def _keep_pixels(self, values):
        key, path = digest(values), self.folder / "pixels"
        if self._stored_image(key) is None:
            self._write(path / key, values.data.cast("B"))
            self._write(path / f"{key}.shape", json.dumps(values.shape).encode())
        return StoredImage(path / key, values.shape), key

    def _stored_image(self, key):
        """The image of this digest if it is there and whole."""
        path = self.folder / "pixels" / key
        shape = self._read(path.with_suffix(".shape"))
        if shape is None or not _is_whole(path):
            return None
        return StoredImage(path, tuple(json.loads(shape)))

    # ------------------------------------------------------------------------------------------ frames and models

    def find_frame(self, key):
        """Return what `keep_frame` was given, the mask as a `StoredImage`, or None."""
        if self.folder is None or key is None:
            return None
        path = self.folder / "frames" / key
        payload = self._read(path)
        if payload is None or not _is_whole(path.with_suffix(".mask")):
            return None
        with np.load(io.BytesIO(payload)) as arrays:
            level = json.loads(str(arrays["level"]))
            level["unit"] = u.Unit(level["unit"])
            masked = StoredImage(path.with_suffix(".mask"), tuple(arrays["shape"].tolist()), "u1")
            return {"level": SkyLevel(**level), "masked": masked, "mesh": readonly(arrays["mesh"])}

    def keep_frame(self, key, *, level, masked, mesh):
        """Keep the `~nircam_flats.SkyLevel`, packed mask and mesh of a frame."""
        if self.folder is None or key is None:
            return
        facts = asdict(level, recurse=False) | {"unit": level.unit.to_string()}
        payload = io.BytesIO()
        np.savez(payload, level=json.dumps(facts), shape=masked.shape, mesh=mesh)
        path = self.folder / "frames" / key
        self._write(path.with_suffix(".mask"), masked.data.cast("B"))
        self._write(path, payload.getbuffer())

    def remembered(self, cls, parts, make):
        """Return ``make()``, a product of class ``cls``, or what an earlier call with these ``parts`` left here."""
        path = self.folder / "models" / f"{digest(VERSION, *parts)}.fits"
        if path.exists():
            with suppress(InvalidInputError):  # damaged, as the checksums of products tell
                return cls.read(path)
        made = make()
        made.write(path, overwrite=True)
        return made

    # ------------------------------------------------------------------------------------------ entries

    def _write(self, path, payload):
        with atomic_path(path, overwrite=True) as temporary, open(temporary, "wb") as handle:
            handle.write(zlib.crc32(payload).to_bytes(CHECKSUM, "little"))
            handle.write(payload)

    def _read(self, path):
        """Return the payload of an entry; None if it is not there or damaged."""
        try:
            content = path.read_bytes()
        except OSError:
            return None
        payload = memoryview(content)[CHECKSUM:]
        whole = len(content) >= CHECKSUM and zlib.crc32(payload) == int.from_bytes(content[:CHECKSUM], "little")
        return bytes(payload) if whole else None


def _is_whole(path):
    """Whether an entry is there and has its checksum; it is read piece by piece."""
    try:
        with open(path, "rb", buffering=0) as handle:
            expected, found = handle.read(CHECKSUM), 0
            while piece := handle.read(1 << 20):
                found = zlib.crc32(piece, found)
    except OSError:
        return False
    return expected == found.to_bytes(CHECKSUM, "little")


def _remove(folder, owner):
    if os.getpid() == owner:  # and not a process that it was forked into
        shutil.rmtree(folder, ignore_errors=True)


def _signature(path):
    try:
        status = os.stat(path)
    except OSError as error:
        raise InvalidInputError(f"{path}: a file to read is needed; {error.strerror}") from None
    return [status.st_size, status.st_mtime_ns]
