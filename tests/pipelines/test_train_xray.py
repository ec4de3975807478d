"""The command as scripts use it: files, lines, what stands in MLflow, equal results from equal data."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.processes import ROOT, run_forked
from tests.support.training_command import train, weights

pytestmark = pytest.mark.slow

Trained = tuple[Path, Path, subprocess.CompletedProcess[str]]


def test_writes_the_promised_files_and_lines(trained: Trained, store: str) -> None:
    _, out, done = trained
    assert {"best.pt", "last.pt", "summary.json", "config.yaml"} <= {path.name for path in out.iterdir()}
    assert str(out / "best.pt") in done.stdout
    assert f"mlflow ui --backend-store-uri {store}" in done.stdout
    summary = json.loads((out / "summary.json").read_text())
    assert {"run_id", "seconds", "epochs", "images_per_second", "best_epoch", "validation", "test"} <= summary.keys()
    assert summary["epochs"] == 6
    names = {"dice", "iou", "miou", "dice_box", "dice_disc", "iou_box", "iou_disc"}
    assert summary["test"].keys() == summary["validation"].keys() == names
    assert summary["cases"] == {"train": 17, "validation": 3, "test": 4}
    assert torch.load(out / "last.pt", weights_only=True)["card"]["split"] == "blocks"


def test_learns_the_shapes(trained: Trained) -> None:
    _, out, _ = trained
    card = torch.load(out / "last.pt", weights_only=True)
    losses = [epoch["train/loss"] for epoch in card["training"]["history"]]
    assert losses[-1] < 0.95 * losses[0]


def test_masks_have_the_size_of_the_original_and_two_levels(
    trained: Trained,
) -> None:
    _, out, _ = trained
    written = sorted((out / "masks" / "disc").iterdir())
    assert len(written) == json.loads((out / "summary.json").read_text())["cases"]["test"]
    for path in written:
        mask = np.asarray(Image.open(path))
        assert mask.shape == (48, 40)
        assert set(np.unique(mask)) <= {0, 255}


def test_summary_scores_are_those_of_the_written_masks(
    trained: Trained,
) -> None:
    from sklearn.metrics import f1_score

    data, out, _ = trained
    scores = [
        f1_score(
            np.asarray(Image.open(data / "masks" / "disc" / path.name)).ravel() > 0,
            np.asarray(Image.open(path)).ravel() > 0,
        )
        for path in sorted((out / "masks" / "disc").iterdir())
    ]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["test"]["dice_disc"] == pytest.approx(np.mean(scores), abs=1e-6)


def test_run_is_finished_with_metrics_inputs_and_model(
    trained: Trained,
    store: str,
) -> None:
    from medseg.tracking.store import import_mlflow

    _, out, _ = trained
    summary = json.loads((out / "summary.json").read_text())
    mlflow = import_mlflow()
    client = mlflow.MlflowClient(store)
    run = client.get_run(summary["run_id"])
    assert run.info.status == "FINISHED"
    for name in (
        "train/loss",
        "learning_rate",
        "images_per_second",
        "val/dice",
        "val/miou",
        "val/dice_box",
        "val/iou_disc",
    ):
        assert [m.step for m in client.get_metric_history(run.info.run_id, name)] == [1, 2, 3, 4, 5, 6], name
    for name in ("validation/dice", "test/dice", "test/iou_disc"):  # of which the UI draws a bar
        assert [m.step for m in client.get_metric_history(run.info.run_id, name)] == [0], name
    assert run.data.metrics["test/miou"] == pytest.approx(summary["test"]["miou"])
    assert run.data.params["model.width"] == "4"
    assert {i.tags[0].value for i in run.inputs.dataset_inputs} == {"training", "validation", "test"}
    mlflow.set_tracking_uri(store)
    loaded = mlflow.pytorch.load_model(f"runs:/{run.info.run_id}/model")
    images = torch.from_numpy(np.random.default_rng(0).random((3, 1, 32, 32), np.float32))
    from medseg.model.checkpoint import load_model

    expected = load_model(out / "best.pt")[1](images).sigmoid().detach().numpy()
    np.testing.assert_allclose(loaded(images).detach().numpy(), expected, atol=1e-5)
    assert client.get_registered_model("discs").name == "discs"


def test_the_model_card_is_beside_the_model_and_in_the_run(trained: Trained, store: str) -> None:
    from medseg.tracking.store import import_mlflow

    data, out, _ = trained
    summary, text = json.loads((out / "summary.json").read_text()), (out / "card.md").read_text()
    assert f"- Model: `{hashlib.sha256((out / 'best.pt').read_bytes()).hexdigest()[:16]}` " in text
    assert "24 cases of 24 patients" in text
    assert "48 rows, 40 columns" in text
    low, high = summary["test_ci95"]["dice_disc"]
    assert f"{summary['test']['dice_disc']:.4f} [{low:.4f}, {high:.4f}]" in text
    assert low <= summary["test"]["dice_disc"] <= high
    assert not any(name in text for name in (str(data.parent), "case0", ".png"))
    client = import_mlflow().MlflowClient(store)
    assert "card.md" in [file.path for file in client.list_artifacts(summary["run_id"])]


def test_written_configuration_reruns_to_the_same_weights(
    trained: Trained,
    tmp_path: Path,
) -> None:
    _, out, _ = trained
    done = run_forked("pipelines.train_xray", out / "config.yaml", f"output.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    first, second = weights(out / "best.pt"), weights(tmp_path / "best.pt")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_dicom_and_nifti_train_to_the_same_weights_as_png(tmp_path: Path, png_folder: Path, store: str) -> None:
    """PatientID is the file's stem; MONOCHROME1 and 2, several transfer syntaxes, masks as NIfTI."""
    import nibabel

    from tests.support.dicom_files import write_dicom

    other = tmp_path / "dicom"
    for folder in ("images", "masks/box", "masks/disc"):
        (other / folder).mkdir(parents=True)
    for index, path in enumerate(sorted((png_folder / "images").iterdir())):
        pixels = np.asarray(Image.open(path))
        tags = {"PatientID": path.stem, "SOPInstanceUID": f"1.2.3.{index}"}
        if index % 2:
            tags["PhotometricInterpretation"] = "MONOCHROME1"
            pixels = 255 - pixels
        write_dicom(other / "images" / f"{path.stem}.dcm", pixels, **tags)
    for path in (png_folder / "masks").rglob("*.png"):
        mask = (np.asarray(Image.open(path)) > 0).astype(np.uint8)
        nibabel.save(
            nibabel.Nifti1Image(mask.T, np.diag([-1, -1, 1, 1])),
            other / path.relative_to(png_folder).with_suffix(".nii.gz"),
        )
    for root, out in ((png_folder, "a"), (other, "b")):
        done = train(f"data.root={root}", f"output.dir={tmp_path / out}", "train.epochs=3", f"tracking.uri={store}")
        assert done.returncode == 0, done.stderr
    first, second = (weights(tmp_path / out / "best.pt") for out in "ab")
    assert all(torch.equal(first[name], second[name]) for name in first)
    cards = [torch.load(tmp_path / out / "best.pt", weights_only=True)["card"] for out in "ab"]
    assert cards[0]["train_digests"] == cards[1]["train_digests"]
    assert (cards[0]["accepts"]["modalities"], cards[1]["accepts"]["modalities"]) == (["CR", "DX"], ["DX"])


@pytest.mark.parametrize("recipe", ["article_xray", "article_darken", "paper_2015", "chest_xray"])
def test_recipe_trains_in_small(recipe: str, tmp_path: Path, png_folder: Path, store: str) -> None:
    size = 108 if recipe == "paper_2015" else 64  # at 32 the article's diverges: a batch norm of four values
    data = ["phantom.num_cases=12", "phantom.size=64"] if recipe == "article_darken" else [f"data.root={png_folder}"]
    done = run_forked(
        *("pipelines.train_xray", f"configs/{recipe}.yaml", "seed=1", "train.epochs=1"),
        # of two channels dropout often leaves none, on which the gradient of a deep stack of normalizations overflows
        *("model.width=8", f"preprocess.size=[{size},{size}]", f"output.dir={tmp_path / 'out'}"),
        *("tracking.system_metrics=false", f"tracking.uri={store}", *data),
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "out" / "strips").glob("epoch-0001.png"))
    assert "miou" in json.loads((tmp_path / "out" / "summary.json").read_text())["test"]
    assert (tmp_path / "out" / "masks").exists() == (recipe == "article_xray")


def test_help_lists_every_key_and_is_quick() -> None:
    done = train("--help")
    assert done.returncode == 0
    assert "train.epochs (int > 0 | null" in done.stdout.replace("null | int > 0", "int > 0 | null")
    assert "data.missing (error | ignore, default error)" in done.stdout
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pipelines.train_xray", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    ).stderr
    assert not {"torch", "monai", "mlflow", "pydicom"} & {
        line.rpartition("|")[2].strip() for line in loaded.splitlines()
    }


def test_minutes_are_kept_and_the_last_weights_validated(tmp_path: Path, png_folder: Path, store: str) -> None:
    done = train(
        f"data.root={png_folder}",
        f"output.dir={tmp_path}",
        "train.minutes=0.05",
        "train.validate_every=1000",
        f"tracking.uri={store}",
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    history = torch.load(tmp_path / "last.pt", weights_only=True)["training"]["history"]
    assert [record["epoch"] for record in history if "val/dice" in record] == [summary["epochs"]]
    assert summary["seconds"] >= 1.5  # it did not stop at once; how long a step takes is the machine's business


def test_early_stopping_ends_when_nothing_improves(tmp_path: Path, png_folder: Path, store: str) -> None:
    arguments = (
        f"data.root={png_folder}",
        f"output.dir={tmp_path}",
        "train.epochs=50",
        "train.early_stopping=2",
        "optim.learning_rate=1e-12",
        "optim.ema_decay=0",
        f"tracking.uri={store}",
    )
    done = train(*arguments)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["epochs"] < 50
    assert summary["epochs"] - summary["best_epoch"] == 2
    (tmp_path / "summary.json").unlink()  # as after a kill while the test cases are scored
    assert train(*arguments, "train.resume=true").returncode == 0
    again = json.loads((tmp_path / "summary.json").read_text())
    assert [again[key] for key in ("epochs", "best_epoch", "test")] == [
        summary[key] for key in ("epochs", "best_epoch", "test")
    ]
