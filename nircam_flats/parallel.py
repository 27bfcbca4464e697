"""Work on many items at once, in order, over any `concurrent.futures.Executor`, showing progress."""

import os
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

from tqdm.auto import tqdm

__all__ = ["map_ordered", "n_cores"]


def n_cores():
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_ordered(function, items, *, executor=None, stage="", ahead=None):
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
        How many items may be in work or waiting to be fetched, which bounds the memory; two per core
        unless given.
    """
    items = list(items)
    ahead = ahead or 2 * n_cores()
    pool = ThreadPoolExecutor(n_cores()) if executor is None else nullcontext(executor)
    silent = not stage or not sys.stderr.isatty()
    with pool as workers, tqdm(total=len(items), desc=stage, disable=silent, leave=False) as bar:
        waiting = deque()
        try:
            for item in items:
                waiting.append(workers.submit(function, item))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
                    bar.update()
            while waiting:
                yield waiting.popleft().result()
                bar.update()
        finally:
            for future in waiting:
                future.cancel()
