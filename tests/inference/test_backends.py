import shutil
import sys
from dataclasses import replace

import pytest
import torch

from medseg.errors import CheckpointError, ConfigError
from medseg.hardware.device import find_hardware
from medseg.inference.backends import Backend, build_training_backend, list_backends
from medseg.inference.config import FolderPredictConfig, PredictConfig
from medseg.inference.models import LoadedModel, load_models
from medseg.inference.openvino_runtime import quantize
from medseg.inference.predictor import build_predictor
from medseg.model.checkpoint import save_checkpoint
from medseg.model.config import ModelConfig
from medseg.model.unet import build_unet
from medseg.tracking.config import StoreConfig
from tests.support.model_files import write_model

CPU = find_hardware("cpu")
FLOAT = CPU.precision
NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def model(tmp_path) -> LoadedModel:
    return load_models((str(write_model(tmp_path / "model.pt")),), StoreConfig(), FolderPredictConfig())


def quantized(model: LoadedModel) -> LoadedModel:
    pictures = list(torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(1)))
    return replace(model, quantized=(quantize(model.networks[0], pictures),))


def names(model: LoadedModel, **settings: str) -> list[str]:
    return [backend.name for backend in list_backends(FolderPredictConfig(**settings), model)]


@pytest.mark.slow
@NO_GPU
def test_candidates_are_every_library_in_the_precision_of_the_machine(model):
    pytest.importorskip("openvino")
    assert names(model) == [f"torch/cpu/{FLOAT}", f"openvino/cpu/{FLOAT}"]
    assert names(model, precision="fp32") == ["torch/cpu/fp32", "openvino/cpu/fp32"]
    assert names(model, backend="inductor") == [f"inductor/cpu/{FLOAT}"]
    assert names(model, backend="openvino") == [f"openvino/cpu/{FLOAT}"]


@pytest.mark.slow
def test_int8_of_a_network_whose_masks_are_smaller_than_its_images():
    pytest.importorskip("nncf")
    network = build_unet(ModelConfig(width=2, depth=1, padding=0), 1, 1).eval()
    images = torch.rand(2, 1, 24, 32, generator=torch.Generator().manual_seed(1))
    forward = Backend("openvino", CPU, "int8").load(network, (24, 32), quantize(network, list(images)))
    with torch.no_grad():
        assert forward(images).shape == network(images).shape == (2, 1, 8, 16)


@pytest.mark.slow
@NO_GPU
def test_int8_is_a_candidate_where_the_model_has_it(model):
    pytest.importorskip("openvino")
    own = quantized(model)
    assert names(own) == [f"torch/cpu/{FLOAT}", f"openvino/cpu/{FLOAT}", "openvino/cpu/int8"]
    assert names(own, precision="int8") == ["openvino/cpu/int8"]
    assert names(own, backend="torch") == [f"torch/cpu/{FLOAT}"]
    with pytest.raises(ConfigError, match="the model is not quantized"):
        names(model, precision="int8")
    with pytest.raises(ConfigError, match="int8 needs OpenVINO"):
        names(own, precision="int8", backend="torch")


@NO_GPU
def test_without_openvino_there_is_torch(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert names(model) == [f"torch/cpu/{FLOAT}"]
    with pytest.raises(ConfigError, match=r"not installed; pip install 'medseg\[openvino\]'"):
        names(model, backend="openvino")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "precision", "tolerance"),
    [("torch", "fp32", 1e-4), ("torch", "bf16", 0.1), ("openvino", "fp32", 1e-4), ("openvino", "bf16", 0.1)],
)
def test_every_backend_computes_the_network(model, library, precision, tolerance):
    if library == "openvino":
        pytest.importorskip("openvino")
    network = model.networks[0]
    images = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(2))
    found = Backend(library, CPU, precision).load(network, (32, 32))(images)
    with torch.no_grad():
        wanted = network.eval()(images)
    assert found.dtype == torch.float32
    assert (found - wanted).abs().max() < tolerance * wanted.std()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_a_compiled_network_computes_the_same(model):
    (backend,) = list_backends(FolderPredictConfig(backend="inductor", device="cpu", precision="fp32"), model)
    assert backend.name == "inductor/cpu/fp32"
    images = torch.rand(1, 1, 32, 32)
    plain, compiled = (
        build_predictor(model, one, PredictConfig()).predict(images) for one in (Backend("torch", CPU, "fp32"), backend)
    )
    torch.testing.assert_close(compiled, plain, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_an_int8_network_is_near_and_travels_in_a_model_file(model, tmp_path):
    pytest.importorskip("openvino")
    own = quantized(model)
    save_checkpoint(tmp_path / "int8.pt", own.card, own.networks[0].state_dict(), quantized=own.quantized[0])
    read = load_models((str(tmp_path / "int8.pt"),), StoreConfig(), FolderPredictConfig())
    images = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(2))
    (before,), (after,) = (Backend("openvino", CPU, "int8").load_all(one) for one in (own, read))
    assert torch.equal(before(images), after(images))
    (wanted,) = Backend("torch", CPU, "fp32").load_all(model)
    error = (after(images) - wanted(images)).abs().mean()
    assert 0 < error < 0.2 * wanted(images).std()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["graph", "weights"])
def test_a_damaged_int8_network_is_said(model, name):
    pytest.importorskip("openvino")
    own = quantized(model)
    damaged = replace(own.quantized[0], **{name: getattr(own.quantized[0], name)[:100]})
    with pytest.raises(CheckpointError, match="int8 network of the model file is damaged"):
        Backend("openvino", CPU, "int8").load(own.networks[0], (32, 32), damaged)


@pytest.mark.slow
def test_an_int8_network_of_other_images_is_refused(model):
    pytest.importorskip("openvino")
    own = quantized(model)
    with pytest.raises(CheckpointError, match="differ in image size or classes"):
        Backend("openvino", CPU, "int8").load(own.networks[0], (48, 48), own.quantized[0])


@pytest.mark.slow
def test_a_network_that_openvino_does_not_know_is_said(model, monkeypatch):
    pytest.importorskip("openvino")

    class Strange(torch.nn.Module):
        in_channels = 1

        def forward(self, x):
            return torch.special.bessel_j0(x)

    monkeypatch.setattr("medseg.inference.openvino_runtime.fold", lambda network: Strange())
    with pytest.raises(ConfigError, match="OpenVINO cannot convert this network"):
        Backend("openvino", CPU, "fp32").load(model.networks[0], (32, 32))


def test_training_scores_on_pytorch_in_its_own_precision():
    found = build_training_backend(find_hardware("cpu", "fp32", channels_last=False))
    assert (found.name, found.hardware.channels_last) == ("torch/cpu/fp32", False)
