import signal
import socket
import sys

import pytest

from medseg.cluster.config import FolderConfig
from medseg.cluster.engine import open_engine
from medseg.errors import ConfigError, WorkerError
from medseg.folder.pool import Workers
from medseg.folder.stages import Network
from medseg.inference.config import FolderPredictConfig, InputConfig
from medseg.inference.models import load_models
from medseg.tracking.config import StoreConfig
from tests.support.model_files import write_model


@pytest.fixture
def enter(tmp_path):
    def enter(**folder):
        predict = FolderPredictConfig(backend="torch", precision="fp32", workers=1)
        model = load_models([str(write_model(tmp_path / "model.pt"))], StoreConfig())
        return open_engine(FolderConfig(**folder), predict, InputConfig(dir=tmp_path), (), model, "", tmp_path)

    return enter


@pytest.mark.slow
def test_one_machine_has_its_own_workers_and_network(enter):
    with enter() as engine:
        assert engine.backend == engine.predictor.backend == "torch/cpu/fp32"
        assert isinstance(engine.workers, Workers)
        assert engine.network is Network


def test_without_ray_the_extra_is_named(enter, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"Ray is not installed. Install it with pip"), enter(engine="ray"):
        pass


@pytest.mark.slow
def test_a_cluster_that_cannot_be_reached_is_told_and_signals_stay(enter):
    before = signal.getsignal(signal.SIGTERM)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(WorkerError, match=f"the Ray cluster {address} cannot be reached"):  # noqa: SIM117
            with enter(engine="ray", address=address):
                pass
    assert signal.getsignal(signal.SIGTERM) is before
