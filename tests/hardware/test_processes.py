"""The place of a process, and what it does alone. Several are tried in tests/training/test_parallel.py."""

from contextlib import nullcontext

import pytest
import torch

from medseg.errors import DataError
from medseg.hardware.processes import ALONE, Processes, joined

TWO = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}


def test_torchrun_says_the_place() -> None:
    assert Processes.from_environment(TWO) == Processes(rank=1, size=2, local_rank=0, local_size=1)


@pytest.mark.parametrize("changed", [{"WORLD_SIZE": "1", "RANK": "0"}, {"RANK": ""}, {"LOCAL_WORLD_SIZE": "two"}])
def test_one_process_or_half_an_environment_is_alone(changed: dict[str, str]) -> None:
    assert Processes.from_environment({}) == Processes.from_environment(TWO | changed) == ALONE


@pytest.mark.parametrize("count", [0, 1, 5, 8, 100])
def test_shares_cover_everything_once_and_are_even(count: int) -> None:
    shares = [list(range(count))[Processes(rank, 3).share(count)] for rank in range(3)]
    assert [each for share in shares for each in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_alone_nothing_is_exchanged_and_no_group_is_made() -> None:
    with joined("cpu", 1) as processes, processes.first(nullcontext(7), 8) as given, processes.together():
        assert (processes, given) == (ALONE, 7)
        assert (processes.gather(3), processes.collect(3), processes.lead(lambda: 3)) == ([3], [3], 3)
        assert processes.maximum(2.5) == processes.decide(2.5) == 2.5
        assert processes.only_first(print) is print
        tensor = torch.ones(2)
        assert processes.add(tensor) is tensor
        assert not torch.distributed.is_initialized()


def test_the_others_do_not_call_what_only_the_first_one_does() -> None:
    called: list[int] = []
    Processes(rank=1, size=2).only_first(called.append)(1)
    assert called == []


def test_errors_pass_alone() -> None:
    def fail() -> None:
        raise DataError("faulty")

    with pytest.raises(DataError, match="faulty"):
        ALONE.lead(fail)
    with pytest.raises(DataError, match="faulty"), ALONE.together():
        fail()
