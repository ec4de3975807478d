"""The prediction command in a process of its own, and what it left."""

import csv
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]


def predict_command(*arguments: object) -> list[str]:
    """On PyTorch, unless a test asks for something else: another library takes seconds to start."""
    given = [str(argument) for argument in arguments]
    usual = [] if any(argument.startswith("predict.backend=") for argument in given) else ["predict.backend=torch"]
    return [sys.executable, "-m", "pipelines.predict_dicom", *given, *usual]


def predict(
    *arguments: object, timeout: float = 240, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -m pipelines.predict_dicom ARGUMENTS`, to its end."""
    return subprocess.run(
        predict_command(*arguments),
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=timeout,
        check=False,
    )


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
