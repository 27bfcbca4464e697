"""The last few results of slow functions, each made once though several threads ask for it."""

from collections import OrderedDict
from concurrent.futures import Future
from threading import Lock

__all__ = ["Memory"]


class Memory:
    """Keeps the last ``size`` results, by key."""

    def __init__(self, size):
        self._size = size
        self._lock = Lock()
        self._results: OrderedDict[object, Future] = OrderedDict()

    def get(self, key, make):
        """Return the result for ``key``, made by ``make()`` if it is not kept; others who ask meanwhile wait."""
        with self._lock:
            future = self._results.get(key) or Future()
            ours = key not in self._results
            if ours:
                self._results[key] = future
                while len(self._results) > self._size:
                    self._results.popitem(last=False)
            else:
                self._results.move_to_end(key)
        if ours:
            try:
                future.set_result(make())
            except BaseException as error:
                with self._lock:
                    self._results.pop(key, None)
                future.set_exception(error)
        return future.result()
