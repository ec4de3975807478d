"""Studies in zip and tar archives: the masks of their images are those of the same images in a folder."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.archives import encrypt, set_in_headers, write_archive
from tests.support.dicom_files import phantom, write_dicom
from tests.support.model_files import write_model
from tests.support.patient_text import MARK
from tests.support.prediction_command import by_path, contents, predict

pytestmark = pytest.mark.slow

PNG = "output.formats=[png]"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "model.pt")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Two images, one without an extension, and a DICOMDIR."""
    folder = tmp_path_factory.mktemp("study")
    for index in (1, 2):
        write_dicom(folder / f"{index}.dcm", np.roll(phantom(), index, axis=1), SOPInstanceUID=f"1.2.3.{index}")
    images = [(folder / f"{index}.dcm").read_bytes() for index in (1, 2)]
    return {"DICOM/IM1": images[0], "two.dcm": images[1], "DICOMDIR": b"no image"}


def masks(output: Path) -> dict[str, bytes]:
    return contents(output / "png")


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_masks_of_an_archive_are_those_of_the_folder(
    model: Path, study: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    for path, content in study.items():
        (tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / path).write_bytes(content)
    archive = write_archive(tmp_path / name, study)
    for place, output in ((tmp_path / "in", "plain"), (archive, "packed")):
        done = predict(f"model={model}", f"input.dir={place}", f"output.dir={tmp_path / output}", PNG)
        assert done.returncode == 0, done.stderr
    assert len(masks(tmp_path / "packed")) == 4
    assert masks(tmp_path / "packed") == masks(tmp_path / "plain")
    plain, packed = by_path(tmp_path / "plain"), by_path(tmp_path / "packed")
    assert packed.keys() == study.keys()
    assert all(packed[path]["id"] == plain[path]["id"] for path in study)


def test_bad_archives_cost_one_row_each_and_a_second_run_does_nothing(
    model: Path, study: dict[str, bytes], tmp_path: Path
) -> None:
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    write_archive(folder / "good.tar.gz", study)
    mixed = write_archive(folder / "mixed.zip", {"bad.dcm": bytes(9), **study, "inner.zip": b"", f"../{MARK}": b""})
    set_in_headers(mixed, "bad.dcm", local=None, central=16, value=1, width=4)
    encrypt(write_archive(folder / "secret.zip", study), *study)
    (folder / "cut.zip").write_bytes(write_archive(folder / "cut.zip", study).read_bytes()[:-30])
    arguments = (f"model={model}", f"input.dir={folder}", f"output.dir={output}", PNG)
    done = predict(*arguments)
    assert done.returncode == 1, done.stderr
    found = {path: f"{row['status']}: {row['reason'].partition('. ')[0]}" for path, row in by_path(output).items()}
    damaged = "rejected: archive: is damaged or incomplete"
    for name in ("good.tar.gz", "mixed.zip"):
        assert found.pop(f"{name}/DICOM/IM1") == found.pop(f"{name}/two.dcm") == "done: "
        assert found.pop(f"{name}/DICOMDIR").startswith("skipped: not-an-image")
    assert found == {
        "cut.zip": damaged,
        "mixed.zip/bad.dcm": damaged,
        "mixed.zip/inner.zip": "rejected: archive: is an archive inside an archive",
        f"mixed.zip/../{MARK}": "rejected: archive: has a name that leads out of the archive",
        "secret.zip": "rejected: archive: is encrypted",
    }
    assert MARK not in "".join(row["reason"] + row["warnings"] for row in by_path(output).values())
    before = contents(output)
    again = predict(*arguments)
    assert "0 predicted now" in again.stdout
    assert contents(output) == before


def test_only_new_files_of_a_changed_archive_are_predicted(
    model: Path, study: dict[str, bytes], tmp_path: Path
) -> None:
    arguments = (f"model={model}", f"input.dir={tmp_path / 'a.zip'}", f"output.dir={tmp_path / 'out'}", PNG)
    write_archive(tmp_path / "a.zip", {"two.dcm": study["two.dcm"]})
    assert "1 predicted now" in predict(*arguments).stdout
    write_archive(tmp_path / "a.zip", study)
    assert "2 done, 1 skipped, 0 rejected; 1 predicted now" in predict(*arguments).stdout


def test_hashed_paths_hide_the_names_in_archives(model: Path, study: dict[str, bytes], tmp_path: Path) -> None:
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    bad = {f"../{MARK}": b"", f"{MARK}.dcm": b"", f"{MARK}/{MARK}.zip": b""}
    write_archive(folder / f"{MARK}.zip", {**bad, f"{MARK}/two.dcm": study["two.dcm"]})
    (folder / f"{MARK}.tar").write_bytes(b"PK\x03\x04")
    done = predict(f"model={model}", f"input.dir={folder}", f"output.dir={output}", PNG, "report.paths=hashed")
    assert done.returncode == 1
    written = contents(output)
    assert not any(MARK.encode() in name.encode() + content for name, content in written.items())
    assert MARK not in done.stdout + done.stderr
