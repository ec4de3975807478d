import pytest
import torch

from medseg.benchmark.time_to_dice import Logit, Racer, cap_minutes
from medseg.benchmark.training import Diverged
from medseg.training.config import TrainingConfig


def race(scores: list[float], minutes: float) -> Racer:
    """A training of one second a step, looked at every three."""
    looks = iter(scores)
    racer = Racer("ours", lambda: 1.0, lambda: next(looks), minutes)
    while racer.may_reach(0.9):
        racer.advance(2.5)
    return racer


def test_only_steps_count_and_the_first_look_that_has_it_decides():
    racer = race([0.2, 0.85, 0.93, 0.99], minutes=10)
    assert racer.curve == [(3.0, 0.2), (6.0, 0.85), (9.0, 0.93)]
    row = racer.describe(0.9)
    assert row.turns == (9.0,)
    assert (row.details["steps"], row.details["best_dice"]) == (9, 0.93)


def test_minutes_bound_it():
    racer = race([0.1, 0.3, 0.2, 0.1], minutes=0.1)
    assert racer.seconds == 6.0
    row = racer.describe(0.9)
    assert row.turns == ()
    assert row.at_least == 6.0
    assert row.note == "not reached in 0.1 minutes"
    assert row.details["best_dice"] == 0.3


def test_one_that_diverges_has_lost():
    """As the article's loop may, narrow."""
    steps = iter([1.0])

    def step():
        for seconds in steps:
            return seconds
        raise Diverged

    racer = Racer("theirs", step, lambda: 0.3, minutes=10)
    while racer.may_reach(0.9):
        racer.advance(5)
    assert racer.curve == [(1.0, 0.3)]
    note = racer.describe(0.9).note
    assert note == "not reached in 0.0167 minutes: its probabilities became NaN after 1 steps"


def test_other_errors_are_raised():
    def step():
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        Racer("theirs", step, lambda: 0.3, minutes=10).advance(5)


def test_one_that_is_over_of_itself_goes_no_further():
    racer = Racer("ours", lambda: 1.0, lambda: 0.3, 10, lambda: racer.steps == 2)
    racer.advance(5)
    assert (racer.curve, racer.may_reach(0.9)) == ([(2.0, 0.3)], False)


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_half_is_where_logits_change_sign(probability):
    logit = Logit()(torch.tensor([probability]))
    assert bool(logit >= 0) == (probability >= 0.5)


@pytest.mark.parametrize(("own", "expected"), [(None, 1.5), (1.0, 1.0), (60.0, 1.5)])
def test_the_schedule_fits_into_the_minutes(own, expected):
    assert cap_minutes(TrainingConfig(minutes=own), 1.5).minutes == expected
