"""One store and one finished training for all tests of the command: a new store takes seconds."""

import subprocess
from pathlib import Path

import pytest

from tests.support.mlflow_stores import copy_store
from tests.support.processes import run_fresh
from tests.support.shape_images import write_png_folder
from tests.support.training_command import TINY

Trained = tuple[Path, Path, subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> str:
    """One MLflow store for all of them."""
    return f"sqlite:///{copy_store(empty_database, tmp_path_factory.mktemp('pipelines') / 'mlruns')}"


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory, store: str
) -> tuple[Path, Path, subprocess.CompletedProcess[str]]:
    """Six epochs without a break, in a fresh process: the data, the output folder and what was printed."""
    folder = tmp_path_factory.mktemp("trained")
    data = write_png_folder(folder / "data", 24)
    done = run_fresh(
        "pipelines.train_xray",
        *TINY,
        f"data.root={data}",
        f"output.dir={folder / 'out'}",
        "train.epochs=6",
        f"tracking.uri={store}",
        "output.masks=true",
        "tracking.register=discs",
    )
    assert done.returncode == 0, done.stderr
    return data, folder / "out", done
