"""Two processes that share the batches of a training."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from tests.support.processes import run_forked
from tests.support.torchrun import Torchrun

pytestmark = pytest.mark.slow

STEPS = "tests.support.parallel_steps"
TINY = "model.width=4", "model.depth=2", "preprocess.size=[32,32]", "train.batch_size=5", "optim.learning_rate=0.01"
PLAIN = *TINY, "model.batch_norm=false", "model.dropout=0"
"""13 cases in batches of 5 are two steps an epoch; two processes have 2 and 3 cases of a batch."""


def steps(out: Path, *settings: str, count: int) -> list[dict[str, torch.Tensor]]:
    """What each of `count` processes has at the end."""
    out.mkdir()
    ended = [run_forked(STEPS, out, *settings)] if count == 1 else Torchrun().run(STEPS, out, *settings, count=count)
    assert [done.returncode for done in ended] == [0] * count, [done.stderr for done in ended]
    return [torch.load(out / f"{rank}.pt", weights_only=True) for rank in range(count)]


@pytest.mark.parametrize(
    ("count", "settings"),
    [
        (2, ("train.epochs=25",)),
        (2, ("train.epochs=25", "train.accumulate=2", "loss.name=bce", "optim.name=sgd")),
        (3, ("train.tflop=0.0012", "loss.name=dice")),
    ],
)
def test_they_equal_one_process_over_fifty_steps_in_float64(
    tmp_path: Path, count: int, settings: tuple[str, ...]
) -> None:
    (alone,) = steps(tmp_path / "alone", *PLAIN, *settings, count=1)
    together = steps(tmp_path / "together", *PLAIN, *settings, count=count)
    assert len(alone["losses"]) >= 50
    for found in together:
        assert_close(found, alone, rtol=0, atol=1e-10)
    assert not torch.equal(alone["losses"][:2], alone["losses"][-2:])


def test_with_batch_normalization_and_dropout_they_stay_alike_and_near_one_process(tmp_path: Path) -> None:
    settings = *TINY, "model.dropout=0.1", "train.epochs=10"
    (alone,) = steps(tmp_path / "alone", *settings, count=1)
    first, second = steps(tmp_path / "together", *settings, count=2)
    assert_close(first, second, rtol=0, atol=0)
    assert (alone["losses"] - first["losses"]).abs().max() > 0  # as docs/cluster.md says
    assert_close(first["losses"].mean(), alone["losses"].mean(), rtol=0.05, atol=0)
