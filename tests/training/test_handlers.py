from types import SimpleNamespace

import pytest
import torch
from monai.utils.enums import CommonKeys

from medseg.data.loaders import EpochSampler
from medseg.errors import TrainingError
from medseg.training.config import OptimConfig, TrainingConfig
from medseg.training.handlers import Budget, Validation
from medseg.training.saving import Saving


def budget(**optim: object) -> Budget:
    return Budget(TrainingConfig(epochs=10), OptimConfig(learning_rate=1.0, **optim))  # type: ignore[arg-type]


def trainer(epoch_length: int = 5) -> SimpleNamespace:
    return SimpleNamespace(state=SimpleNamespace(epoch_length=epoch_length))


def test_learning_rate_rises_then_falls_polynomially() -> None:
    schedule = budget(warmup=0.1, decay="polynomial")
    assert schedule.learning_rate(0) == pytest.approx(0.01)
    assert schedule.learning_rate(0.05) == pytest.approx(0.505)
    assert schedule.learning_rate(0.1) == pytest.approx(1)
    assert schedule.learning_rate(0.55) == pytest.approx(0.5**0.9)
    assert schedule.learning_rate(1) == 0


def test_other_decays() -> None:
    assert budget(warmup=0, decay="cosine").learning_rate(0.5) == pytest.approx(0.5)
    assert budget(warmup=0, decay="constant").learning_rate(0.99) == 1


def test_budget_in_epochs_is_spent_by_iterations() -> None:
    assert budget().spent(trainer(), 25) == pytest.approx(0.5)  # type: ignore[arg-type]
    assert budget().spent(trainer(), 60) == 1  # type: ignore[arg-type]


def test_budget_in_minutes_keeps_the_last_validation_back() -> None:
    timed = Budget(TrainingConfig(minutes=1), OptimConfig())
    timed.seconds_before, timed.validation_seconds = 20.0, 20.0
    assert timed.spent(trainer(), 10**6) == pytest.approx(20 / 40)  # type: ignore[arg-type]
    timed.validation_seconds = 59.0  # never more than half
    assert timed.spent(trainer(), 0) == pytest.approx(20 / 30)  # type: ignore[arg-type]


def test_whichever_budget_ends_first() -> None:
    both = Budget(TrainingConfig(minutes=1, epochs=10), OptimConfig())
    both.seconds_before = 30.0
    assert both.spent(trainer(), 10) == pytest.approx(0.5)  # type: ignore[arg-type]
    assert both.spent(trainer(), 40) == pytest.approx(0.8)  # type: ignore[arg-type]


def test_neither_epochs_nor_minutes_is_30_epochs() -> None:
    assert TrainingConfig().num_epochs == 30
    assert TrainingConfig(minutes=2).num_epochs is None


def followed(losses: list[float]) -> tuple[Validation, SimpleNamespace]:
    """A validation that has collected these losses without checking each, as on a GPU. Batch i is case i."""
    train = TrainingConfig()
    validation = Validation(None, 1, train, budget(), print, print, print)  # type: ignore[arg-type]
    facts = [SimpleNamespace(id=f"case{i}") for i in range(len(losses))]
    state = SimpleNamespace(epoch=1, epoch_length=100, dataloader=SimpleNamespace(dataset=SimpleNamespace(facts=facts)))
    engine = SimpleNamespace(state=state)
    for index, loss in enumerate(losses):
        state.iteration = index + 1
        state.output = {CommonKeys.LOSS: torch.tensor(loss), CommonKeys.IMAGE: torch.zeros(1)}
        state.batch = {"index": torch.tensor([index])}
        validation._follow(engine)  # type: ignore[arg-type]
    return validation, engine


def test_weights_behind_a_loss_that_is_not_finite_are_neither_validated_nor_saved() -> None:
    validation, engine = followed([1.0, 1.0, float("nan"), 1.0])
    engine.state.iteration = 4
    written: list[object] = []
    saving = Saving(written.append, TrainingConfig(), torch.nn.Identity(), EpochSampler(4, 1, 0), validation, budget())
    with pytest.raises(TrainingError, match=r"loss is nan in epoch 1, iteration 3, batch: case2;"):
        saving.save_now(engine)  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="case2"):
        validation.validate(engine)  # type: ignore[arg-type]
    assert written == []


def test_losses_are_looked_at_now_and_then() -> None:
    with pytest.raises(TrainingError, match=r"iteration 25, batch: case24;"):
        followed([1.0] * 24 + [float("inf")] + [1.0] * 30)


def test_budget_in_operations_counts_them() -> None:
    """Coarse steps cost what their smaller images cost: 2 GFLOP for two images, then 8."""
    counted = Budget(TrainingConfig(tflop=0.04, coarse=0.4), OptimConfig(), lambda shape: shape[1] / 8)
    assert counted.train.num_epochs is None
    ended: list[bool] = []
    engine = trainer()
    engine.state.iteration = 0
    engine.terminate = lambda: ended.append(True)
    sizes = []
    while not ended:
        engine.state.iteration += 1
        sizes.append(counted.is_coarse(engine))  # type: ignore[arg-type]
        engine.state.output = {CommonKeys.IMAGE: torch.zeros(2, 1, 8 if sizes[-1] else 32, 8)}
        engine.state.batch = {"index": torch.arange(2)}
        counted._count(engine)  # type: ignore[arg-type]
        counted._end(engine)  # type: ignore[arg-type]
    assert sizes == [True] * 8 + [False] * 3
    assert counted.gflop == 8 * 2 + 3 * 8
