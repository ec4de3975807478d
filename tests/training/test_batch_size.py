from pathlib import Path

import pytest
import torch

from medseg.data.config import PreprocessConfig
from medseg.hardware.device import find_hardware
from medseg.model.checkpoint import ModelCard
from medseg.model.config import ModelConfig
from medseg.training.batch_size import _choose, count_image_bytes, settle_batch_size
from medseg.training.config import TrainingConfig
from medseg.training.resume import Resumed

CPU = find_hardware("cpu")


def card(side: int = 64) -> ModelCard:
    return ModelCard(
        classes=("a",), model=ModelConfig(width=4, depth=2), preprocess=PreprocessConfig(size=(side, side))
    )


RESUMED = Resumed(Path("last.pt"), card(), {}, {"batch_size": 3})


def test_what_is_given_is_taken() -> None:
    given = TrainingConfig(batch_size=7)
    assert settle_batch_size(given, card(), 1000, CPU, RESUMED) is given


def test_a_resumed_training_keeps_its_own(shown: pytest.CaptureFixture[str]) -> None:
    assert settle_batch_size(TrainingConfig(), card(), 1000, CPU, RESUMED).batch_size == 3
    assert shown.readouterr().err == ""


def test_on_a_cpu_it_is_four_and_that_is_said(shown: pytest.CaptureFixture[str]) -> None:
    assert settle_batch_size(TrainingConfig(), card(), 1000, CPU, None).batch_size == 4
    assert shown.readouterr().err == "train.batch_size=4 (chosen automatically for cpu)\n"


@pytest.mark.parametrize(
    ("kind", "num_cases", "fitting", "size"),
    [
        ("cpu", 10**6, 3.9, 2),
        ("cpu", 10**6, -5.0, 1),
        ("cuda", 10**6, 1000.0, 64),
        ("cuda", 10**6, 33.0, 32),
        ("cuda", 300, 1000.0, 16),
        ("cuda", 20, 1000.0, 4),
    ],
)
def test_a_gpu_takes_what_fits_and_leaves_an_epoch_its_steps(kind: str, num_cases: int, fitting: float, size: int):
    assert _choose(kind, num_cases, fitting) == size


def test_the_estimate_counts_what_layers_give() -> None:
    fp32, bf16 = (count_image_bytes(card(), find_hardware("cpu", p)) for p in ("fp32", "bf16"))
    assert fp32 == 2 * bf16
    assert count_image_bytes(card(128), find_hardware("cpu", "fp32")) == 4 * fp32


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_a_step_of_that_size_fits() -> None:
    found = settle_batch_size(TrainingConfig(), card(256), 10**6, find_hardware("cuda"), None)
    assert found.batch_size is not None
    assert found.batch_size >= 4
