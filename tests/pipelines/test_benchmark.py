"""The whole command, on networks and pictures so small that every part takes seconds; no speed is asserted."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from PIL import Image

from medseg.benchmark.article import UNet
from medseg.commands import benchmark
from medseg.commands.benchmark import BenchmarkConfig
from medseg.config import parse_args
from medseg.data.config import PreprocessConfig
from medseg.errors import ConfigError
from medseg.model.checkpoint import Accepts, Reading
from medseg.model.operations import count_gflop
from medseg.tracking.store import import_mlflow
from tests.support.model_files import write_model
from tests.support.processes import ROOT, Forked, run_fresh
from tests.support.training_command import run_of

pytestmark = pytest.mark.slow

TINY = (
    "benchmark.widths=[8]",
    "benchmark.sizes=[32]",
    "benchmark.training_size=32",
    "benchmark.batch_size=2",
    "benchmark.turns=2",
    "benchmark.seconds=0",
    "benchmark.product_seconds=0.0001",
    "benchmark.fit_seconds=1",
    "benchmark.num_files=3",
    "benchmark.file_size=128",
    "benchmark.dice=0.05",
    "benchmark.of_class=lungs",
    "benchmark.article_width=16",
    "benchmark.minutes=0.2",
    "benchmark.validate_seconds=0.2",
    "train.minutes=0.2",
    "preprocess.size=[32,32]",
    "phantom.size=64",
    "phantom.num_cases=24",
    "model.width=4",
    "model.depth=2",
    "tracking.system_metrics=false",
)
PARTS = ["limit", "prediction", "folder", "training", "time_to_dice"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, store: str) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("benchmark")
    arguments = (*TINY, f"tracking.uri={store}", f"output.dir={folder}")
    return folder, run_fresh("pipelines.benchmark", *arguments, timeout=500)


@pytest.fixture(scope="module")
def report(done: tuple[Path, subprocess.CompletedProcess[str]]) -> dict[str, Any]:
    folder, process = done
    assert process.returncode == 0, process.stderr
    return json.loads((folder / "benchmark.json").read_text())


def rows(report: dict[str, Any], part: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for c in report["comparisons"] if c["part"] == part for row in c["rows"]}


def test_every_part_is_there(report, done):
    folder, process = done
    assert [comparison["part"] for comparison in report["comparisons"]] == PARTS
    assert report["hardware"]["cores"]["usable"] >= 1
    assert report["versions"]["torch"]
    assert report["config"]["benchmark"]["widths"] == [8]
    with Image.open(folder / "benchmark.png") as picture:
        assert min(picture.size) > 400
    for words in (
        "The limit",
        "Prediction",
        "Training",
        "End to end",
        "Time to a validation Dice",
        "Research use only",
    ):
        assert words in process.stdout
    assert [path.name for path in folder.iterdir() if path.name.startswith("tmp")] == []


def test_ratios_are_quotients_of_medians(report):
    checked = 0
    for comparison in report["comparisons"]:
        reference = next(row for row in comparison["rows"] if row["name"] == comparison["reference"])
        for row in comparison["rows"]:
            if "seconds" not in row or "seconds" not in reference:
                continue
            assert row["seconds"]["median"] == pytest.approx(median(row["seconds"]["turns"]))
            assert row["ratio"] == pytest.approx(reference["seconds"]["median"] / row["seconds"]["median"])
            assert row["rate"] == pytest.approx(1 / row["seconds"]["median"])
            if row["gflop"] and comparison["limit"]:
                assert row["gflops"] == pytest.approx(row["gflop"] / row["seconds"]["median"])
                products = {product["name"].split()[0]: product["gflops"] for product in comparison["products"]}
                assert comparison["limit"]["gflops"] == max(products.values())
                assert products[comparison["limit_precision"]] == max(products.values())
                assert row["fraction_of_limit"] == pytest.approx(row["gflops"] / max(products.values()))
                assert row["fraction_of_bf16"] == pytest.approx(row["gflops"] / products["bf16"])
                checked += 1
    assert checked >= 7


def test_prediction(report):
    found = rows(report, "prediction")
    assert {"article", "torch/cpu/fp32", "torch/cpu/bf16", "openvino/cpu/fp32", "openvino/cpu/int8"} <= found.keys()
    assert found["article"]["gflop"] == pytest.approx(count_gflop(UNet(1, 3, 8), (1, 32, 32)))
    assert found["article"]["loop_seconds"] >= found["article"]["seconds"]["turns"][0] / 10
    assert len(found["article"]["seconds"]["turns"]) == 2
    assert found["torch/cpu/fp32"]["dice"] == pytest.approx(dict.fromkeys(("clavicles", "heart", "lungs"), 1), abs=0.01)
    for row in found.values():
        assert row["note"] or "seconds" in row


def test_training(report):
    found = rows(report, "training")
    assert list(found) == ["article", "article, nothing saved", "medseg, reflect padding", "medseg, zero padding"]
    assert (found["article"]["batch_size"], found["medseg, zero padding"]["batch_size"]) == (1, 2)
    for name in list(found)[2:]:
        unsaved = found["article, nothing saved"]["seconds"]["median"] / found[name]["seconds"]["median"]
        assert found[name]["ratio_to_nothing_saved"] == pytest.approx(unsaved)
        assert sum(found[name]["shares"].values()) == pytest.approx(1)
        assert list(found[name]["shares"]) == ["data", "augmentation", "forward", "backward", "optimiser", "other"]


def test_folder(report):
    found = rows(report, "folder")
    assert list(found) == ["network alone", "DICOM to PNG", "JPEG 2000 to PNG", "DICOM to SEG"]
    assert found["network alone"]["backend"].split("/")[1] == "cpu"
    for name in list(found)[1:]:
        assert {"decode", "predict", "write", "waiting"} <= found[name]["shares"].keys()


def test_time_to_dice(report):
    found = rows(report, "time_to_dice")
    ours, article = found["medseg"], found["article"]
    assert ours["seconds"]["median"] == next(at for at, dice in ours["curve"] if dice >= 0.05)
    if "seconds" not in article:
        assert article["note"].startswith("not reached in")
        assert ours["ratio_is_a_lower_bound"]
    assert [at for at, _ in article["curve"]] == sorted(at for at, _ in article["curve"])


def test_mlflow_has_all_of_it(report, store):
    run = run_of(store, report["run_id"])
    assert (run.info.status, run.info.run_name) == ("FINISHED", "benchmark")
    ratio = rows(report, "prediction")["torch/cpu/fp32"]["ratio"]
    assert run.data.metrics["prediction/width-8-32-x-32/torch-cpu-fp32/ratio"] == pytest.approx(ratio)
    assert run.data.metrics["training/width-8-32-x-32/medseg-zero-padding/share_forward"] > 0
    assert run.data.params["benchmark.widths"] == "[8]"
    client = import_mlflow().MlflowClient(store)
    names = {file.path for file in client.list_artifacts(report["run_id"])}
    assert {"benchmark.json", "benchmark.png", "config.yaml"} <= names


def test_what_is_not_installed_is_a_row(store, tmp_path, monkeypatch):
    monkeypatch.setattr("medseg.benchmark.prediction.is_installed", lambda package="openvino": False)
    parts = "benchmark.parts=[prediction]"
    benchmark.main([*TINY, parts, f"tracking.uri={store}", f"output.dir={tmp_path / 'out'}"])
    report = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    found = rows(report, "prediction")
    assert found["openvino/cpu/bf16"] == {
        "name": "openvino/cpu/bf16",
        "note": "openvino not installed: pip install 'medseg[openvino]'",
    }
    assert "openvino and nncf not installed" in found["openvino/cpu/int8"]["note"]
    assert "seconds" in found["torch/cpu/fp32"]


def test_any_model_is_measured_beside_the_articles_network_which_is_named(store, tmp_path):
    model = write_model(
        tmp_path / "hand.pt",
        ("hand",),
        preprocess=PreprocessConfig(size=(40, 32)),
        accepts=Accepts(modalities=("MG",), body_parts=("HAND",), views=("ML",)),
        reading=Reading(presentation_intent=("FOR PROCESSING",)),
    )
    settings = [word for word in TINY if not word.startswith(("benchmark.widths", "benchmark.sizes"))]
    settings += [f"benchmark.model={model}", "benchmark.parts=[prediction,folder]", f"output.dir={tmp_path / 'out'}"]
    benchmark.main([*settings, f"tracking.uri={store}"])
    report = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert [c["title"] for c in report["comparisons"]] == ["width 4, 40 x 32", "width 4, 40 x 32, 3 files of 128 rows"]
    found = rows(report, "prediction")
    note = "untrained, on 48 x 32 pixels, since the model has model.depth=2, model.padding_mode=zeros"
    assert found["article"]["note"] == note
    assert found["article"]["gflop"] == pytest.approx(count_gflop(UNet(1, 1, 4), (1, 48, 32)))
    assert found["torch/cpu/fp32"]["dice"] == pytest.approx({"hand": 1}, abs=0.01)


def test_an_interrupt_ends_it_and_its_run(store, tmp_path):
    arguments = [*TINY, f"tracking.uri={store}", f"output.dir={tmp_path}", "benchmark.parts=[time_to_dice]"]
    arguments += ["benchmark.dice=0.999", "benchmark.minutes=5", "train.minutes=5", "tracking.run_name=stopped"]
    with Forked("pipelines.benchmark", *arguments) as process:
        process.stdout.readline()  # the machine: the run has begun
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=240)
    assert process.returncode == 130, said
    assert "stopped by SIGINT" in said
    client = import_mlflow().MlflowClient(store)
    experiment = client.get_experiment_by_name("medseg")
    (run,) = client.search_runs([experiment.experiment_id], "attributes.run_name = 'stopped'")
    assert run.info.status == "KILLED"
    assert not (tmp_path / "benchmark.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["benchmark.part=[limit]"], "did you mean 'benchmark.parts'"),
        (["benchmark.sizes=[500]"], "multiple of 16"),
        (["preprocess.size=[100,100]"], "multiples of 16"),
        (["data.color=rgb"], "grayscale radiographs"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        parse_args(BenchmarkConfig, arguments)


def test_a_recipe_of_train_xray_is_taken():
    config = parse_args(BenchmarkConfig, [str(ROOT / "configs" / "chest_xray.yaml"), "benchmark.parts=[limit]"])
    assert config.benchmark.parts == ("limit",)


def test_help_is_quick_to_read_and_names_every_key():
    process = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pipelines.benchmark", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    assert "benchmark.time_to_dice" not in process.stdout
    for key in ("benchmark.parts", "benchmark.of_class", "train.minutes", "tracking.uri"):
        assert f"  {key} (" in process.stdout
    assert not any(name in process.stderr for name in (" torch\n", " monai\n", " mlflow\n"))
