"""The prediction command, and what it left."""

import csv
import subprocess
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medseg.commands.predict_dicom import main
from medseg.commands.running import run_command
from tests.support.processes import run_forked

MODULE = "pipelines.predict_dicom"


def build_arguments(*arguments: object) -> list[str]:
    """On PyTorch, unless a test asks for something else: another library takes seconds to start."""
    given = [str(argument) for argument in arguments]
    usual = [] if any(argument.startswith("predict.backend=") for argument in given) else ["predict.backend=torch"]
    return [*given, *usual]


def predict(*arguments: object, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command to its end, in this process: its workers are then forked from one that is there already.

    With an `environment`, which that one cannot be given, in a process of its own.
    """
    if environment is not None:
        return run_forked(MODULE, *build_arguments(*arguments), environment=environment)
    with redirect_stdout(StringIO()) as stdout, redirect_stderr(StringIO()) as stderr, pytest.raises(SystemExit) as end:
        run_command(partial(main, build_arguments(*arguments)))
    return subprocess.CompletedProcess(MODULE, int(end.value.code or 0), stdout.getvalue(), stderr.getvalue())


def rows(folder: Path) -> list[dict[str, str]]:
    """The rows of `folder/report.csv`."""
    with (folder / "report.csv").open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def by_path(folder: Path) -> dict[str, dict[str, str]]:
    """The rows of `folder/report.csv` by their path."""
    return {row["path"]: row for row in rows(folder)}


def read_mask(folder: Path, name: str, row: Mapping[str, str]) -> np.ndarray:
    """The PNG mask of one class for a row of the report, uint8 of 0 and 255."""
    with Image.open(folder / "png" / name / f"{row['id']}.png") as image:
        assert image.mode == "L"
        return np.asarray(image)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, by its path there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
