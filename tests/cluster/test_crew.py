import os
import pickle
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from medseg.cluster.crew import Crew, call
from medseg.errors import StorageError
from medseg.folder.pool import Lost
from medseg.inference.config import InputConfig

pytestmark = pytest.mark.slow  # processes are started


def give(*values):
    return (pickle.dumps(os.getpid()), *values)


def refuse():
    raise StorageError("OUT/x.png: could not be written")


def sleep():
    time.sleep(60)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def pack(function, *arguments):
    return pickle.dumps((function, arguments))


@pytest.fixture(scope="module")
def crew(tmp_path_factory):
    folder = tmp_path_factory.mktemp("in")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("scratch")))
        crew = Crew(2, InputConfig(dir=folder, timeout_seconds=4.0), ())
        crew.start()
        yield crew
        crew.close()


def test_a_function_runs_in_another_process_with_the_values_of_the_call(crew):
    head, first, second = crew.run(pack(give, "a"), 3, "b")
    assert pickle.loads(head) != os.getpid()
    assert (first, second) == ("a", "b")


def test_one_part_is_no_tuple(crew):
    assert isinstance(pickle.loads(crew.run(pack(give), 1)), int)


def test_threads_get_their_own_results(crew):
    with ThreadPoolExecutor(4) as threads:
        results = threads.map(lambda number: crew.run(pack(give), 2, number)[1], range(20))
        assert list(results) == list(range(20))


def test_a_task_that_is_lost_takes_only_the_place_of_its_first_part(crew):
    head, rest = crew.run(pack(sleep), 2)
    assert pickle.loads(head) == Lost("timeout: took more than 4 s")
    assert rest is None
    killed = pickle.loads(crew.run(pack(die), 1))
    assert killed.reason.startswith("killed: ")
    assert isinstance(pickle.loads(crew.run(pack(give), 1)), int)


def test_an_error_of_a_user_is_raised_and_the_crew_goes_on(crew):
    with pytest.raises(StorageError, match="could not be written"):
        crew.run(pack(refuse), 1)
    assert isinstance(pickle.loads(crew.run(pack(give), 1)), int)


def test_other_errors_are_not_caught():
    with pytest.raises(ZeroDivisionError):
        call(pack(divmod, 1, 0))


def test_nothing_is_left_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    crew = Crew(1, InputConfig(dir=tmp_path), ())
    crew.start()
    pid = pickle.loads(crew.run(pack(give), 1))
    crew.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
