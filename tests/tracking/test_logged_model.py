import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from medseg.errors import CheckpointError
from medseg.tracking import TrackingConfig, download_model_checkpoint, start_run
from medseg.tracking.sqlite import build_address
from medseg.tracking.store import find_store, open_store
from tests.support.mlflow_stores import copy_store


def build_network(seed: int) -> torch.nn.Module:
    """Layers like the U-Net's, in training mode and channels-last as a training leaves them."""
    torch.manual_seed(seed)
    layers = [
        torch.nn.Conv2d(1, 4, 3, padding=1, padding_mode="reflect", bias=False),
        torch.nn.BatchNorm2d(4),
        torch.nn.Dropout2d(0.3),
        torch.nn.LeakyReLU(),
        torch.nn.Conv2d(4, 8, 3, stride=2, padding=1, padding_mode="reflect", bias=False),
        torch.nn.Upsample(scale_factor=2, mode="nearest"),
        torch.nn.Conv2d(8, 3, 3, padding=1),
    ]
    network = torch.nn.Sequential(*layers)
    network(torch.rand(4, 1, 20, 32))  # running statistics of batch norm
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def log(tracking: TrackingConfig, folder: Path, *seeds: int, register: str | None = None) -> str:
    folder.mkdir(exist_ok=True)
    with start_run(tracking, parameters={}) as run:
        for seed in seeds:
            (folder / "best.pt").write_text(f"checkpoint {seed}")
            example = np.random.default_rng(0).random((2, 1, 20, 32), np.float32)
            run.log_model(build_network(seed), example, folder / "best.pt", {"classes": "a,b,c"}, register)
    return run.id


@pytest.mark.slow
def test_model_loads_both_ways_and_gives_the_probabilities_of_the_network(
    tracking: TrackingConfig, tmp_path: Path
) -> None:
    run_id = log(tracking, tmp_path / "out", 0)
    network = build_network(0).eval()
    with open_store(find_store(tracking)):
        module = mlflow.pytorch.load_model(f"runs:/{run_id}/model")
        function = mlflow.pyfunc.load_model(f"runs:/{run_id}/model")
    for num_images in (1, 2, 3):
        images = np.random.default_rng(num_images).random((num_images, 1, 20, 32), np.float32)
        with torch.no_grad():
            expected = torch.sigmoid(network(torch.from_numpy(images))).numpy()
            np.testing.assert_allclose(module(torch.from_numpy(images)).numpy(), expected, atol=1e-6)
        given = function.predict(images)
        assert (given.shape, given.dtype) == ((num_images, 3, 20, 32), np.float32)
        np.testing.assert_allclose(given, expected, atol=1e-6)


@pytest.mark.slow
def test_model_and_checkpoint_are_found_in_a_folder_of_any_name(tmp_path: Path, empty_database: Path) -> None:
    database = copy_store(empty_database, tmp_path / "a%20b what?x#y" / "mlruns")
    tracking = TrackingConfig(uri=build_address(database), system_metrics=False)
    run_id = log(tracking, tmp_path / "out", 0, register="chest")
    assert download_model_checkpoint("models:/chest/1", tracking).read_text() == "checkpoint 0"
    with open_store(find_store(tracking)):
        mlflow.pytorch.load_model(f"runs:/{run_id}/model")


@pytest.mark.slow
def test_model_says_what_it_takes_and_needs_and_shows_no_picture(tracking: TrackingConfig, tmp_path: Path) -> None:
    run_id = log(tracking, tmp_path / "out", 0)
    with open_store(find_store(tracking)):
        info = mlflow.models.get_model_info(f"runs:/{run_id}/model")
        folder = Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/model", dst_path=str(tmp_path)))
        example = mlflow.models.Model.load(folder).load_input_example(str(folder))
    assert info.signature.inputs.inputs[0].shape == (-1, 1, 20, 32)
    assert info.signature.outputs.inputs[0].shape == (-1, 3, 20, 32)
    assert info.metadata == {"classes": "a,b,c"}
    requirements = (folder / "requirements.txt").read_text().split()
    assert [line.partition("==")[0] for line in requirements] == ["mlflow", "torch", "numpy"]
    assert "+" not in "".join(requirements)
    assert example.shape == (2, 1, 20, 32)
    assert not example.any()


@pytest.mark.slow
def test_model_needs_none_of_our_code_and_no_unpickling(tracking: TrackingConfig, tmp_path: Path) -> None:
    run_id = log(tracking, tmp_path / "out", 0)
    script = f"""
import os, sys
os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
import mlflow, numpy
mlflow.set_tracking_uri({tracking.uri!r})
model = mlflow.pyfunc.load_model("runs:/{run_id}/model")
print(model.predict(numpy.zeros((1, 1, 20, 32), "float32")).shape, "medseg" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == "(1, 3, 20, 32) False", done.stderr


@pytest.mark.slow
def test_checkpoint_is_found_by_run_by_version_and_by_alias(
    tracking: TrackingConfig, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_id = log(tracking, tmp_path / "out", 0, 1, register="chest")
    MlflowClient(tracking.uri).set_registered_model_alias("chest", "champion", "1")
    found = {
        address: download_model_checkpoint(address, tracking).read_text()
        for address in (f"runs:/{run_id}/model", "models:/chest@champion", "models:/chest/2")
    }
    assert MlflowClient(tracking.uri).get_model_version("chest", "2").tags["medseg.use"].startswith("Research use only")
    assert list(found.values()) == ["checkpoint 1", "checkpoint 0", "checkpoint 1"]  # of two in a run the newest
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "address", [f"runs:/{'0' * 32}/model", "models:/nothing@champion", "models:/nothing/1", "models:/", "x:/y"]
)
def test_an_address_without_a_model_is_named(address: str, tracking: TrackingConfig) -> None:
    with pytest.raises(CheckpointError, match=address):
        download_model_checkpoint(address, tracking)


def test_a_store_that_is_not_there_is_named_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no MLflow store at"):
        download_model_checkpoint("models:/chest/1", TrackingConfig(uri=f"sqlite:///{tmp_path}/mlruns/mlflow.db"))
    assert not (tmp_path / "mlruns").exists()
