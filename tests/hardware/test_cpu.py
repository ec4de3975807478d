import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from medseg.hardware import cpu
from medseg.hardware.device import find_hardware

FAULTS = """
import resource, sys
import torch
from contextlib import ExitStack
from medseg.hardware.cpu import freed_memory_kept
def use(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        torch.ones(40, 1 << 18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
with ExitStack() as held:
    if sys.argv[1] != "leave" and not held.enter_context(freed_memory_kept()):
        raise SystemExit("not glibc")
    if sys.argv[1] == "undo":
        held.close()
    use(50)
    print(use(10))
"""


def count_faults(how):
    """Page faults while 40 MiB are allocated and freed ten times, after fifty warm-up rounds."""
    found = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=False)
    if "not glibc" in found.stderr:
        pytest.skip("needs glibc")
    return int(found.stdout)


@pytest.mark.slow
def test_freed_memory_is_taken_again_without_asking_the_system():
    pages = 40 * 2**20 // 4096
    assert count_faults("keep") < pages
    for how in ("leave", "undo"):
        assert count_faults(how) >= 10 * pages // 512  # where the system gives 2 MiB at a time


@pytest.fixture
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize(("cores", "given", "expected"), [(1, None, 1), (64, None, 2), (1, "2", 2)])
def test_threads_follow_the_cores_there_are_unless_a_person_says_otherwise(monkeypatch, cores, given, expected):
    torch.set_num_threads(2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    with cpu.threads_limited(replace(find_hardware("cpu"), num_cores=cores)):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("_threads")
def test_threads_that_are_bound_to_cores_are_left_alone(monkeypatch):
    torch.set_num_threads(2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for bound, expected in (("true", 2), ("spread", 2), ("FALSE", 1)):
        monkeypatch.setenv("OMP_PROC_BIND", bound)
        with cpu.threads_limited(replace(find_hardware("cpu"), num_cores=1)):
            assert torch.get_num_threads() == expected


def test_without_a_c_library_memory_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(cpu.os, "name", "nt")
    with cpu.freed_memory_kept() as is_kept:
        assert not is_kept


def test_a_cpu_with_other_instructions_is_another(monkeypatch):
    own = cpu.identify_processor()
    assert own == cpu.identify_processor()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": False})
    assert cpu.identify_processor() != own
