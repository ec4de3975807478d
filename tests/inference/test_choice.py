import json

import pytest
import torch

from medseg.errors import ConfigError
from medseg.folder.journal import Journal
from medseg.hardware.device import find_hardware
from medseg.inference.backends import Backend
from medseg.inference.choice import build_backend, measure_backends, pick_fastest
from medseg.inference.config import FolderPredictConfig, ModelPredictConfig
from medseg.inference.models import load_models
from medseg.tracking.config import StoreConfig
from tests.support.model_files import write_model

PLAIN, OTHER = (Backend("torch", find_hardware("cpu"), precision) for precision in ("fp32", "bf16"))
NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path / "journal.jsonl") as opened:
        yield opened


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "medseg" / "fastest"


@pytest.fixture
def model(tmp_path):
    return load_models((str(write_model(tmp_path / "model.pt")),), StoreConfig(), ModelPredictConfig())


def begin(config, model, journal):
    """The backend of a folder, chosen as in prediction."""
    backend = build_backend(config, model, journal.backend)
    journal.keep_backend(backend.name)
    return backend


def keep(folder, plain: float, other: float) -> None:
    (path,) = folder.iterdir()
    path.write_text(json.dumps({PLAIN.name: plain, OTHER.name: other}))


def test_one_candidate_is_not_measured(model, folder):
    assert pick_fastest([OTHER], model)[0] is OTHER
    assert not folder.exists()


def test_what_was_measured_is_kept_and_decides(model, folder):
    picked, why = pick_fastest([PLAIN, OTHER], model)
    assert picked in (PLAIN, OTHER)
    assert why.startswith("measured now")
    for plain, other, wanted in ((2.0, 1.0, OTHER), (1.0, 2.0, PLAIN), (1.0, 0.97, PLAIN)):  # 3 % is noise
        keep(folder, plain, other)
        picked, why = pick_fastest([PLAIN, OTHER], model)
        assert picked is wanted
        assert why.startswith(f"measured earlier, time for one image: {PLAIN.name} {1000 * plain:.3g} ms")


@pytest.mark.slow
@pytest.mark.parametrize("content", ["", "[]", '{"torch/cpu/fp32": "x"}', '{"torch/cpu/fp32": 1.0}'])
def test_a_damaged_file_is_measured_anew(model, folder, content):
    pick_fastest([PLAIN, OTHER], model)
    (path,) = folder.iterdir()
    path.write_text(content)
    assert pick_fastest([PLAIN, OTHER], model)[1].startswith("measured now")
    assert set(json.loads(path.read_text())) == {PLAIN.name, OTHER.name}


@pytest.mark.slow
def test_threads_are_limited_before_the_speed_is_measured(model, folder, monkeypatch, shown):
    """A container with more cores must not use the measurement of a container with fewer."""
    pytest.importorskip("openvino")
    threads = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    try:
        for cores, when in ((4, "now"), (2, "now"), (2, "earlier")):
            torch.set_num_threads(4)
            monkeypatch.setattr("medseg.hardware.device.count_cores", lambda cores=cores: cores)
            build_backend(FolderPredictConfig(device="cpu"), model)
            assert f"measured {when}" in shown.readouterr().err
    finally:
        torch.set_num_threads(threads)
    assert len(list(folder.iterdir())) == 2


def test_another_architecture_is_measured_on_its_own(model, folder, tmp_path):
    from medseg.data.config import PreprocessConfig

    pick_fastest([PLAIN, OTHER], model)
    path = write_model(tmp_path / "larger.pt", preprocess=PreprocessConfig(size=(48, 48)))
    larger = load_models((str(path),), StoreConfig(), ModelPredictConfig())
    assert pick_fastest([PLAIN, OTHER], larger)[1].startswith("measured now")
    assert len(list(folder.iterdir())) == 2


def test_a_cache_folder_that_cannot_be_written_is_no_error(model, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert pick_fastest([PLAIN, OTHER], model)[1].startswith("measured now")


class Broken(Backend):
    """The library is installed but cannot be loaded."""

    def load(self, *_):
        raise ImportError("libfoo.so: cannot open\nmore")


def test_a_backend_that_does_not_work_is_left_out(model, folder, shown):
    broken = Broken("openvino", find_hardware("cpu"), "bf16")
    picked, why = pick_fastest([PLAIN, broken], model)
    assert picked is PLAIN
    assert broken.name not in why
    assert shown.readouterr().err == "backend openvino/cpu/bf16 does not work on this machine: libfoo.so: cannot open\n"
    with pytest.raises(ImportError):
        pick_fastest([broken, PLAIN], model)


def test_every_candidate_is_measured(model):
    seconds = measure_backends([PLAIN, OTHER], model)
    assert list(seconds) == [PLAIN.name, OTHER.name]
    assert all(0 < value < 60 for value in seconds.values())


def test_the_choice_is_recorded_said_and_reused(model, journal, shown):
    asked = FolderPredictConfig(backend="torch", device="cpu", precision="fp32")
    assert begin(asked, model, journal).name == "torch/cpu/fp32"
    assert "backend torch/cpu/fp32: " in shown.readouterr().err
    assert begin(FolderPredictConfig(), model, journal).name == "torch/cpu/fp32"


def test_what_is_asked_for_wins(model, journal):
    begin(FolderPredictConfig(backend="torch", device="cpu", precision="fp32"), model, journal)
    assert begin(FolderPredictConfig(precision="bf16"), model, journal).name == "torch/cpu/bf16"


@NO_GPU
def test_a_recorded_device_that_is_gone_is_said_and_chosen_anew(model, journal, shown):
    journal.append(b"", {"backend": "torch/cuda/bf16"})
    asked = FolderPredictConfig(backend="torch", precision="fp32")
    assert begin(asked, model, journal).name == "torch/cpu/fp32"
    assert "the backend recorded in the journal, torch/cuda/bf16, is not used: " in shown.readouterr().err
    with pytest.raises(ConfigError, match="no CUDA device"):
        begin(FolderPredictConfig(device="cuda"), model, journal)
