import contextlib
import os
import random
import signal
import threading
import time
from multiprocessing import forkserver

import numpy as np
import psutil
import pytest
import torch

from medseg.errors import StorageError
from medseg.folder.pool import Lost, Workers
from medseg.inference.config import InputConfig


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    limits = InputConfig(dir=folder, timeout_seconds=60, memory_gib=0.5)
    with Workers(2, limits, folder) as pool:
        yield pool
    assert list(folder.iterdir()) == []


def run(workers, function, *arguments):
    workers.submit("tag", function, *arguments)
    tag, result = workers.wait()
    assert tag == "tag"
    return result


def double(number):
    return 2 * number


def pad(number):
    return number, bytes(3_000_000)


def allocate(gib):
    return len(np.ones(int(gib * 2**27), np.float64))


def allocate_tensor(gib):
    return len(torch.ones(int(gib * 2**28)))


def fail_to_write():
    raise StorageError("out: could not be written: No space left on device")


def die_once(marker):
    if not os.path.exists(marker):  # noqa: PTH110
        open(marker, "w").close()  # noqa: PTH123
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def wait_for_file(path):
    while not os.path.exists(path):  # noqa: PTH110
        time.sleep(0.01)


def print_something():
    os.write(1, b"SECRET")
    os.write(2, b"SECRET")
    return os.readlink("/proc/self/fd/2")  # noqa: PTH115


def test_results_come_with_their_tags(workers):
    for number in range(5):
        workers.submit(number, double, number)
    assert sorted(workers.wait() for _ in range(5)) == [(n, 2 * n) for n in range(5)]


def test_another_thread_can_wake_the_one_that_waits(workers, tmp_path):
    marker = tmp_path / "go on"
    workers.submit("tag", wait_for_file, str(marker))
    threading.Timer(0.05, workers.wake).start()
    assert workers.wait() is None
    marker.touch()
    assert workers.wait() == ("tag", None)


@pytest.mark.slow
def test_a_task_that_hangs_is_lost(tmp_path):
    with Workers(1, InputConfig(dir=tmp_path, timeout_seconds=4), tmp_path) as workers:
        assert run(workers, time.sleep, 600) == Lost("timeout: took more than 4 s")
        assert run(workers, abs, -8) == 8


def test_a_task_that_ends_its_process_is_lost(workers):
    assert run(workers, os.abort) == Lost("crashed: the process that read it was stopped by SIGABRT")
    assert run(workers, os._exit, 3) == Lost("crashed: the process that read it ended with exit code 3")
    assert run(workers, double, 4) == 8


@pytest.mark.slow
def test_a_task_whose_process_was_killed_is_tried_again(workers, tmp_path):
    assert run(workers, die_once, str(tmp_path / "marker")) == "alive"


def test_memory_is_limited(workers):
    assert run(workers, allocate, 0.25) == 2**25
    assert run(workers, allocate, 2) == Lost("memory: needed more than 0.5 GiB")
    assert run(workers, allocate_tensor, 2) == Lost("memory: needed more than 0.5 GiB")


def test_what_cannot_be_written_is_raised(workers):
    workers.submit("tag", fail_to_write)
    with pytest.raises(StorageError, match="No space left"):
        workers.wait()


def test_what_codecs_print_is_not_seen(workers, capfd):
    assert run(workers, print_something) == os.devnull
    captured = capfd.readouterr()
    assert "SECRET" not in captured.out + captured.err


@pytest.mark.slow
def test_a_server_that_ends_while_it_is_asked_for_a_process_is_started_anew(workers, tmp_path):
    """This happens if a signal to the whole process group comes while a worker is being replaced."""
    server = forkserver._forkserver._forkserver_pid
    os.kill(server, signal.SIGSTOP)
    while psutil.Process(server).status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)
    os.kill(server, signal.SIGTERM)  # which waits until it goes on
    threading.Timer(0.5, os.kill, (server, signal.SIGCONT)).start()
    with Workers(1, InputConfig(dir=tmp_path), tmp_path) as others:
        assert forkserver._forkserver._forkserver_pid != server
        assert run(others, double, 4) == 8


@pytest.mark.slow
def test_processes_killed_at_any_moment_lose_no_task(workers):
    rng = random.Random(2)
    waiting = set(range(60))
    for number in waiting:
        workers.submit(number, pad, number)
    while waiting:
        for worker in rng.sample(workers._workers, rng.choice((0, 0, 0, 1, 2))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.process.pid, signal.SIGKILL)
        tag, result = workers.wait()
        waiting.remove(tag)
        assert isinstance(result, Lost) or result[0] == tag
        assert not isinstance(result, Lost) or result.reason.startswith("killed: ")
