import threading

import pytest

from medseg.folder import lane
from medseg.folder.lane import Lane


def ignore() -> None:
    pass


def test_what_is_put_comes_out_in_order():
    with Lane(lambda lane: [lane.put(number) for number in range(5000)], ignore) as numbers:
        assert list(numbers) == list(range(5000))


def test_no_more_wait_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(lane, "_MAX_WAITING", 2)
    put = threading.Semaphore(0)

    def work(lane):
        for number in range(4):
            lane.put(number)
            put.release()

    with Lane(work, ignore) as numbers:
        for _ in range(2):
            assert put.acquire(timeout=240)
        assert not put.acquire(timeout=0.05)
        taken = iter(numbers)
        assert next(taken) == 0
        assert put.acquire(timeout=240)


def test_work_has_a_thread_of_its_own():
    """Each waits for the other here."""
    met, threads = threading.Barrier(2, timeout=240), [threading.current_thread()]

    def work(lane):
        threads.append(threading.current_thread())
        lane.put("item")
        met.wait()

    with Lane(work, ignore) as items:
        for _ in items:
            met.wait()
    assert len(set(threads)) == 2


def test_what_work_raises_is_raised_after_what_it_had_put():
    def work(lane):
        lane.put("item")
        raise KeyError("work")

    found = []
    with pytest.raises(KeyError, match="work"), Lane(work, ignore) as items:
        found.extend(items)
    assert found == ["item"]


def test_work_ends_where_nobody_asks_any_more(monkeypatch):
    monkeypatch.setattr(lane, "_MAX_WAITING", 2)
    ended = threading.Event()

    def work(lane):
        for number in range(10_000_000):
            if lane.abandoned:
                break
            lane.put(number)
        ended.set()

    with Lane(work, ignore) as numbers:
        assert next(iter(numbers)) == 0
    assert ended.is_set()


def test_work_that_waits_for_something_else_is_woken():
    bell = threading.Event()

    def work(lane):
        assert bell.wait(240)
        assert lane.abandoned

    with Lane(work, bell.set):
        pass
    assert bell.is_set()
