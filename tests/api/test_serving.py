"""`mlflow models serve`, asked by several clients at once."""

import base64
import io
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from mlflow import MlflowClient
from PIL import Image

import medseg
from medseg.model.checkpoint import load_model
from medseg.tracking import TrackingConfig, start_run
from tests.support.dicom_files import phantom, write_dicom
from tests.support.mlflow_stores import copy_store
from tests.support.mlflow_ui import LOG, SECONDS, open_server
from tests.support.model_files import write_model

pytestmark = pytest.mark.slow
SETTINGS = {"predict": {"backend": "torch"}}
NAME = "Secret^Name"
"""The patient of every DICOM file of `write_dicom`."""
Files = dict[str, bytes]


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> TrackingConfig:
    database = copy_store(empty_database, tmp_path_factory.mktemp("serving") / "mlruns")
    tracking = TrackingConfig(uri=f"sqlite:///{database}", system_metrics=False)
    path = write_model(database.parent.parent / "best.pt")
    with start_run(tracking, parameters={}) as run:
        run.log_model(load_model(path)[1], np.zeros((2, 1, 32, 32), np.float32), path, {}, "chest")
    MlflowClient(tracking.uri).set_registered_model_alias("chest", "champion", "1")
    return tracking


@pytest.fixture(scope="module")
def server(tracking: TrackingConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address for requests, and the log of the server."""
    folder = tmp_path_factory.mktemp("server")
    command = "-m mlflow models serve -m models:/chest@champion --env-manager local"
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": str(tracking.uri),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_PYFUNC_INFERENCE_CONFIG": json.dumps(SETTINGS),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # MLflow looks for uvicorn there
    }
    with open_server([sys.executable, *command.split()], folder, environment) as address:
        yield f"{address}/invocations", folder / LOG


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Images that are answered."""
    folder, array = tmp_path_factory.mktemp("good"), io.BytesIO()
    np.save(array, phantom(70, 90).astype(np.float32))
    Image.fromarray(phantom()).save(folder / "image.png")
    return {
        "dicom": write_dicom(folder / "image.dcm").read_bytes(),
        "dark": write_dicom(folder / "dark.dcm", PhotometricInterpretation="MONOCHROME1").read_bytes(),
        "ct": write_dicom(folder / "ct.dcm", Modality="CT").read_bytes(),
        "png": (folder / "image.png").read_bytes(),
        "array": array.getvalue(),
    }


@pytest.fixture(scope="module")
def bad() -> dict[str, str]:
    """Base64 texts that are refused, by what is said of them."""
    photo = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)).save(photo, "JPEG")
    return {
        "image: is not base64 text": "broken=base64",
        "image: is not in a supported format": encode(b"Dear colleague, "),
        "image: is empty": "",
        "image: is a color image": encode(photo.getvalue()),
        "image: is not a readable PNG file": encode(b"\x89PNG\r\n\x1a\n" + bytes(40)),
    }


def encode(content: bytes) -> str:
    return base64.b64encode(content).decode()


def decode(answer: dict[str, Any], name: str) -> "np.ndarray[Any, Any]":
    mask = answer["masks"][name]
    if mask.get("png"):
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(mask["png"])))) > 0
    rows, columns = mask["size"]
    return np.repeat(np.arange(len(mask["counts"])) % 2, mask["counts"]).reshape(columns, rows).T > 0


def ask(address: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=SECONDS) as response:
        answers: list[dict[str, Any]] = json.load(response)["predictions"]
    return answers


def test_clients_get_the_masks_of_the_model_and_bad_rows_an_error(
    server: tuple[str, Path], tracking: TrackingConfig, good: Files, bad: dict[str, str], tmp_path: Path
) -> None:
    address, log = server
    model = medseg.load_model("models:/chest@champion", {**SETTINGS, "tracking.uri": tracking.uri})
    images = {name: np.load(io.BytesIO(data)) if name == "array" else data for name, data in good.items()}
    expected = {name: model.predict(image) for name, image in images.items()}
    rows = [(name, encode(data)) for name, data in good.items()] + list(bad.items())

    def ask_once(number: int) -> tuple[list[tuple[str, str]], list[dict[str, Any]]]:
        asked = [rows[(number + step) % len(rows)] for step in (0, 5, 7)]  # 0 or 7, and 5, are bad
        params = {"masks": ("rle", "png")[number % 2], "seg": number % 3 == 0}
        return asked, ask(address, {"dataframe_records": [{"image": text} for _, text in asked], "params": params})

    with ThreadPoolExecutor(4) as clients:
        answered = list(clients.map(ask_once, range(50)))
    num_masks = num_segs = 0
    for asked, answers in answered:
        for (name, _), answer in zip(asked, answers, strict=True):
            if name in bad or name not in good:
                assert answer["error"].startswith(name)
                assert answer["masks"] is None
                continue
            result = expected[name]
            for label, mask in result.masks.items():
                assert np.array_equal(decode(answer, label), mask)
                num_masks += 1
            assert (answer["error"], answer["model"], answer["areas_px"]) == (None, model.digest, result.areas_px)
            assert answer["warnings"][: len(result.warnings)] == list(result.warnings)
            if answer["seg"] is not None:
                (path,) = result.write(tmp_path, ["seg"])
                seg = pydicom.dcmread(io.BytesIO(base64.b64decode(answer["seg"])))
                assert seg.SOPInstanceUID == pydicom.dcmread(path).SOPInstanceUID
                assert seg.PixelData == pydicom.dcmread(path).PixelData
                num_segs += 1
    assert num_masks == 2 * 75
    assert num_segs > 10
    assert expected["ct"].warnings[0].startswith("modality: CT is not accepted")
    text = log.read_text() + json.dumps([{**answer, "seg": None} for _, answers in answered for answer in answers])
    assert not any(secret in text for secret in (*NAME.split("^"), "SECRET-ID", str(log.parent)))


def test_a_request_without_an_image_is_refused_as_a_whole(server: tuple[str, Path]) -> None:
    with pytest.raises(urllib.error.HTTPError, match="400"):
        ask(server[0], {"dataframe_records": [{"radiograph": ""}]})
