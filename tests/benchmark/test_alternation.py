import numpy as np
import pytest
import torch

from medseg.benchmark.alternation import Times, alternate, find_quartiles, timed


@pytest.mark.parametrize("warm", [True, False])
def test_contestants_take_turns(warm):
    called = []

    def contestant(name):
        def turn():
            called.append(name)
            return float(len(called))

        return turn

    times = alternate({name: contestant(name) for name in "abc"}, 3, 0.0, warm=warm)
    assert "".join(called) == (4 if warm else 3) * "abc"
    first = 4 if warm else 1
    assert times["b"].turns == (first + 1.0, first + 4.0, first + 7.0)


def test_turns_go_on_until_the_time_is_over():
    times = alternate({"a": timed(lambda: sum(range(1000)), torch.device("cpu"))}, 2, 0.05)
    assert len(times["a"].turns) > 2
    assert all(seconds > 0 for seconds in times["a"].turns)


def test_medians_and_quartiles_are_numpys():
    values = tuple(np.random.default_rng(0).random(11).tolist())
    times = Times(values)
    assert times.median == np.median(values)
    assert times.quartiles == pytest.approx(np.percentile(values, [25, 75]))


def test_a_single_turn_is_its_own_quartiles():
    assert find_quartiles((3.0,)) == (3.0, 3.0)
