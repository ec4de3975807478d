import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient

import medseg
from medseg.errors import CheckpointError
from medseg.model.checkpoint import load_model
from medseg.tracking import TrackingConfig, download_model_checkpoint, start_run
from medseg.tracking.service import describe_service, list_requirements
from medseg.tracking.sqlite import build_address
from medseg.tracking.store import find_store, open_store
from tests.support.dicom_files import write_dicom
from tests.support.mlflow_stores import copy_store
from tests.support.model_files import write_model


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
def test_network_loads_and_gives_its_probabilities(tracking: TrackingConfig, tmp_path: Path) -> None:
    run_id = log(tracking, tmp_path / "out", 0)
    network = build_network(0).eval()
    with open_store(find_store(tracking)):
        module = mlflow.pytorch.load_model(f"runs:/{run_id}/model")
    for num_images in (1, 2, 3):
        images = np.random.default_rng(num_images).random((num_images, 1, 20, 32), np.float32)
        with torch.no_grad():
            expected = torch.sigmoid(network(torch.from_numpy(images))).numpy()
            given = module(torch.from_numpy(images)).numpy()
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
def test_model_says_what_it_takes_and_needs_and_shows_no_image(tracking: TrackingConfig, tmp_path: Path) -> None:
    run_id = log(tracking, tmp_path / "out", 0)
    with open_store(find_store(tracking)):
        info = mlflow.models.get_model_info(f"runs:/{run_id}/model")
        folder = Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/model", dst_path=str(tmp_path)))
    assert set(info.flavors) == {"python_function", "pytorch"}
    assert info.signature == describe_service()
    assert info.metadata == {"classes": "a,b,c"}
    assert (folder / "requirements.txt").read_text().split() == list_requirements()
    assert not list(folder.glob("*example*"))
    assert info.saved_input_example_info is None
    (inside,) = distributions(name="medseg", path=[str(folder / "code/medseg.zip")])
    assert inside.version == medseg.__version__


@pytest.mark.slow
def test_model_needs_no_installed_medseg_and_no_unpickling(tracking: TrackingConfig, tmp_path: Path) -> None:
    path = write_model(tmp_path / "best.pt")
    with start_run(tracking, parameters={}) as run:
        run.log_model(load_model(path)[1], np.zeros((2, 1, 32, 32), np.float32), path, {})
    image = write_dicom(tmp_path / "image.dcm")
    script = f"""
import base64, os, sys
os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
os.environ["MLFLOW_PYFUNC_INFERENCE_CONFIG"] = '{{"predict": {{"backend": "torch"}}}}'

class WithoutMedseg:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        if name == "medseg":
            path = [entry for entry in sys.path if entry.endswith("medseg.zip")]
        spec = self.finder.find_spec(name, path, target)
        return None if spec and name == "medseg" and ".zip" not in spec.origin else spec

sys.meta_path[:] = map(WithoutMedseg, sys.meta_path)
import mlflow, pandas, torch
mlflow.set_tracking_uri({tracking.uri!r})
network = mlflow.pytorch.load_model("runs:/{run.id}/model")
print(tuple(network(torch.zeros(1, 1, 32, 32)).shape), "medseg" in sys.modules)
served = mlflow.pyfunc.load_model("runs:/{run.id}/model")
image = base64.b64encode(open({str(image)!r}, "rb").read()).decode()
(answer,) = served.predict(pandas.DataFrame({{"image": [image]}}))
print(answer["error"], answer["areas_px"])
import medseg
print(medseg.__file__.partition("/code/")[2])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    areas = dict(medseg.load_model(path, {"predict.backend": "torch"}).predict(image).areas_px)
    expected = ["(1, 2, 32, 32) False", f"None {areas}", "medseg.zip/medseg/__init__.py"]
    assert done.stdout.splitlines() == expected, done.stderr


@pytest.mark.slow
def test_checkpoint_of_a_model_without_a_service_is_found(tracking: TrackingConfig, tmp_path: Path) -> None:
    """Such models were logged before 0.1.0."""
    (tmp_path / "best.pt").write_text("checkpoint")
    with start_run(tracking, parameters={}) as run:
        mlflow.pytorch.log_model(
            build_network(0).eval().to(memory_format=torch.contiguous_format),  # type: ignore[call-overload]
            name="model",
            input_example=np.zeros((2, 1, 20, 32), np.float32),
            pip_requirements=["torch"],
            extra_files=[str(tmp_path / "best.pt")],
            serialization_format="pt2",
        )
    assert download_model_checkpoint(f"runs:/{run.id}/model", tracking).read_text() == "checkpoint"


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
