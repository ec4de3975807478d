import math
import random

import numpy as np
import torch

from medseg.training.saving import read_random_state, write_random_state


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
