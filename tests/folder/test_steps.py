import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from medseg.folder.steps import Steps

IMAGE = np.ones((1, 2, 2), np.float32)


class Bell:
    """What wakes the other thread."""

    def __init__(self) -> None:
        self._rung = threading.Semaphore(0)
        self.wake = self._rung.release

    def wait(self) -> None:
        assert self._rung.acquire(timeout=240)


def build_steps(predict):
    return Steps(SimpleNamespace(predict=predict))


def test_pictures_come_back_with_their_tags():
    steps, bell = build_steps(lambda images: images * 2), Bell()

    def feed():
        for tag in range(6):
            steps.start([tag, -tag], [IMAGE * tag, IMAGE])
            while not steps.has_room:
                bell.wait()
                yield from ((tag, float(maps.mean()), maps.shape) for tag, maps, _ in steps.take())
        while steps.num_steps:
            bell.wait()
            yield from ((tag, float(maps.mean()), maps.shape) for tag, maps, _ in steps.take())

    found = sorted(steps.run(feed, bell.wake))
    assert found == sorted(
        (sign * tag, value, IMAGE.shape) for tag in range(6) for sign, value in ((1, 2 * tag), (-1, 2))
    )


def test_one_step_is_ready_while_another_is_computed_and_no_more():
    steps, bell, room = build_steps(torch.clone), Bell(), []

    def feed():
        for _ in range(2):
            room.append(steps.has_room)
            steps.start(["a"], [IMAGE])
        room.append(steps.has_room)
        while steps.num_steps:
            bell.wait()
            yield from (tag for tag, _, _ in steps.take())
        room.append(steps.has_room)

    assert list(steps.run(feed, bell.wake)) == ["a", "a"]
    assert room == [True, True, False, True]


def test_the_network_runs_in_the_thread_that_asks_and_all_else_beside_it():
    """A step goes on while the other thread works: each waits for the other here."""
    met, threads = threading.Barrier(2, timeout=240), []

    def predict(images):
        threads.append(threading.current_thread())
        met.wait()
        return images

    steps = build_steps(predict)

    def feed():
        steps.start(["a"], [IMAGE])
        threads.append(threading.current_thread())
        met.wait()
        yield "b"

    assert list(steps.run(feed, lambda: None)) == ["b"]
    assert threading.main_thread() in threads
    assert len(set(threads)) == 2


class Clock:
    """A clock that stands still but where the test lets time pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


def test_seconds_tell_predicting_from_waiting(monkeypatch):
    clock, bell = Clock(), Bell()
    monkeypatch.setattr("medseg.folder.steps.time", clock)

    def predict(images):
        clock.now += 3
        return images

    steps, found = build_steps(predict), []

    def feed():
        for pause in (5, 10, 20):
            clock.now += pause  # while the network has nothing to do
            steps.start(["a", "b"], [IMAGE, IMAGE])
            bell.wait()
            found.extend(seconds for _, _, seconds in steps.take())
        yield "end"

    assert list(steps.run(feed, bell.wake)) == ["end"]
    assert (steps.seconds.start, steps.seconds.predict, steps.seconds.waiting) == (5, 9, 30)
    assert found == [1.5] * 6


@pytest.mark.parametrize("where", ["network", "other"])
def test_what_either_thread_raises_is_raised(where):
    def predict(images):
        raise KeyError("network")

    steps, bell = build_steps(predict), Bell()

    def feed():
        if where == "other":
            raise KeyError("other")
        steps.start(["a"], [IMAGE])
        while not steps.abandoned:
            bell.wait()
        yield "never"

    with pytest.raises(KeyError, match=where):
        list(steps.run(feed, bell.wake))


def test_the_other_thread_ends_where_nobody_asks_any_more():
    steps, bell, ended = build_steps(torch.clone), Bell(), threading.Event()

    def feed():
        for number in range(10_000_000):
            if steps.abandoned:
                break
            yield number
        ended.set()

    results = steps.run(feed, bell.wake)
    assert next(results) == 0
    results.close()
    assert ended.is_set()
