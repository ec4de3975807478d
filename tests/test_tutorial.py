"""The tutorial runs from top to bottom in a new folder, and what is committed of it shows the same."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from tests.support.modules import ROOT

TUTORIAL = ROOT / "docs" / "tutorial.ipynb"
ABSOLUTE = re.compile(r"(?<![\w.~/])(?:file://)?/(?:home|mnt|opt|root|tmp|usr|var|work|Users)/")


def outputs_of(notebook: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
    """Each output, with the id of its cell."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            yield cell.id, output


def text_of(output: NotebookNode) -> str:
    data = output.get("data", {})
    return output.get("text", "") + "".join(str(data[kind]) for kind in data if kind.startswith("text/"))


def printed(notebook: NotebookNode, stream: str) -> dict[str, str]:
    """What each cell printed on stdout or stderr, if anything."""
    found: dict[str, str] = {}
    for cell, output in outputs_of(notebook):
        if output.output_type == "stream" and output.name == stream:
            found[cell] = found.get(cell, "") + output.text
    return found


def images(notebook: NotebookNode) -> list[str]:
    """The cells that show an image."""
    return [cell for cell, output in outputs_of(notebook) if "image/png" in output.get("data", {})]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))  # no startup files, no history
    notebook = nbformat.read(TUTORIAL, as_version=4)
    committed = images(notebook)

    NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()

    dice = dict(re.findall(r"(\w+): Dice (\d\.\d+)", printed(notebook, "stdout")["evaluate-new"]))
    assert float(dice["lungs"]) > 0.9
    assert float(dice["heart"]) > 0.8
    assert images(notebook) == committed
    assert "overlay-show" in committed
    assert (tmp_path / "tutorial" / "evaluation" / "report.html").is_file()
    assert set(printed(notebook, "stderr")) <= {"evaluate-new"}  # two phantoms have no spacing, says the evaluation
    places = str(tmp_path), str(ROOT), sys.prefix
    assert [cell for cell, output in outputs_of(notebook) if any(place in text_of(output) for place in places)] == []


def test_it_is_committed_as_it_ran() -> None:
    notebook = nbformat.read(TUTORIAL, as_version=4)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert [cell for cell, output in outputs_of(notebook) if output.output_type == "error"] == []


def test_its_outputs_name_no_folder_of_a_machine() -> None:
    notebook = nbformat.read(TUTORIAL, as_version=4)
    assert [cell for cell, output in outputs_of(notebook) if ABSOLUTE.search(text_of(output))] == []
    assert ABSOLUTE.search("saved as /home/someone/best.pt")
    assert not ABSOLUTE.search("tutorial/home/best.pt, http://127.0.0.1:5000")


def test_it_is_small_enough_for_a_repository() -> None:
    assert TUTORIAL.stat().st_size < 400_000
