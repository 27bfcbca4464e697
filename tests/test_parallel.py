"""map_ordered: the same answer for any executor, in order, with bounded work ahead."""

import operator
import os
import pickle
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
import pytest

from nircam_flats import StorageError, WorkerError
from nircam_flats.parallel import map_ordered, n_cores, shares_memory, sharing


class RunsAtOnce(Executor):
    """Runs each call where it is submitted, and counts what was asked for but not cancelled."""

    def __init__(self):
        self.submitted = 0

    def submit(self, fn, /, *args, **kwargs):
        self.submitted += 1
        future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def slower_when_earlier(item):
    time.sleep(0.02 * (5 - item))
    return item**2


def test_results_come_in_the_order_of_the_items():
    with ThreadPoolExecutor(5) as executor:
        assert list(map_ordered(slower_when_earlier, range(5), executor=executor)) == [0, 1, 4, 9, 16]


@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor(3), RunsAtOnce()], ids=["own", "given", "custom"])
def test_the_answer_is_the_same_for_any_executor(executor):
    answer = list(map_ordered(operator.neg, range(50), executor=executor, stage="negate"))
    assert answer == [-i for i in range(50)]


def test_processes_serve_too():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        assert list(map_ordered(operator.neg, range(3), executor=executor)) == [0, -1, -2]


def test_a_given_executor_is_left_open():
    with ThreadPoolExecutor(1) as executor:
        list(map_ordered(operator.neg, [1], executor=executor))
        assert executor.submit(operator.neg, 1).result() == -1


def test_no_items_give_no_results():
    assert list(map_ordered(operator.neg, [])) == []


def test_no_more_than_ahead_are_in_work():
    executor = RunsAtOnce()
    results = map_ordered(operator.neg, range(100), executor=executor, ahead=4)
    for _ in range(10):
        next(results)
    assert executor.submitted <= 10 + 4


def test_an_error_surfaces_at_its_item_and_cancels_the_rest():
    release = threading.Event()
    started = []

    def work(item):
        started.append(item)
        if item == 1:
            raise RuntimeError("item 1")
        if item == 2:
            release.wait(10)
        return item

    with ThreadPoolExecutor(1) as executor:
        results = map_ordered(work, range(20), executor=executor, ahead=20)
        assert next(results) == 0
        with pytest.raises(RuntimeError, match="item 1"):
            next(results)
        release.set()
    assert set(started) <= {0, 1, 2}


class TestSharing:
    """Workers of other processes are sent paths; what they work with lies in a folder."""

    @pytest.fixture
    def counting(self):
        """An executor that runs what comes through pickle, and keeps the largest message either way."""

        class Counting(RunsAtOnce):
            largest = 0

            def submit(self, fn, /, *args, **kwargs):
                sent = pickle.dumps((fn, args))
                fn, args = pickle.loads(sent)
                future = super().submit(fn, *args, **kwargs)
                self.largest = max(self.largest, len(sent), len(pickle.dumps(future.result())))
                return future

        return Counting()

    def test_what_is_large_goes_by_the_folder(self, counting, tmp_path):
        data = np.arange(10**6)
        executor = sharing(counting, tmp_path)
        found = list(map_ordered(partial(np.add, data), range(3), executor=executor))
        for item, expected in zip(found, range(3), strict=True):
            np.testing.assert_array_equal(item, data + expected)
        assert 0 < counting.largest < 1000
        assert list(tmp_path.iterdir()) == []

    def test_a_function_that_only_this_process_knows(self, counting, tmp_path):
        assert list(map_ordered(lambda item: item + 1, [1, 2], executor=sharing(counting, tmp_path))) == [2, 3]

    def test_processes(self, tmp_path):
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            executor = sharing(pool, tmp_path)
            found = list(map_ordered(partial(np.full, fill_value=7.0), [2, 10**5], executor=executor))
        assert [item.size for item in found] == [2, 10**5]

    def test_threads_share_memory_and_need_no_folder(self, tmp_path):
        assert sharing(None, tmp_path) is None
        with ThreadPoolExecutor(1) as pool:
            assert sharing(pool, tmp_path) is pool
            assert shares_memory(pool)
        other = RunsAtOnce()
        assert sharing(other, None) is other
        assert not shares_memory(other)
        shared = sharing(other, tmp_path)
        assert sharing(shared, tmp_path / "elsewhere") is shared

    def test_nothing_is_left_after_an_error(self, tmp_path):
        def fail(item):
            raise RuntimeError("item")

        with pytest.raises(RuntimeError, match="item"):
            list(map_ordered(fail, [1], executor=sharing(RunsAtOnce(), tmp_path)))
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_is_not_there(self, tmp_path):
        with pytest.raises(StorageError, match=r"nowhere.*what workers share cannot be written or read.*store="):
            list(map_ordered(abs, [1], executor=sharing(RunsAtOnce(), tmp_path / "nowhere")))

    def test_a_worker_that_does_not_see_the_folder(self, tmp_path):
        class Elsewhere(RunsAtOnce):
            def submit(self, fn, /, *args, **kwargs):
                os.rename(tmp_path / "shared", tmp_path / "gone")
                return super().submit(fn, *args, **kwargs)

        (tmp_path / "shared").mkdir()
        with pytest.raises(StorageError, match="on a file system of all workers"):
            list(map_ordered(abs, [1], executor=sharing(Elsewhere(), tmp_path / "shared")))


def test_dead_processes_are_an_error_that_says_so():
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        pytest.raises(WorkerError, match=r"stack: the workers were lost \(BrokenProcessPool.*serves the next run"),
    ):
        list(map_ordered(os._exit, [1], executor=pool, stage="stack"))


def test_cores_are_counted():
    assert n_cores() >= 1
