"""The command as scripts use it: files, exit codes, messages, kill and resume."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shapes import draw_case, write_png_folder

ROOT = Path(__file__).parents[2]
TINY = (
    "model.width=4",
    "model.depth=2",
    "preprocess.size=[32,32]",
    "train.batch_size=4",
    "tracking.system_metrics=false",
    "seed=1",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One MLflow store for the module: a new one takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlruns') / 'mlflow.db'}"


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "pipelines.train_xray", *TINY, *map(str, arguments)]


def train(*arguments: object, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)


def stop_after(line_start: str, signum: signal.Signals, *arguments: object) -> int:
    """Send a signal to a training once it printed such a line; its exit code."""
    with subprocess.Popen(
        command(*arguments), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(line_start):
                break
        os.kill(process.pid, signum)
        process.communicate(timeout=60)
        return process.returncode


def run_of(store: str, run_id: str):  # type: ignore[no-untyped-def]
    from medseg.tracking.store import import_mlflow

    return import_mlflow().MlflowClient(store).get_run(run_id)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["weights"]


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, store: str
) -> tuple[Path, Path, subprocess.CompletedProcess[str]]:
    """Six epochs without a break: the data, the output folder and what was printed."""
    folder = tmp_path_factory.mktemp("trained")
    data = write_png_folder(folder / "data", 24)
    done = train(
        f"data.root={data}",
        f"output.dir={folder / 'out'}",
        "train.epochs=6",
        f"tracking.uri={store}",
        "output.masks=true",
        "tracking.register=discs",
    )
    assert done.returncode == 0, done.stderr
    return data, folder / "out", done


def test_writes_the_promised_files_and_lines(
    trained: tuple[Path, Path, subprocess.CompletedProcess[str]], store: str
) -> None:
    _, out, done = trained
    assert {"best.pt", "last.pt", "summary.json", "config.yaml"} <= {path.name for path in out.iterdir()}
    assert str(out / "best.pt") in done.stdout
    assert f"mlflow ui --backend-store-uri {store}" in done.stdout
    summary = json.loads((out / "summary.json").read_text())
    assert {"run_id", "seconds", "epochs", "images_per_second", "best_epoch", "validation", "test"} <= summary.keys()
    assert summary["epochs"] == 6
    names = {"dice", "iou", "miou", "dice_box", "dice_disc", "iou_box", "iou_disc"}
    assert summary["test"].keys() == summary["validation"].keys() == names


def test_learns_the_shapes(trained: tuple[Path, Path, subprocess.CompletedProcess[str]]) -> None:
    _, out, _ = trained
    card = torch.load(out / "last.pt", weights_only=True)
    losses = [epoch["train/loss"] for epoch in card["training"]["history"]]
    assert losses[-1] < 0.95 * losses[0]


def test_masks_have_the_size_of_the_original_and_two_levels(
    trained: tuple[Path, Path, subprocess.CompletedProcess[str]],
) -> None:
    _, out, _ = trained
    written = sorted((out / "masks" / "disc").iterdir())
    assert len(written) == json.loads((out / "summary.json").read_text())["cases"]["test"]
    for path in written:
        mask = np.asarray(Image.open(path))
        assert mask.shape == (48, 40)
        assert set(np.unique(mask)) <= {0, 255}


def test_summary_scores_are_those_of_the_written_masks(
    trained: tuple[Path, Path, subprocess.CompletedProcess[str]],
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
    trained: tuple[Path, Path, subprocess.CompletedProcess[str]],
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
    assert run.data.metrics["test/miou"] == pytest.approx(summary["test"]["miou"])
    assert run.data.params["model.width"] == "4"
    assert {i.tags[0].value for i in run.inputs.dataset_inputs} == {"training", "validation", "test"}
    mlflow.set_tracking_uri(store)
    loaded = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    images = np.random.default_rng(0).random((3, 1, 32, 32), np.float32)
    from medseg.model.checkpoint import load_model

    expected = load_model(out / "best.pt")[1](torch.from_numpy(images)).sigmoid().detach().numpy()
    np.testing.assert_allclose(loaded.predict(images), expected, atol=1e-5)
    assert client.get_registered_model("discs").name == "discs"


def test_written_configuration_reruns_to_the_same_weights(
    trained: tuple[Path, Path, subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    _, out, _ = trained
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.train_xray", str(out / "config.yaml"), f"output.dir={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = weights(out / "best.pt"), weights(tmp_path / "best.pt")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_killed_and_resumed_equals_unbroken_bit_for_bit(
    trained: tuple[Path, Path, subprocess.CompletedProcess[str]],
    tmp_path: Path,
    store: str,
) -> None:
    data, out, _ = trained
    arguments = (f"data.root={data}", f"output.dir={tmp_path}", "train.epochs=6", f"tracking.uri={store}")
    stop_after("epoch 3", signal.SIGKILL, *arguments, "train.save_seconds=0.001")
    killed = torch.load(tmp_path / "last.pt", weights_only=True)
    iteration, run_id = killed["training"]["iteration"], killed["card"]["run_id"]
    length = killed["training"]["epoch_length"]
    assert 0 < iteration < 6 * length
    assert run_of(store, run_id).info.status == "RUNNING"
    done = train(*arguments, "train.resume=true")
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(folder / "last.pt", weights_only=True) for folder in (out, tmp_path))
    assert all(torch.equal(first["weights"][name], second["weights"][name]) for name in first["weights"])
    states = [content["training"]["network"] for content in (first, second)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert [h["epoch"] for h in second["training"]["history"]] == [1, 2, 3, 4, 5, 6]
    best = [weights(folder / "best.pt") for folder in (out, tmp_path)]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])
    assert json.loads((tmp_path / "summary.json").read_text())["run_id"] == run_id
    assert run_of(store, run_id).info.status == "FINISHED"


def test_sigterm_saves_and_leaves_killed(
    trained: tuple[Path, Path, subprocess.CompletedProcess[str]],
    tmp_path: Path,
    store: str,
) -> None:
    data, _, _ = trained
    arguments = (f"data.root={data}", f"output.dir={tmp_path}", "train.epochs=4000", f"tracking.uri={store}")
    assert stop_after("epoch 2", signal.SIGTERM, *arguments) == 143
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    assert saved["training"]["iteration"] > 0
    assert run_of(store, saved["card"]["run_id"]).info.status == "KILLED"


def test_damaged_last_is_named_and_the_previous_used(
    trained: tuple[Path, Path, subprocess.CompletedProcess[str]],
    tmp_path: Path,
    store: str,
) -> None:
    data, _, _ = trained
    arguments = (f"data.root={data}", f"output.dir={tmp_path}", f"tracking.uri={store}", "train.save_seconds=0.001")
    assert train(*arguments, "train.epochs=2").returncode == 0
    damaged = bytearray((tmp_path / "last.pt").read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    (tmp_path / "last.pt").write_bytes(damaged)
    done = train(*arguments, "train.epochs=3", "train.resume=true")
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'last.pt'}: damaged" in done.stderr
    assert "last.previous.pt" in done.stderr
    (tmp_path / "last.pt").write_bytes(b"")
    (tmp_path / "last.previous.pt").write_bytes(b"")
    done = train(*arguments, "train.epochs=4", "train.resume=true")
    assert done.returncode == 2
    assert "last.pt" in done.stderr


def test_other_architecture_or_classes_are_refused_with_the_difference(
    trained: tuple[Path, Path, subprocess.CompletedProcess[str]],
    store: str,
) -> None:
    data, out, _ = trained
    arguments = (f"data.root={data}", f"train.resume={out / 'last.pt'}", f"tracking.uri={store}")
    done = train(*arguments, "model.width=8", "data.classes=[disc]", f"output.dir={out.parent / 'other'}")
    assert done.returncode == 2
    assert "model.width is 4 in the file, 8 now" in done.stderr
    assert "classes is ['box', 'disc'] in the file, ['disc'] now" in done.stderr


def test_fresh_start_sets_earlier_results_aside(
    trained: tuple[Path, Path, subprocess.CompletedProcess[str]],
    tmp_path: Path,
    store: str,
) -> None:
    data, _, _ = trained
    arguments = (f"data.root={data}", f"output.dir={tmp_path}", f"tracking.uri={store}", "train.epochs=1")
    assert train(*arguments).returncode == 0
    before = (tmp_path / "best.pt").read_bytes()
    assert train(*arguments, "seed=2").returncode == 0
    assert (tmp_path / "earlier" / "best.pt").read_bytes() == before
    assert (tmp_path / "best.pt").read_bytes() != before


def test_resume_without_a_checkpoint_is_no_silent_fresh_start(tmp_path: Path, png_folder: Path) -> None:
    done = train(f"data.root={png_folder}", f"output.dir={tmp_path / 'out'}", "train.resume=true")
    assert done.returncode == 2
    assert "last.pt: no such file" in done.stderr


def test_second_process_on_the_same_folder_is_refused(tmp_path: Path, png_folder: Path) -> None:
    from medseg.output.folder import claim_folder

    with claim_folder(tmp_path / "out"):
        done = train(f"data.root={png_folder}", f"output.dir={tmp_path / 'out'}")
    assert done.returncode == 2
    assert "another process writes into this folder" in done.stderr


def test_full_disk_while_saving_ends_with_the_file_named(tmp_path: Path, png_folder: Path, store: str) -> None:
    """A file size limit stands in for a full disk: the write fails in the same place, with EFBIG for ENOSPC."""
    done = subprocess.run(
        [
            "bash",
            "-c",
            "trap '' XFSZ; ulimit -f 4000; exec \"$@\"",
            "-",
            *command(
                f"data.root={png_folder}",
                f"output.dir={tmp_path / 'out'}",
                "train.epochs=1",
                "model.width=64",
                f"tracking.uri={store}",
            ),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "could not be written: File too large" in done.stderr
    assert not list((tmp_path / "out").glob("*.pt"))
    assert not list((tmp_path / "out").glob(".*.tmp"))


def test_dicom_and_nifti_train_to_the_same_weights_as_png(tmp_path: Path, png_folder: Path, store: str) -> None:
    """PatientID is the file's stem; MONOCHROME1 and 2, several transfer syntaxes, masks as NIfTI."""
    import nibabel
    from radiograph.coats import write_dicom

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
    size = 108 if recipe == "paper_2015" else 32
    data = ["phantom.num_cases=12", "phantom.size=64"] if recipe == "article_darken" else [f"data.root={png_folder}"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pipelines.train_xray", f"configs/{recipe}.yaml", "seed=1", "train.epochs=1"),
            *("model.width=2", f"preprocess.size=[{size},{size}]", f"output.dir={tmp_path / 'out'}"),
            *("tracking.system_metrics=false", f"tracking.uri={store}", *data),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "out" / "strips").glob("epoch-0001.png"))
    assert "miou" in json.loads((tmp_path / "out" / "summary.json").read_text())["test"]
    assert (tmp_path / "out" / "masks").exists() == (recipe == "article_xray")


BAD = {
    "an empty folder": (lambda root: [path.unlink() for path in root.rglob("*.png")], "no images"),
    "missing masks": (lambda root: [(root / f"masks/{c}/case03.png").unlink() for c in ("box", "disc")], "case03"),
    "one class missing": (lambda root: (root / "masks/box/case04.png").unlink(), "case04"),
    "a mask of another size": (lambda root: Image.new("L", (17, 40)).save(root / "masks/box/case05.png"), "case05.png"),
    "an unreadable image": (lambda root: (root / "images/case06.png").write_bytes(b"no picture"), "case06.png"),
    "a constant image": (lambda root: Image.new("L", (40, 48), 7).save(root / "images/case07.png"), "every pixel is 7"),
    "all masks empty": (lambda root: [Image.new("L", (40, 48)).save(p) for p in (root / "masks/box").iterdir()], "box"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_data_ends_with_2_and_names_the_culprit(fault: str, tmp_path: Path, png_folder: Path) -> None:
    spoil, named = BAD[fault]
    spoil(png_folder)
    done = train(f"data.root={png_folder}", f"output.dir={tmp_path / 'out'}")
    assert done.returncode == 2, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_nan_pixels_are_refused(tmp_path: Path, png_folder: Path) -> None:
    import nibabel

    picture = draw_case(8)[0].T.astype(np.float32)
    picture[3, 5] = np.nan
    (png_folder / "images/case08.png").unlink()
    nibabel.save(nibabel.Nifti1Image(picture, np.diag([-1, -1, 1, 1])), png_folder / "images/case08.nii.gz")
    done = train(f"data.root={png_folder}", f"output.dir={tmp_path / 'out'}")
    assert done.returncode == 2
    assert "case08.nii.gz" in done.stderr


def test_configuration_problems_come_all_at_once_with_exit_code_2(tmp_path: Path) -> None:
    done = train("no.such=1", "trian.epochs=2", "train.epochs=many", f"data.root={tmp_path / 'nowhere'}")
    assert done.returncode == 2
    assert "did you mean 'train.epochs'" in done.stderr
    assert "'many'" in done.stderr
    assert "nowhere" in done.stderr
    assert "no.such" in done.stderr


def test_bad_yaml_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("train:\n  epochs: [1\n")
    done = train(tmp_path / "bad.yaml")
    assert done.returncode == 2
    assert "bad.yaml" in done.stderr
    assert "line" in done.stderr


def test_help_lists_every_key_and_is_quick() -> None:
    start = time.monotonic()
    done = train("--help")
    assert done.returncode == 0
    assert "train.epochs (int > 0 | null" in done.stdout.replace("null | int > 0", "int > 0 | null")
    assert "data.missing (error | ignore, default error)" in done.stdout
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pipelines.train_xray", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stderr
    assert not {"torch", "monai", "mlflow", "pydicom"} & {
        line.rpartition("|")[2].strip() for line in loaded.splitlines()
    }
    assert time.monotonic() - start < 60
