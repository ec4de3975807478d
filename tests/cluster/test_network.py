import numpy as np
import pytest
import torch

from medseg.cluster.network import Network, list_versions
from medseg.errors import ConfigError
from medseg.inference.choice import build_backend
from medseg.inference.config import FolderPredictConfig
from medseg.inference.models import load_models
from medseg.inference.predictor import build_predictor
from medseg.tracking.config import StoreConfig
from tests.support.model_files import write_model

PREDICT = FolderPredictConfig(backend="torch", precision="fp32")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_models([str(write_model(tmp_path_factory.mktemp("model") / "model.pt"))], StoreConfig())


def test_probabilities_are_those_of_one_machine(model):
    images = np.random.default_rng(0).random((3, 1, 32, 32), dtype=np.float32)
    images.flags.writeable = False  # as Ray gives them
    network = Network()
    assert network.choose(model, PREDICT, "", 1) == "torch/cpu/fp32"
    network.load(model, PREDICT, "torch/cpu/fp32", 1, list_versions())
    seconds, *maps = network.predict(*images)
    backend = build_backend(PREDICT, model)
    expected = build_predictor(model, backend, PREDICT).predict(torch.from_numpy(images.copy())).numpy()
    assert seconds > 0
    assert np.array_equal(maps, expected)


def test_a_backend_that_the_node_does_not_have_is_told(model):
    with pytest.raises(ConfigError, match=r"predict\.precision=int8: the model is not quantized"):
        Network().load(model, FolderPredictConfig(), "openvino/cpu/int8", 1, list_versions())
    with pytest.raises(ConfigError, match="cannot use the backend torch/cpu/bf16, only torch/cpu/fp32"):
        Network().load(model, PREDICT, "torch/cpu/bf16", 1, list_versions())


def test_other_versions_are_refused(model):
    versions = {**list_versions(), "torch": "2.0"}
    with pytest.raises(
        ConfigError,
        match=rf"has torch {torch.__version__.split('+')[0]}\S*, but the driver has 2.0. Install the versions",
    ):
        Network().load(model, PREDICT, "torch/cpu/fp32", 1, versions)
