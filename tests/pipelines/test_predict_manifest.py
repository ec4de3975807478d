"""Prediction of a manifest: files and objects in, objects out, on one machine."""

from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from tests.support.dicom_files import phantom, write_dicom
from tests.support.model_files import write_model
from tests.support.object_stores import open_store, s3_server
from tests.support.prediction_command import by_path, predict, rows
from tests.support.processes import run_forked

pytestmark = pytest.mark.slow

EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}


@pytest.fixture(scope="module")
def store() -> Iterator[Mapping[str, str]]:
    with s3_server("archive") as environment:
        yield {**environment, **EPOCH}


@pytest.fixture(scope="module")
def shared(store: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The settings of model and manifest: a file, an object, the same object again, and one that does not exist."""
    root = tmp_path_factory.mktemp("manifest")
    for index, name in enumerate(("file.dcm", "object.dcm")):
        write_dicom(root / name, np.roll(phantom(), 9 * index, axis=1), SOPInstanceUID=f"1.2.3.{index + 1}")
    open_store().put_file(root / "object.dcm", "archive/in/object.dcm")
    url = "s3://archive/in/object.dcm"
    (root / "list.csv").write_text(f"path\nfile.dcm\n{url}\n{url}\ns3://archive/in/none.dcm\n")
    return f"model={write_model(root / 'model.pt')}", f"input.dir={root / 'list.csv'}"


def list_objects() -> dict[str, bytes]:
    system = open_store()
    return {path: system.cat_file(path) for path in system.find("archive/out")}


def test_objects_are_read_written_and_made_again(shared, store, tmp_path):
    run = *shared, f"output.dir={tmp_path}", "folder.results=s3://archive/out"
    first = predict(*run, environment=store)
    assert first.returncode == 1, first.stderr
    assert [row["status"] for row in rows(tmp_path)] == ["done", "done", "skipped", "rejected"]
    found = by_path(tmp_path)
    assert found["s3://archive/in/none.dcm"]["reason"] == "unreadable: No such file or directory"
    ids = {row["id"] for row in rows(tmp_path) if row["status"] == "done"}
    made = list_objects()
    kinds = {f"archive/out/png/{name}/{id}.png" for name in ("heart", "lungs") for id in ids}
    assert made.keys() == kinds | {f"archive/out/seg/{id}.dcm" for id in ids}
    assert not list(tmp_path.glob("png/**/*.png"))
    assert "0 predicted now" in predict(*run, environment=store).stdout
    open_store().rm_file(min(made))
    assert "1 predicted now" in predict(*run, environment=store).stdout
    assert list_objects() == made
    verified = run_forked("pipelines.verify", str(tmp_path), environment=store)
    assert {"images same", "results same"} <= {" ".join(line.split()) for line in verified.stdout.splitlines()}


def test_a_missing_bucket_ends_the_run_with_its_name(shared, store, tmp_path):
    done = predict(*shared, f"output.dir={tmp_path}", "folder.results=s3://nobody/out", environment=store)
    assert done.returncode == 1
    assert "error: s3://nobody/out/" in done.stderr
    assert "could not be written: no such bucket" in done.stderr


def test_a_manifest_without_the_column_is_an_error_of_configuration(shared, store, tmp_path):
    (tmp_path / "list.csv").write_text("image\na.png\n")
    done = predict(shared[0], f"input.dir={tmp_path / 'list.csv'}", f"output.dir={tmp_path / 'out'}")
    assert done.returncode == 2
    assert "has no column path, only image" in done.stderr


def test_credentials_in_the_place_of_results_are_refused(shared, tmp_path):
    done = predict(*shared, f"output.dir={tmp_path}", "folder.results=s3://user:hunter2@archive/out")
    assert done.returncode == 2
    assert "s3://archive/out: has credentials" in done.stderr
    assert "hunter2" not in done.stderr
