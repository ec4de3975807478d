import itertools
import threading
import time

import pytest

from medseg.data.threads import map_ahead, map_in_threads


def test_results_come_in_order():
    assert list(map_in_threads(lambda number: number**2, range(100))) == [number**2 for number in range(100)]


def test_what_has_not_begun_when_one_fails_never_will():
    begun = []

    def read(number):
        begun.append(number)
        if number == 0:
            raise KeyError(number)
        time.sleep(0.1)

    with pytest.raises(KeyError):
        list(map_in_threads(read, range(1000)))
    assert len(begun) < 500


@pytest.mark.parametrize("threads", [1, 4])
def test_results_of_calls_that_wait_come_in_order(threads):
    assert list(map_ahead(lambda number: number**2, range(100), threads)) == [number**2 for number in range(100)]


def test_calls_are_a_few_items_ahead_at_the_same_time():
    together = threading.Barrier(4, timeout=10)
    items = itertools.count()
    results = map_ahead(lambda number: together.wait() * 0 + number, items, 4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert next(items) < 20


def test_with_one_thread_it_is_this_one():
    assert set(map_ahead(lambda _: threading.get_ident(), range(3), 1)) == {threading.get_ident()}


def test_an_error_comes_at_its_place():
    results = map_ahead(lambda number: 1 // (number - 2), range(9), 4)
    assert [next(results), next(results)] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)
