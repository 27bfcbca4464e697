"""Work on many items at once, in order, over any `concurrent.futures.Executor`, showing progress."""

import os
import pickle
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import lru_cache, partial
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any

import cloudpickle
from attrs import frozen
from tqdm.auto import tqdm

from nircam_flats.exceptions import StorageError, WorkerError

__all__ = ["map_ordered", "n_cores", "shares_memory", "sharing"]

LARGE = 2**17
"""Results of more bytes are left in the folder that workers share."""
FUNCTIONS = 4
"""How many functions a worker keeps, since several may be in work at once."""
FUNCTION, ITEMS = "function", "items"
"""Files that workers are left."""


def n_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shares_memory(executor: Executor | None) -> bool:
    """Whether the workers of ``executor`` are threads of this process; None stands for such."""
    return executor is None or isinstance(executor, ThreadPoolExecutor)


def sharing(executor: Executor | None, folder: str | Path | None) -> Any:
    """Return an executor whose workers find what they work with in ``folder``, which must be theirs as well.

    What `map_ordered` is given as a function, with all that is bound to it, and the items are then written there once
    and read by each worker, and large results come back the same way; what is sent are paths and places in files.
    Threads need none of this and are returned as they are, and so is any executor if ``folder`` is None.
    """
    if shares_memory(executor) or isinstance(executor, _Sharing) or folder is None:
        return executor
    return _Sharing(executor, folder)


def map_ordered(
    function: Callable,
    items: Iterable,
    *,
    executor: Executor | None = None,
    stage: str = "",
    ahead: int | None = None,
) -> Iterator:
    """Yield ``function(item)`` for each item, in the order of the items.

    Parameters
    ----------
    function
        Called with one item; with executors other than threads it must be picklable.
    items
        A sequence.
    executor
        Any `concurrent.futures.Executor`; by default threads, one per core, that live as long as the call
        (the compiled loops release the interpreter lock). The results are the same for any executor.
    stage
        What is being done, for the progress bar; an empty text shows none, and so does any output that is not
        a terminal.
    ahead
        How many items may be in work or waiting to be fetched, which bounds the memory; by default two per core for
        threads, and all for other executors, whose number of workers is not known.

    Raises
    ------
    WorkerError
        If workers die and the executor gives up.
    """
    items = list(items)
    if not items:
        return
    ahead = ahead or (2 * n_cores() if shares_memory(executor) else len(items))
    pool = ThreadPoolExecutor(n_cores()) if executor is None else nullcontext(executor)
    silent = not stage or not sys.stderr.isatty()
    with pool as workers, tqdm(total=len(items), desc=stage, disable=silent, leave=False) as bar:
        left = workers.left(function, items) if isinstance(workers, _Sharing) else nullcontext((function, items))
        waiting: deque = deque()
        with left as (call, sent):
            try:
                for item in sent:
                    waiting.append(workers.submit(call, item))
                    if len(waiting) >= ahead:
                        yield _result(waiting.popleft(), stage)
                        bar.update()
                while waiting:
                    yield _result(waiting.popleft(), stage)
                    bar.update()
            finally:
                for future in waiting:
                    future.cancel()


def _result(future, stage):
    try:
        result = future.result()
    except Exception as error:
        is_executors = type(error).__module__.partition(".")[0] == "distributed"  # which need not be installed
        if is_executors or isinstance(error, BrokenExecutor | CancelledError):
            raise WorkerError(
                f"{stage or 'parallel work'}: the workers were lost ({type(error).__name__}: {error}); what they had "
                "written to a store serves the next run"
            ) from error
        raise
    return result.fetch() if isinstance(result, _Left) else result


class _Sharing(Executor):
    """An executor and the folder that its workers share with this process."""

    def __init__(self, executor, folder):
        self.executor = executor
        self.folder = folder

    def submit(self, fn, /, *args, **kwargs):
        return self.executor.submit(fn, *args, **kwargs)

    @contextmanager
    def left(self, function, items):
        """Leave ``function`` and ``items`` in the folder; yields what workers are sent instead of either."""
        with _told_as_storage(self.folder):
            place = TemporaryDirectory(dir=self.folder, prefix="work_", ignore_cleanup_errors=True)
        with place:
            folder = Path(place.name)
            with _told_as_storage(folder), (folder / ITEMS).open("wb") as handle:
                (folder / FUNCTION).write_bytes(cloudpickle.dumps(function))
                offsets = []
                for item in items:
                    offsets.append(handle.tell())
                    handle.write(cloudpickle.dumps(item))
            yield partial(_call, folder), offsets


@frozen
class _Left:
    """A result that a worker left in a file."""

    path: Path

    def fetch(self):
        with _told_as_storage(self.path):
            payload = self.path.read_bytes()
            self.path.unlink()
        return pickle.loads(payload)


def _call(folder, offset):
    function = _function(folder / FUNCTION)
    with _told_as_storage(folder / ITEMS), (folder / ITEMS).open("rb") as handle:
        handle.seek(offset)
        item = pickle.load(handle)
    result = function(item)
    payload = cloudpickle.dumps(result)
    if len(payload) < LARGE:
        return result
    with _told_as_storage(folder), NamedTemporaryFile(dir=folder, delete=False) as handle:
        handle.write(payload)
    return _Left(Path(handle.name))


@lru_cache(FUNCTIONS)
def _function(path):
    with _told_as_storage(path):
        return pickle.loads(path.read_bytes())


@contextmanager
def _told_as_storage(path):
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path}: what workers share cannot be written or read; {error.strerror or error}: the store must be a "
            "folder with room, on a file system of all workers: name one with store=..."
        ) from error
