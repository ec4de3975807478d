"""The command that checks receipts: what it names, what it repeats, how it ends."""

import json
import shutil
import subprocess
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from medseg.commands import evaluate_xray
from medseg.commands.verify import _compare_trainings, main
from medseg.config import build_config
from medseg.errors import ConfigError
from medseg.hardware.device import find_hardware
from medseg.receipt.receipt import Receipt
from medseg.training.receipt import digest_recipe
from medseg.training.recipe import Recipe
from tests.support.archives import encrypt, list_files, write_archive, write_large_listing
from tests.support.dicom_files import write_dicom
from tests.support.evaluated_models import write_shapes_model
from tests.support.model_files import write_model
from tests.support.prediction_command import predict
from tests.support.processes import run_forked
from tests.support.shape_images import write_png_folder

pytestmark = pytest.mark.slow

Trained = tuple[Path, Path, subprocess.CompletedProcess[str]]


def verify(*arguments: object) -> tuple[int, dict[str, str]]:
    """The exit code, and what the command says of each item."""
    with redirect_stdout(StringIO()) as stdout, redirect_stderr(StringIO()):
        code = main([str(argument) for argument in arguments])
    return code, read_items(stdout.getvalue())


def read_items(printed: str) -> dict[str, str]:
    return {line[:14].strip(): line[15:] for line in printed.splitlines()}


def spoil(path: Path) -> None:
    """Change one pixel of an image."""
    with Image.open(path) as image:
        pixels = np.array(image)
    pixels[0, 0] = 255 - pixels[0, 0]
    Image.fromarray(pixels).save(path)


def add_text(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def change_weight(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    next(iter(content["weights"].values())).view(-1)[0] += 1e-6
    torch.save(content, path)


def list_changes(said: dict[str, str]) -> set[str]:
    return {name for name, verdict in said.items() if not verdict.startswith("same")}


def exchange_classes(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    content["card"]["classes"].reverse()
    torch.save(content, path)


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of a training and of its data."""
    data, out, _ = trained
    return shutil.copytree(data, tmp_path / "data"), shutil.copytree(out, tmp_path / "out")


def test_nothing_has_changed_after_a_training(trained: Trained) -> None:
    _, out, _ = trained
    code, said = verify(out)
    assert said == dict.fromkeys(("configuration", "split", "data", "weights", "masks", "code", "environment"), "same")
    assert code == 0


CHANGES: dict[str, Callable[[Path, Path], None]] = {
    "data": lambda data, out: spoil(data / "masks" / "disc" / "case03.png"),
    "configuration": lambda data, out: add_text(out / "config.yaml", "learning_rate: 0.002", "learning_rate: 0.003"),
    "weights": lambda data, out: change_weight(out / "best.pt"),
    "masks": lambda data, out: spoil(next((out / "masks" / "box").iterdir())),
    "code": lambda data, out: change_receipt(out, lambda receipt: receipt["code"].update(source="0" * 64)),
    "environment": lambda data, out: change_receipt(out, lambda receipt: receipt["environment"].update(threads=7)),
}


def change_receipt(folder: Path, change: Callable[[dict[str, Any]], object], name: str = "summary.json") -> None:
    summary = json.loads((folder / name).read_text())
    change(summary["receipt"])
    (folder / name).write_text(json.dumps(summary))


@pytest.mark.parametrize("item", CHANGES)
def test_whatever_changed_is_named(item: str, copied: tuple[Path, Path]) -> None:
    data, out = copied
    CHANGES[item](data, out)
    code, said = verify(out / "summary.json", f"data={data}")
    assert (code, list_changes(said)) == (1, {item})
    assert said[item].startswith("changed")


def test_exchanged_classes_are_another_model(copied: tuple[Path, Path]) -> None:
    data, out = copied
    exchange_classes(out / "best.pt")
    code, said = verify(out, f"data={data}")
    assert (code, list_changes(said)) == (1, {"weights"})


def test_a_case_in_another_set_is_another_split(copied: tuple[Path, Path]) -> None:
    data, out = copied
    for path in data.rglob("case03.png"):
        path.rename(path.with_name("case99.png"))
    code, said = verify(out, f"data={data}")
    assert (code, said["split"], said["data"]) == (1, "changed", "same")  # no pixel has changed


def test_what_is_gone_is_no_change_but_cannot_be_checked(copied: tuple[Path, Path]) -> None:
    data, out = copied
    (out / "best.pt").unlink()
    add_text(out / "config.yaml", f"root: {json.loads((out / 'summary.json').read_text())['data']}", "root: /no/such")
    code, said = verify(out, "rerun=true")
    assert code == 0
    assert list_changes(said) == {"data", "split", "weights", "rerun"}
    assert said["data"] == (
        "cannot be checked: data.root: /no/such: no such file or folder. Give its place with data=DIR"
    )
    assert said["rerun"].startswith("cannot be checked: split, data, weights: not the same")
    (data / "masks" / "disc" / "case03.png").unlink()
    code, said = verify(out, f"data={data}")
    assert (code, said["data"][:8]) == (1, "changed:")


def test_an_archive_of_the_data_is_the_same_and_a_damaged_one_cannot_be_checked(
    trained: Trained, tmp_path: Path
) -> None:
    path = write_archive(tmp_path / "data.zip", list_files(trained[0]))
    code, said = verify(trained[1], f"data={path}")
    assert (code, list_changes(said)) == (0, set())
    path.write_bytes(path.read_bytes()[:-30])
    code, said = verify(trained[1], f"data={path}")
    assert (code, list_changes(said)) == (0, {"split", "data"})
    assert said["data"] == f"cannot be checked: {path}: is damaged or incomplete. Make or copy it again"


def test_a_training_on_an_archive_is_compared_when_it_is_repeated(trained: Trained, tmp_path: Path) -> None:
    path = write_archive(tmp_path / "data.zip", list_files(trained[0]))
    recipe = build_config(Recipe, [str(trained[1] / "config.yaml"), f"data.root={path}"])
    likeness = _compare_trainings(trained[1], trained[1], recipe, find_hardware("cpu", "fp32"))
    assert (likeness.dice, likeness.weights) == (1, 0)


def test_a_training_is_repeated_byte_for_byte(trained: Trained) -> None:
    _, out, _ = trained
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    done = run_forked("pipelines.verify", out, "rerun=true")
    said = read_items(done.stdout)
    assert said["rerun"] == "same: weights, thresholds, scores and masks are equal, byte for byte"
    assert done.returncode == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_a_budget_in_minutes_is_declined_with_the_reason(copied: tuple[Path, Path]) -> None:
    _, out = copied
    add_text(out / "config.yaml", "minutes: null", "minutes: 2.0")
    recipe = build_config(Recipe, [str(out / "config.yaml")])
    change_receipt(out, lambda receipt: receipt.update(configuration=digest_recipe(recipe)))
    code, said = verify(out, "rerun=true")
    assert (code, list_changes(said)) == (0, {"rerun"})
    assert said["rerun"].startswith("cannot be checked: train.minutes=2: the clock ended this training")


def test_settings_that_are_not_valid_any_more_have_changed(copied: tuple[Path, Path]) -> None:
    _, out = copied
    add_text(out / "config.yaml", "learning_rate: 0.002", "learning_rat: 0.002")
    code, said = verify(out)
    assert code == 1
    assert "unknown key 'optim.learning_rat'" in said["configuration"]


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, three images, and what was predicted."""
    root = tmp_path_factory.mktemp("predicted")
    model = write_model(root / "best.pt")
    (root / "in").mkdir()
    for number in range(2):
        write_dicom(root / "in" / f"{number}.dcm", SOPInstanceUID=f"1.2.3.{number}")
    (root / "in" / "notes.txt").write_text("no image")
    done = predict(f"model={model}", f"input.dir={root / 'in'}", f"output.dir={root / 'out'}", "predict.workers=1")
    assert done.returncode == 0, done.stderr
    return root


def test_a_prediction_is_the_same_and_is_repeated_with_its_dicom_objects(predicted: Path) -> None:
    code, said = verify(predicted / "out", "rerun=true")
    assert code == 0, said
    assert said == {
        **dict.fromkeys(("configuration", "images", "weights", "results", "code", "environment"), "same"),
        "rerun": "same: 6 files are equal, byte for byte",
    }


def test_files_of_an_archive_that_were_refused_are_the_same(predicted: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    files = {"a.dcm": (predicted / "in" / "0.dcm").read_bytes(), "in.zip": b"", "../up": b"", "secret": b"x"}
    encrypt(write_archive(tmp_path / "in" / "study.zip", files), "secret")
    large = write_large_listing(tmp_path / "in" / "large.zip")
    out = tmp_path / "out"
    predict(f"model={predicted / 'best.pt'}", f"input.dir={tmp_path / 'in'}", f"output.dir={out}", "predict.workers=1")
    before = set(out.rglob("*"))
    assert verify(out)[1]["images"] == "same"
    assert set(out.rglob("*")) == before
    add_text(out / "summary.json", '"memory_gib": 4.0', '"memory_gib": 0.001')
    large.touch()
    assert verify(out)[1]["images"] == "changed"  # the archive was listed with the recorded limits


def test_whatever_changed_after_a_prediction_is_named(predicted: Path, tmp_path: Path) -> None:
    root = shutil.copytree(predicted, tmp_path / "moved")
    moved = (root / "out", f"data={root / 'in'}", f"model={root / 'best.pt'}")
    with (root / "out" / "journal.jsonl").open("ab") as journal:
        journal.write(bytes(40) + b"\n")  # as a power failure leaves it
    code, said = verify(*moved[:2], "rerun=true")
    assert (code, said["rerun"]) == (0, "same: 6 files are equal, byte for byte")
    image = next((root / "out" / "png" / "lungs").iterdir())
    spoil(image)
    assert list_changes(verify(*moved)[1]) == {"results"}
    image.unlink()
    assert list_changes(verify(*moved)[1]) == {"results"}
    (root / "in" / "notes.txt").write_text("No image")
    change_weight(root / "best.pt")
    summary = root / "out" / "summary.json"
    summary.write_text(summary.read_text().replace('"threshold": 0.5', '"threshold": 0.4'))
    code, said = verify(*moved, "rerun=true")
    assert (code, list_changes(said)) == (1, {"configuration", "images", "weights", "results", "rerun"})
    assert "configuration, images, weights, results: not the same" in said["rerun"]


def test_a_receipt_names_no_file_and_no_patient(predicted: Path, trained: Trained) -> None:
    for folder in (predicted / "out", trained[1]):
        receipt = json.loads((folder / "summary.json").read_text())["receipt"]
        assert json.loads(json.dumps(Receipt.from_json(receipt).to_json())) == receipt
        assert str(folder.parent) not in json.dumps(receipt)
        assert "case0" not in json.dumps(receipt)
        digests = [value for value in receipt.values() if isinstance(value, str) and len(value) == 64]
        assert len(digests) == (4 if folder.parent == predicted else 5)  # one for all files, none of a single one


def test_an_evaluation_is_the_same_and_is_repeated(tmp_path: Path) -> None:
    data, model = write_png_folder(tmp_path / "data", 3), write_shapes_model(tmp_path / "best.pt")
    out = tmp_path / "out"
    settings = [f"model={model}", f"data.root={data}", f"output.dir={out}", "tracking.record=false"]
    evaluate_xray.run(build_config(evaluate_xray.EvaluateXrayConfig, [*settings, "predict.backend=torch"]))
    code, said = verify(out, "rerun=true")
    assert code == 0, said
    assert said["rerun"] == "same: the tables per_case.csv are equal, byte for byte"
    assert {"configuration", "data", "weights", "scores"} <= said.keys()
    packed = write_archive(tmp_path / "data.zip", list_files(data))
    code, said = verify(out, f"data={packed}", "rerun=true")
    assert (code, list_changes(said)) == (0, set())
    spoil(data / "masks" / "box" / "case01.png")
    assert list_changes(verify(out)[1]) == {"data"}
    add_text(out / "per_case.csv", "p001", "p002")
    assert list_changes(verify(out, f"model={tmp_path / 'gone.pt'}")[1]) == {"data", "weights", "scores"}


def test_a_folder_without_a_receipt_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has neither summary.json nor metrics.json"):
        main([str(tmp_path)])
    with pytest.raises(ConfigError, match=r"receipt: required, not given"):
        main([])
