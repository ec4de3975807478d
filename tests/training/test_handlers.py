from types import SimpleNamespace

import pytest

from medseg.training.config import OptimConfig, TrainingConfig
from medseg.training.handlers import Budget


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
