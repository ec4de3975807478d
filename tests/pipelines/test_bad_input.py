"""What ends the command, with which exit code and message."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.processes import ROOT
from tests.support.shape_images import draw_case
from tests.support.training_command import TINY, train

pytestmark = pytest.mark.slow

Trained = tuple[Path, Path, subprocess.CompletedProcess[str]]


def test_second_process_on_the_same_folder_is_refused(tmp_path: Path, png_folder: Path) -> None:
    from medseg.output.folder import claim_folder

    with claim_folder(tmp_path / "out"):
        done = train(f"data.root={png_folder}", f"output.dir={tmp_path / 'out'}")
    assert done.returncode == 2
    assert "another process is writing into this folder" in done.stderr


def test_full_disk_while_saving_ends_with_the_file_named(tmp_path: Path, png_folder: Path, store: str) -> None:
    """A file size limit stands in for a full disk: the write fails in the same place, with EFBIG for ENOSPC."""
    done = subprocess.run(
        [
            "bash",
            "-c",
            "trap '' XFSZ; ulimit -f 4000; exec \"$@\"",
            "-",
            *(sys.executable, "-m", "pipelines.train_xray", *TINY),
            f"data.root={png_folder}",
            f"output.dir={tmp_path / 'out'}",
            "train.epochs=1",
            "model.width=64",
            f"tracking.uri={store}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "could not be written: File too large" in done.stderr
    assert not list((tmp_path / "out").glob("*.pt"))
    assert not list((tmp_path / "out").glob(".*.tmp"))


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


def test_loss_that_is_no_number_ends_with_1_and_a_failed_run(tmp_path: Path, png_folder: Path, store: str) -> None:
    from medseg.tracking.store import import_mlflow

    done = train(
        f"data.root={png_folder}",
        f"output.dir={tmp_path / 'out'}",
        "optim.learning_rate=1e30",
        "optim.warmup=0",
        "optim.gradient_clip=0",
        "optim.name=sgd",
        "train.precision=fp32",
        f"tracking.uri={store}",
        "tracking.run_name=diverged",
    )
    assert done.returncode == 1, done.stderr
    assert "the loss is" in done.stderr
    assert "case" in done.stderr
    client = import_mlflow().MlflowClient(store)
    runs = client.search_runs([client.get_experiment_by_name("medseg").experiment_id])
    assert [run.info.status for run in runs if run.info.run_name == "diverged"] == ["FAILED"]


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ("preprocess.size=[16,16]", "model.depth=4 needs images of at least 17 x 17 pixels"),
        pytest.param(
            "train.device=cuda",
            "no CUDA device",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU"),
        ),
    ],
)
def test_what_cannot_train_is_refused_before_data_are_read(argument: str, named: str, tmp_path: Path) -> None:
    done = train("model.depth=4", argument, f"output.dir={tmp_path / 'out'}")
    assert done.returncode == 2
    assert named in done.stderr
    assert not (tmp_path / "out").exists()
