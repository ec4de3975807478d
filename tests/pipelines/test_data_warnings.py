"""What the checks call a warning is told before a network is trained or scored, and stands in the run."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medseg.commands.cross_validate import CrossValidateConfig
from medseg.config import parse_args
from medseg.data.cases import find_cases
from medseg.data.rules import RULES
from medseg.evaluation.folds import build_folds, check_folds
from tests.support.training_command import TINY, run_of, train

pytestmark = pytest.mark.slow


@pytest.fixture
def faulty(png_folder: Path) -> Path:
    """A data set with one mask that is all foreground."""
    Image.fromarray(np.full((48, 40), 255, np.uint8)).save(png_folder / "masks" / "disc" / "case04.png")
    return png_folder


def test_a_training_says_and_records_what_the_checks_found(faulty: Path, tmp_path: Path, store: str) -> None:
    done = train(f"data.root={faulty}", f"output.dir={tmp_path / 'out'}", "train.epochs=1", f"tracking.uri={store}")
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    warned = lines.index(f"  warning: masks that are all foreground (1): case04. {RULES['full_mask'].remedy}")
    assert warned < next(number for number, line in enumerate(lines) if line.startswith("epoch 1"))
    run = run_of(store, json.loads((tmp_path / "out" / "summary.json").read_text())["run_id"])
    recorded = json.loads((Path(run.info.artifact_uri.removeprefix("file://")) / "check.json").read_text())
    assert ["full_mask", ["case04"]] in [[finding["code"], finding["cases"]] for finding in recorded["findings"]]


def test_folds_are_checked_before_they_are_trained(faulty: Path, tmp_path: Path) -> None:
    config = parse_args(CrossValidateConfig, [*TINY, f"data.root={faulty}", f"output.dir={tmp_path}", "split.folds=3"])
    found = find_cases(config.data)
    findings, _ = check_folds(build_folds(found, config), found, config.data, resumed=False)
    (warning,) = findings.describe_warnings()
    assert warning.startswith("masks that are all foreground (1): case04.")
