"""map_ordered: the same answer for any executor, in order, with bounded work ahead."""

import operator
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from nircam_flats.parallel import map_ordered, n_cores


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


def test_cores_are_counted():
    assert n_cores() >= 1
