import pytest
import torch

from medseg.errors import ConfigError
from medseg.inference.backends import build_backend
from medseg.inference.config import FolderPredictConfig
from medseg.inference.journal import Journal


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path / "journal.jsonl") as opened:
        yield opened


def test_the_choice_is_recorded_and_reused(journal):
    assert build_backend(FolderPredictConfig(device="cpu", precision="fp32"), journal).name == "torch/cpu/fp32"
    assert build_backend(FolderPredictConfig(), journal).name == "torch/cpu/fp32"


def test_what_is_asked_for_wins(journal):
    build_backend(FolderPredictConfig(device="cpu", precision="fp32"), journal)
    assert build_backend(FolderPredictConfig(device="cpu", precision="bf16"), journal).name == "torch/cpu/bf16"


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_recorded_device_that_is_gone_is_said_and_chosen_anew(journal, capsys):
    journal.append(b"", {"backend": "torch/cuda/bf16"})
    assert build_backend(FolderPredictConfig(precision="fp32"), journal).name == "torch/cpu/fp32"
    assert "torch/cuda/bf16, which the journal says" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="no CUDA device"):
        build_backend(FolderPredictConfig(device="cuda"), journal)
