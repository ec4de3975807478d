import json

import numpy as np
import pytest
import torch

from medseg.benchmark.contest import Contest, Contestant, compete, find_quartiles, timed

SLOW, FAST = (4.0, 2.0, 6.0), (1.0, 1.0, 2.0)


@pytest.mark.parametrize("warm_up", [None, lambda: None], ids=["a turn", "nothing"])
def test_contestants_take_turns(warm_up):
    called = []

    def enter(name):
        def turn():
            called.append(name)
            return float(len(called))

        return Contestant(name, turn=turn, warm_up=warm_up)

    found = compete([enter(name) for name in "abc"], 3, 0.0)
    assert "".join(called) == (3 if warm_up else 4) * "abc"
    first = 1 if warm_up else 4
    assert found[1].turns == (first + 1.0, first + 4.0, first + 7.0)


def test_turns_go_on_until_the_time_is_over():
    (found,) = compete([Contestant("a", turn=timed(lambda: sum(range(1000)), torch.device("cpu")))], 2, 0.05)
    assert len(found.turns) > 2
    assert all(seconds > 0 for seconds in found.turns)


def test_details_are_told_after_the_last_turn_and_know_all_medians():
    taken = iter(SLOW)
    told = lambda medians: {"best_dice": medians["slow"], "steps": len(list(taken))}  # noqa: E731
    slow = Contestant("slow", turn=lambda: next(taken), warm_up=lambda: None)
    found = compete([Contestant("fast", turn=lambda: 1.0, tell=told), slow], 3, 0.0)
    assert found[0].details == {"best_dice": 4.0, "steps": 0}


def test_what_took_the_turns_is_let_go():
    (found,) = compete([Contestant("a", turn=lambda: 1.0, warm_up=lambda: None, tell=lambda _: {"steps": 1})], 1, 0.0)
    assert found == Contestant("a", turns=(1.0,), details={"steps": 1})


def test_who_cannot_take_turns_stays_as_it_is():
    missing = Contestant("openvino/cpu/bf16", 3.0, "not installed")
    assert compete([missing, Contestant("a", turn=lambda: 1.0)], 1, 0.0)[0] is missing


def test_medians_and_quartiles_are_numpys():
    values = tuple(np.random.default_rng(0).random(11).tolist())
    assert Contestant("a", turns=values).seconds == np.median(values)
    assert find_quartiles(values) == pytest.approx(np.percentile(values, [25, 75]))


def test_a_single_turn_is_its_own_quartiles():
    assert find_quartiles((3.0,)) == (3.0, 3.0)


def compare(*contestants: Contestant) -> Contest:
    limit = Contestant("bf16 product", turns=(0.5,), gflop=10.0)
    return Contest("prediction", "width 64, 512 x 512", contestants, products=[limit])


def test_ratio_is_the_quotient_of_medians():
    fast = Contestant("fast", 5.0, turns=FAST)
    contest = compare(Contestant("article", 5.0, turns=SLOW), fast)
    assert contest.ratio(fast) == 4.0
    assert contest.to_dict()["rows"][1]["ratio_quartiles"] == (2.5, 3.5)  # of 4/1, 2/1 and 6/2
    assert fast.gflops == 5.0
    assert contest.fraction(fast) == 5.0 / 20.0


def test_without_bf16_in_hardware_the_limit_is_fp32():
    products = Contestant("fp32 product", 36.0, turns=(0.5,)), Contestant("bf16 product", 7.0, turns=(1.0,))
    who = Contestant("torch/cpu/fp32", 54.0, turns=(1.0,))
    contest = Contest("prediction", "x", (who,), who.name, products)
    described = contest.to_dict()
    assert (described["limit"]["name"], described["limit_precision"]) == ("fp32 product", "fp32")
    assert described["rows"][0]["fraction_of_limit"] == 54.0 / 72.0
    assert described["rows"][0]["fraction_of_bf16"] == 54.0 / 7.0
    assert [product["name"] for product in described["products"]] == ["fp32 product", "bf16 product"]


def test_a_goal_that_was_not_reached_gives_a_lower_bound():
    ours = Contestant("medseg", turns=(30.0,))
    contest = Contest("time_to_dice", "Dice .95", (Contestant("article", at_least=90.0, note="not reached"), ours))
    assert contest.is_bound
    assert contest.ratio(ours) == 3.0
    described = contest.to_dict()["rows"]
    assert described[0] == {"name": "article", "note": "not reached"}
    assert (described[1]["ratio"], described[1]["ratio_is_a_lower_bound"]) == (3.0, True)


def test_what_was_not_measured_has_no_figures():
    missing = Contestant("openvino/cpu/bf16", note="not installed")
    contest = compare(Contestant("article", turns=SLOW), missing)
    assert contest.ratio(missing) is None
    assert contest.fraction(missing) is None
    assert contest.to_dict()["rows"][1] == {"name": "openvino/cpu/bf16", "note": "not installed"}


def test_all_figures_are_plain():
    contest = compare(Contestant("article", 5.0, turns=SLOW, details={"dice": {"lungs": 0.9}}))
    read = json.loads(json.dumps(contest.to_dict()))
    assert read["rows"][0]["seconds"] == {"median": 4.0, "quartiles": [3.0, 5.0], "turns": [4.0, 2.0, 6.0]}
    assert read["rows"][0]["rate"] == 0.25
    assert read["rows"][0]["dice"] == {"lungs": 0.9}
    assert read["limit"]["gflops"] == 20.0
