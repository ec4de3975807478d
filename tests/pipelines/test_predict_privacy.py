"""Patients whose every attribute is known go in; nothing that tells who they are comes out but in the DICOM SEG."""

import subprocess
from pathlib import Path
from typing import NamedTuple

import pydicom
import pytest

from tests.support.dicom_files import phantom
from tests.support.image_formats import KINDS
from tests.support.model_files import write_model
from tests.support.patient_files import named_jpeg, named_nifti, named_png, write_patient_files
from tests.support.patient_text import MARK, find_patient_text, patient
from tests.support.prediction_command import by_path, predict, rows

pytestmark = pytest.mark.slow

TAKEN_OVER = {
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
    *("ReferencedSOPInstanceUID", "SeriesInstanceUID"),  # the source's, among the references
}


class Run(NamedTuple):
    out: Path
    done: subprocess.CompletedProcess[str]
    temporary: Path
    counts: dict[str, int]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "model.pt")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Run:
    """Good files, broken ones and skipped ones, everything written that can be written."""
    folder = tmp_path_factory.mktemp("patients")
    out, temporary = folder / "out", folder / "temporary"
    temporary.mkdir()
    counts = write_patient_files(folder / "in")
    done = predict(
        f"model={model}",
        f"input.dir={folder / 'in'}",
        f"output.dir={out}",
        "output.formats=[seg,png,nifti,overlay]",
        KINDS,
        environment={"TMPDIR": str(temporary)},
    )
    assert done.returncode == 1, done.stderr
    return Run(out, done, temporary, counts)


def find_leaks(out: Path, done: subprocess.CompletedProcess[str]) -> dict[str, list[str]]:
    """What was found, by the file it stands in; in file names too."""
    written = {str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file()}
    texts = {name: path.read_bytes() for name, path in written.items() if not name.startswith("seg/")}
    texts |= {"stdout": done.stdout.encode(), "stderr": done.stderr.encode(), "names": "\n".join(written).encode()}
    return {name: found for name, data in texts.items() if (found := find_patient_text(data))}


def test_files_of_every_kind_and_fate_were_met(run: Run) -> None:
    found = by_path(run.out)
    assert len(found) == len(rows(run.out)) == sum(run.counts.values())
    assert {row["status"] for path, row in found.items() if path.startswith("good/")} == {"done"}
    for group in ("bad", "odd", "plain"):
        fates = {row["status"] for path, row in found.items() if path.startswith(f"{group}/")}
        assert fates == {"done", "skipped", "rejected"}, group
    reasons = {row["reason"].partition(":")[0] for row in found.values()}
    assert {"", "damaged", "no-pixels", "frames", "object", "intent", "body-part", "color", "content"} <= reasons
    for name in ("seg", "png", "nifti", "overlay"):
        assert any(path.is_file() for path in (run.out / name).rglob("*"))


def test_nothing_tells_who_the_patients_are(run: Run) -> None:
    assert {"report.csv", "report.jsonl", "summary.json", "journal.jsonl"} <= {path.name for path in run.out.iterdir()}
    assert find_leaks(run.out, run.done) == {}


def test_segmentations_hold_what_the_standard_demands_and_nothing_more(run: Run) -> None:
    held: dict[str, int] = {}
    paths = list((run.out / "seg").iterdir())
    for path in paths:
        data = path.read_bytes()
        dataset = pydicom.dcmread(path)
        assert find_patient_text(data[:128]) == []
        for element in [*dataset.file_meta, *dataset.iterall()]:
            if element.VR != "SQ" and element.keyword != "PixelData":
                value = element.value if isinstance(element.value, bytes) else str(element.value).encode()
                if find_patient_text(value):
                    held[element.keyword] = held.get(element.keyword, 0) + 1
        assert find_patient_text(dataset.SOPInstanceUID.encode() + dataset.SeriesInstanceUID.encode()) == []
    assert len(paths) > 30
    assert set(held) == TAKEN_OVER - {"PatientSex"}  # which has codes only, and a mark is none
    assert held["PatientID"] == held["StudyInstanceUID"] == len(paths)


def test_no_temporary_file_is_left(run: Run) -> None:
    assert list(run.temporary.iterdir()) == []
    assert {path.name for path in run.out.iterdir()} == {
        *("report.csv", "report.jsonl", "summary.json", "journal.jsonl", ".lock"),
        *("seg", "png", "nifti", "overlay"),
    }
    assert [path for path in run.out.rglob("*") if path.name.startswith(".") and path.name != ".lock"] == []


def test_names_of_files_and_folders_can_be_kept_out(tmp_path: Path, model: Path) -> None:
    """With `report.paths=hashed`."""
    folder = tmp_path / f"{MARK}0000D120 1861-02-03"
    inner = folder / f"{MARK}0000D121^Mñz"
    inner.mkdir(parents=True)
    eight = (phantom() >> 4).astype("uint8")
    for name, data in {
        "good.dcm": patient(),
        "cut.dcm": patient()[:4000],
        "good.png": named_png(phantom()),
        "good.jpg": named_jpeg(eight),
        "good.nii": named_nifti(),
        "broken.nii.gz": b"\x1f\x8b" + bytes(99),
        "note.txt": b"nothing",
    }.items():
        (inner / f"{MARK}0000F11E Mñz {name}").write_bytes(data)
    (folder / f"{MARK}0000F11F.dcm").symlink_to(folder / f"{MARK}0000F120.dcm")
    out = tmp_path / "out"
    done = predict(
        f"model={model}",
        f"input.dir={folder}",
        f"output.dir={out}",
        "output.formats=[seg,png,nifti,overlay]",
        "report.paths=hashed",
    )
    assert done.returncode == 1, done.stderr
    assert {row["status"] for row in rows(out)} == {"done", "skipped", "rejected"}
    assert len(by_path(out)) == 8
    assert done.stderr.count("rejected ") >= 3
    assert find_leaks(out, done) == {}
