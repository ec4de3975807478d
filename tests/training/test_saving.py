import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from medseg.errors import CheckpointError
from medseg.training.config import OptimConfig, TrainingConfig
from medseg.training.handlers import Budget
from medseg.training.saving import Saving, read_random_state, write_random_state


def test_random_states_are_restored() -> None:
    def draw() -> list[float]:
        return [torch.rand(1).item(), np.random.rand(), random.random()]

    state = read_random_state()
    first = draw()
    assert draw() != first
    write_random_state(state)
    assert draw() == first


def test_random_state_survives_a_safe_load(tmp_path) -> None:  # type: ignore[no-untyped-def]
    torch.save(read_random_state(), tmp_path / "state.pt")
    first = torch.rand(1)
    write_random_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(torch.rand(1), first)
    assert not math.isnan(first.item())


def test_the_operations_so_far_are_kept_and_needed() -> None:
    network, wanted = nn.Linear(1, 1), Budget(TrainingConfig(tflop=1), OptimConfig())
    engine = SimpleNamespace(
        network=network,
        optimizer=torch.optim.AdamW(network.parameters()),
        state=SimpleNamespace(iteration=3, epoch=1, epoch_length=2),
        add_event_handler=lambda *_: None,
    )
    facts = {"history": [], "best": {}, "validations": 0, "stale": 0, "validated_at": -1}

    def saving(budget: Budget) -> Saving:
        sampler, validation = SimpleNamespace(batch_size=1), SimpleNamespace(**facts)
        return Saving(lambda _: None, budget.train, network, sampler, validation, budget)  # type: ignore[arg-type]

    wanted.gflop = 5.0
    state = saving(wanted).state(engine)  # type: ignore[arg-type]
    resumed = Budget(TrainingConfig(tflop=1), OptimConfig())
    saving(resumed).load(engine, network.state_dict(), state)  # type: ignore[arg-type]
    assert resumed.gflop == 5
    uncounted = saving(Budget(TrainingConfig(minutes=1), OptimConfig())).state(engine)  # type: ignore[arg-type]
    earlier = {name: value for name, value in state.items() if name != "gflop"}  # as earlier versions saved it
    for other in (uncounted, earlier, state | {"gflop": 0.0}):
        with pytest.raises(CheckpointError, match="operations of the training so far were not counted"):
            saving(resumed).load(engine, network.state_dict(), other)  # type: ignore[arg-type]
