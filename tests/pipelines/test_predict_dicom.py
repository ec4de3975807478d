"""The command as its users meet it: arguments, exit codes, the files it leaves."""

import csv
import hashlib
import json
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom import dcmread

from medseg.annotations import draw_masks, read_annotations
from medseg.data.config import PreprocessConfig
from medseg.model.checkpoint import Accepts, Range
from tests.support.dicom_files import phantom, write_dicom
from tests.support.model_files import write_model
from tests.support.prediction_command import MODULE, build_arguments, by_path, contents, predict, read_mask, rows
from tests.support.processes import run_fresh

pytestmark = pytest.mark.slow

COLUMNS = (
    "path,id,status,reason,warnings,model,kind,modality,body_part,view,sop_class,rows,columns,spacing_row_mm,"
    "spacing_column_mm,spacing_source,lossy,area_px_heart,area_px_lungs,area_mm2_heart,area_mm2_lungs,ctr,seconds"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    narrow = Range(area=(0.001, 0.002), row=(0, 1), column=(0, 1))
    return write_model(tmp_path_factory.mktemp("model") / "model.pt", ranges={"heart": narrow})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that are all taken, an object that is not, and a text; the same name in two folders."""
    root = tmp_path_factory.mktemp("input")
    (root / "a").mkdir()
    (root / "b").mkdir()
    write_dicom(root / "a" / "IMG0001", SOPInstanceUID="1.2.3.1", PatientOrientation=["L", "F"])
    write_dicom(root / "b" / "IMG0001", phantom()[:, ::-1].copy(), SOPInstanceUID="1.2.3.2", ViewPosition="AP")
    write_dicom(root / "b" / "again.dcm", SOPInstanceUID="1.2.3.3", ImagerPixelSpacing=None)
    write_dicom(root / "hand.dcm", BodyPartExamined="HAND", SOPInstanceUID="1.2.3.4")
    (root / "README.txt").write_text("no picture")
    return root


@pytest.fixture(scope="module")
def done(
    model: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    output = tmp_path_factory.mktemp("output")
    formats = "output.formats=[seg,png,nifti,overlay,labelme]"
    before = contents(folder)
    arguments = (f"model={model}", f"input.dir={folder}", f"output.dir={output}", formats)
    finished = run_fresh(MODULE, *build_arguments(*arguments))
    assert contents(folder) == before
    return output, finished


def test_all_done_or_skipped_ends_with_0_and_one_row_a_file(
    done: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    output, finished = done
    assert finished.returncode == 0, finished.stderr
    statuses = {row["path"]: row["status"] for row in rows(output)}
    assert statuses == {
        "README.txt": "skipped",
        "a/IMG0001": "done",
        "b/IMG0001": "done",
        "b/again.dcm": "done",
        "hand.dcm": "skipped",
    }
    assert "Research use only" in finished.stdout


def test_columns_and_their_json_twin(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    output, _ = done
    header = (output / "report.csv").read_text().splitlines()[0]
    assert header == COLUMNS
    lines = [json.loads(line) for line in (output / "report.jsonl").read_text().splitlines()]
    assert [line["path"] for line in lines] == [row["path"] for row in rows(output)]
    assert list(lines[0]) == COLUMNS.split(",")


def test_areas_are_those_of_the_masks(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    output, _ = done
    row, other = by_path(output)["a/IMG0001"], by_path(output)["b/again.dcm"]
    for name in ("heart", "lungs"):
        mask = read_mask(output, name, row)
        assert mask.shape == (96, 80)
        assert set(np.unique(mask)) == {0, 255}
        assert int(row[f"area_px_{name}"]) == (mask == 255).sum()
        assert float(row[f"area_mm2_{name}"]) == pytest.approx((mask == 255).sum() * 0.2 * 0.15)
        assert other[f"area_mm2_{name}"] == ""
    assert (row["spacing_source"], other["spacing_source"]) == ("detector", "none")


def test_warnings_tell_what_is_doubtful(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    output, _ = done
    first = by_path(output)["a/IMG0001"]
    assert "implausible_heart" in first["warnings"].split(";")
    assert f"duplicate of {first['id']}" in by_path(output)["b/again.dcm"]["warnings"].split(";")
    assert "duplicate" not in first["warnings"]


def test_all_formats_hold_the_same_masks(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    output, _ = done
    row = by_path(output)["b/IMG0001"]
    segmented = dcmread(output / "seg" / f"{row['id']}.dcm").pixel_array
    for index, name in enumerate(("heart", "lungs")):
        mask = read_mask(output, name, row) == 255
        image = nibabel.load(output / "nifti" / name / f"{row['id']}.nii.gz")
        assert np.array_equal(np.asarray(image.dataobj).T == 1, mask)
        assert np.allclose(image.affine, np.diag([-0.15, -0.2, 1, 1]))
        assert np.array_equal(segmented[index] == 1, mask)
    assert (output / "overlay" / f"{row['id']}.png").exists()
    (drawn,) = read_annotations(output / "labelme" / f"{row['id']}.json").images
    assert (drawn.name, drawn.made_by) == ("IMG0001", row["model"])
    for name, mask in draw_masks(drawn, segmented.shape[-2:]).items():
        assert np.array_equal(mask, read_mask(output, name, row) == 255)


def test_summary(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    summary = json.loads((done[0] / "summary.json").read_text())
    assert (summary["files"], summary["complete"]) == (5, True)
    assert summary["status"] == {"done": 3, "skipped": 2}
    assert summary["reasons"] == {"skipped: body-part": 1, "skipped: not-an-image": 1}
    assert summary["model"] == rows(done[0])[0]["model"]
    assert summary["versions"]["pydicom"]
    assert summary["seconds"] > 0
    shares = summary["shares"]
    assert shares.keys() == {"start", "predict", "waiting", "decode", "write"}
    assert min(shares.values()) >= 0
    assert shares["start"] > 0
    assert shares["start"] + shares["predict"] + shares["waiting"] <= 1.001


def test_paths_may_be_hashed_and_uids_added(model: Path, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    predict(f"model={model}", f"input.dir={folder}", f"output.dir={output}", "report.paths=hashed", "report.uids=true")
    found = by_path(output)
    row = found[hashlib.sha256(b"a/IMG0001").hexdigest()[:16]]
    assert row["sop_instance_uid"] == "1.2.3.1"
    assert row["study_instance_uid"] == "1.2.826.0.1.3680043.8.498.2"
    assert str(folder) not in (output / "summary.json").read_text()


def test_results_inside_the_input_are_not_input(model: Path, tmp_path: Path) -> None:
    write_dicom(tmp_path / "x.dcm")
    output = tmp_path / "results"
    for _ in range(2):
        predict(f"model={model}", f"input.dir={tmp_path}", f"output.dir={output}")
        assert [row["path"] for row in rows(output)] == ["x.dcm"]
    predict(f"model={model}", f"input.dir={tmp_path}", f"output.dir={tmp_path / 'others'}")
    assert [row["path"] for row in rows(tmp_path / "others")] == ["x.dcm"]


def test_what_is_accepted_may_be_overridden(model: Path, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    predict(f"model={model}", f"input.dir={folder}", f"output.dir={output}", "input.body_parts=[hand]")
    assert by_path(output)["hand.dcm"]["status"] == "done"
    assert by_path(output)["a/IMG0001"]["reason"] == "body-part: CHEST is not accepted (HAND)"


def test_an_ensemble_with_augmentation_and_cleaning(model: Path, folder: Path, tmp_path: Path) -> None:
    other = write_model(tmp_path / "other.pt", seed=4)
    settings = ("predict.tta=[mirror,gamma]", "predict.components={heart: 1, lungs: 2}", "predict.fill_holes=true")
    done = predict(f"model=[{model},{other}]", f"input.dir={folder}", f"output.dir={tmp_path / 'out'}", *settings)
    assert done.returncode == 0, done.stderr
    from scipy import ndimage

    for name, most in (("heart", 1), ("lungs", 2)):
        mask = read_mask(tmp_path / "out", name, by_path(tmp_path / "out")["a/IMG0001"]) == 255
        assert 1 <= ndimage.label(mask, np.ones((3, 3)))[1] <= most
        assert np.array_equal(ndimage.binary_fill_holes(mask), mask)


def test_the_articles_nearest_neighbor_way(folder: Path, tmp_path: Path) -> None:
    nearest = PreprocessConfig(size=(32, 32), fit="stretch", restore="nearest")
    path = write_model(tmp_path / "nearest.pt", preprocess=nearest, accepts=Accepts())
    predict(f"model={path}", f"input.dir={folder}", f"output.dir={tmp_path / 'out'}")
    mask = read_mask(tmp_path / "out", "heart", by_path(tmp_path / "out")["a/IMG0001"])
    assert np.array_equal(mask[::3], mask[1::3])  # 96 rows from 32: each thrice
    assert np.array_equal(mask[::3], mask[2::3])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("model={model}",), "input.dir: required"),
        (("model=nowhere.pt", "input.dir={folder}"), "nowhere.pt: no such file or folder"),
        (("model={model}", "input.dir={folder}/nowhere"), "no such file or folder"),
        (("model={model}", "input.dir={folder}/hand.dcm"), "is a file, but a folder, archive or manifest is needed"),
        (("model={model}", "input.dir={folder}", "output.dir={folder}"), "would mix with the images"),
        (("model={model}", "input.dir={folder}", "output.formats=[tiff]"), "output.formats"),
        (
            ("model={model}", "input.dir={folder}", "output.formats=[png,coco]", "report.paths=hashed"),
            "files of coco name their images",
        ),
        (("model={model}", "input.dir={folder}", "predict.components={hart: 1}"), "hart: not a class of the model"),
        (("model={folder}/README.txt", "input.dir={folder}"), "README.txt"),
        (("model=runs:/nowhere/model", "input.dir={folder}"), "runs:/nowhere/model"),
    ],
)
def test_what_cannot_start_ends_with_2(
    arguments: tuple[str, ...], named: str, model: Path, folder: Path, tmp_path: Path
) -> None:
    values = {"{model}": str(model), "{folder}": str(folder)}
    given = [f"output.dir={tmp_path / 'out'}", f"tracking.uri=sqlite:///{tmp_path / 'mlflow.db'}", *arguments]
    for name, value in values.items():
        given = [argument.replace(name, value) for argument in given]
    done = predict(*given)
    assert done.returncode == 2, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_the_model_of_a_run_is_the_model_file(
    trained: tuple[Path, Path, subprocess.CompletedProcess[str]], store: str, tmp_path: Path
) -> None:
    data, out, _ = trained
    run_id = json.loads((out / "summary.json").read_text())["run_id"]
    found = []
    for address in (out / "best.pt", out, f"runs:/{run_id}/model", "models:/discs/1"):
        predict(
            f"model={address}", f"input.dir={data / 'images'}", f"output.dir={tmp_path / 'o'}", f"tracking.uri={store}"
        )
        summary = json.loads((tmp_path / "o" / "summary.json").read_text())
        found.append((summary["model"], summary["predicted"]))
    assert len(set(found)) == 1
    assert found[0][1] == 24  # the first run's: the others found all done


def test_settings_may_stand_in_a_file(model: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(
        f"model: {model}\ninput:\n  dir: {folder}\noutput:\n  dir: {tmp_path / 'out'}\n  formats: [nifti]\n"
    )
    assert predict(tmp_path / "job.yaml").returncode == 0
    assert len(list((tmp_path / "out" / "nifti" / "heart").iterdir())) == 3
    with (tmp_path / "out" / "report.csv").open() as file:
        assert len(list(csv.reader(file))) == 6
