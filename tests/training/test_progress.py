from types import SimpleNamespace
from typing import Any

import pytest

from medseg.hardware.cores import CpuReading
from medseg.training.core_watch import CoreWatch
from medseg.training.progress import TrainingProgress


@pytest.mark.parametrize(
    ("others", "end"), [(0.0, "1:15 left"), (10.0, "1:15 left  another program uses 1.0 of 2 CPU cores")]
)
def test_a_line_says_how_far_a_training_is_and_who_takes_the_cores(others: float, end: str) -> None:
    readings = iter([CpuReading(0, 0, 2), CpuReading(10, others, 2)])
    figures = {"train/loss": 0.25, "images_per_second": 4.06}
    validation: Any = SimpleNamespace(
        figures=lambda _: figures, history=[{"epoch": 1, "val/dice": 0.5}, {"epoch": 2, "val/dice": 0.75}]
    )
    budget: Any = SimpleNamespace(spent=lambda *_: 0.25, seconds=25.0)
    trainer: Any = SimpleNamespace(state=SimpleNamespace(epoch=3, iteration=9, epoch_length=4))
    line = TrainingProgress(validation, budget, CoreWatch(2, lambda: next(readings))).describe(trainer)
    assert line == f"epoch 3 (25%)  loss 0.2500  Dice 0.7500 (epoch 2)  4.1 images/s  {end}"
