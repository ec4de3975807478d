"""The malformed files through the command: every file has its row, and nothing falls over."""

import csv
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from medseg.data.frame import whole
from medseg.data.preprocess import build_input, restore
from medseg.model.checkpoint import load_model
from medseg.radiograph.dicom import description, read
from tests.support.dicom_bytes import PICTURE
from tests.support.dicom_files import phantom
from tests.support.malformed_colors import PALETTE
from tests.support.malformed_folder import GOOD, HUGE, Expected, write_malformed_folder
from tests.support.malformed_headers import SEQUENCES
from tests.support.model_files import CLASSES, write_model
from tests.support.processes import ROOT

pytestmark = pytest.mark.slow

LIMIT_SECONDS = 240
LIMIT_BYTES = 3e9
MEMORY_GIB = 0.6


@dataclass
class Run:
    code: int
    stdout: bytes
    stderr: bytes
    seconds: float
    parent_bytes: int
    """The most memory that the command itself held."""
    child_bytes: int
    """The most that one of its workers held."""


@dataclass
class Predicted:
    model: Path
    expected: Expected
    folder: Path
    out: Path
    before: bytes
    run: Run


def predict(model: Path, folder: Path, out: Path) -> Run:
    command = [sys.executable, "-m", "pipelines.predict_dicom", f"model={model}", f"input.dir={folder}"]
    command += [f"output.dir={out}", "output.formats=[png,seg,overlay]", "predict.precision=fp32"]
    command += ["input.timeout_seconds=20", f"input.memory_gib={MEMORY_GIB}"]
    command += ["input.kinds=[dicom,nifti,png,jpeg,tiff,gif,bmp,mha,nrrd,numpy]"]
    started = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        peaks = [0, 0]
        watching = threading.Thread(target=watch_memory, args=(psutil.Process(process.pid), peaks))
        watching.start()
        try:
            stdout, stderr = process.communicate(timeout=LIMIT_SECONDS)
        finally:
            process.kill()
            watching.join()
    return Run(process.returncode, stdout, stderr, time.monotonic() - started, peaks[0], peaks[1])


def watch_memory(parent: psutil.Process, peaks: list[int]) -> None:
    """Keep the most memory of a process, and of one of its descendants, until it ends."""
    while parent.is_running():
        try:
            if parent.status() == psutil.STATUS_ZOMBIE:
                return
            peaks[0] = max(peaks[0], parent.memory_info().rss)
            peaks[1] = max([peaks[1], *(child.memory_info().rss for child in parent.children(recursive=True))])
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.05)


def describe_tree(folder: Path) -> bytes:
    """Kind, rights, number, size and times of all that lies in a folder, however deep.

    Among these is the time of the last change, which nobody can set back.
    """
    command = ["find", folder, "-printf", r"%p %y %m %i %s %T@ %C@\0"]  # which fails at a locked folder
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout


def read_tree(folder: Path) -> dict[Path, bytes]:
    """All files of a folder but the lock."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predicted]:
    place = tmp_path_factory.mktemp("malformed")
    folder = place / "in"
    folder.mkdir()
    try:
        expected = write_malformed_folder(folder)
        model = write_model(place / "model.pt")
        before = describe_tree(folder)
        yield Predicted(model, expected, folder, place / "out", before, predict(model, folder, place / "out"))
    finally:
        subprocess.run(["chmod", "-R", "u+rwX", folder], check=True)
        subprocess.run(["rm", "-r", folder], check=True)  # deeper than Python's own way of removing reaches


def read_rows(out: Path) -> dict[bytes, dict[str, str]]:
    """The rows of the report by path, of which none comes twice."""
    with (out / "report.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = {unquote_to_bytes(row["path"]): row for row in rows}
    assert len(found) == len(rows)
    return found


def read_masks(out: Path, row: dict[str, str]) -> np.ndarray:
    return np.stack([np.asarray(Image.open(out / "png" / name / f"{row['id']}.png")) > 0 for name in CLASSES])


def dice(left: np.ndarray, right: np.ndarray) -> float:
    return float(2 * (left & right).sum() / (left.sum() + right.sum()))


def test_the_folder_leaves_out_nothing_that_the_reader_looks_at() -> None:
    assert {*read._KEYWORDS, *description._KEYWORDS} <= {*PICTURE, *SEQUENCES, *PALETTE}


def test_every_file_has_the_row_it_deserves(predicted: Predicted) -> None:
    rows = read_rows(predicted.out)
    assert rows.keys() == predicted.expected.keys()
    reference, wrong = read_masks(predicted.out, rows[GOOD]), []
    for path, outcome in predicted.expected.items():
        row, allowed = rows[path], outcome.split("|")
        if row["status"] != "done" or "other" in allowed:
            fits = row["status"].replace("done", "other") in allowed
        else:
            masks = read_masks(predicted.out, row)
            same = masks.shape == reference.shape and np.array_equal(masks, reference)
            fits = ("done" in allowed and same) or ("close" in allowed and dice(masks, reference) > 0.98)
        if not fits:
            wrong.append((path[-80:], outcome, row["status"], row["reason"]))
    assert wrong == []


def test_the_good_masks_are_those_of_the_model(predicted: Predicted) -> None:
    card, network = load_model(predicted.model, torch.device("cpu"))
    image, _ = build_input(phantom().astype(np.float32), None, card.preprocess)
    with torch.inference_mode():
        masks = restore(network.eval()(image[None]).sigmoid()[0], whole(phantom().shape), 0.5, card.preprocess).numpy()
    assert dice(masks, read_masks(predicted.out, read_rows(predicted.out)[GOOD])) > 0.999


def test_the_command_ends_well_within_its_limits(predicted: Predicted) -> None:
    run = predicted.run
    print(f"{run.seconds:.0f} s, {run.parent_bytes / 1e9:.2f} GB, a worker {run.child_bytes / 1e9:.2f} GB")
    assert run.code == 1
    assert b"Traceback" not in run.stderr
    assert run.parent_bytes < LIMIT_BYTES
    assert run.child_bytes < LIMIT_BYTES


def test_reasons_are_clean(predicted: Predicted) -> None:
    """One line of ASCII each, nothing from the files, and nothing that nobody has thought of."""
    rows = read_rows(predicted.out)
    for path, row in rows.items():
        code, _, reason = row["reason"].partition(": ")
        assert (row["status"] == "done") == (row["reason"] == ""), path
        assert row["status"] == "done" or (re.fullmatch("[a-z-]+", code) and re.fullmatch("[ -~]+", reason)), path
        assert code not in ("unexpected", "crashed", "timeout"), (path, row["reason"])
        assert not re.search("Secret|Smith|cmd|1970", row["reason"] + row["warnings"]), path
    assert rows[HUGE]["reason"].startswith("memory: ")


def test_the_input_is_as_it_was(predicted: Predicted) -> None:
    assert len(predicted.before) > 100_000
    assert describe_tree(predicted.folder) == predicted.before


def test_a_second_run_does_nothing(predicted: Predicted) -> None:
    before = read_tree(predicted.out)
    run = predict(predicted.model, predicted.folder, predicted.out)
    assert run.code == 1
    assert b" 0 predicted now" in run.stdout
    assert read_tree(predicted.out) == before
