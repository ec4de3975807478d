import os
import subprocess
import sys

import pytest

from medseg.tracking.dead_runs import HOST, PID, PROCESS_START, describe_process, find_process_start, is_alive, is_dead


def test_this_process_is_not_dead() -> None:
    assert not is_dead(describe_process())
    assert not is_alive(describe_process())  # another process is meant


def test_another_process_is_alive_until_it_is_killed_even_as_a_zombie() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"], stdout=-1)
    assert process.stdout is not None
    process.stdout.readline()
    tags = describe_process() | {PID: str(process.pid), PROCESS_START: find_process_start(process.pid) or ""}
    assert is_alive(tags)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_dead(tags)
    process.communicate()
    assert is_dead(tags)


def test_a_process_number_given_away_again_is_another_process() -> None:
    assert is_dead(describe_process() | {PROCESS_START: "another-boot/1"})


@pytest.mark.parametrize("tags", [{HOST: "another machine"}, {PID: ""}, {PROCESS_START: ""}])
def test_what_cannot_be_known_is_not_dead(tags: dict[str, str]) -> None:
    assert not is_dead(describe_process() | {PROCESS_START: "another-boot/1"} | tags)
    assert not is_dead({})
