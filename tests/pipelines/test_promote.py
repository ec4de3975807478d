"""`tracking.promote`: registered models compete for the alias `champion` through the command."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from medseg.errors import ConfigError
from medseg.inference.config import ModelPredictConfig
from medseg.inference.models import load_models
from medseg.radiograph import read_radiograph
from medseg.radiograph.image import digest_pixels
from medseg.tracking import TrackingConfig, download_model_checkpoint, start_run
from pipelines.evaluate_xray import main
from tests.support.model_files import write_model
from tests.support.shape_images import write_png_folder

pytestmark = pytest.mark.slow


def register(
    tracking: TrackingConfig, path: Path, seed: int, classes: tuple[str, ...] = ("box", "disc"), **card: Any
) -> Path:
    with start_run(tracking, parameters={}) as run:
        write_model(path, classes, seed, run_id=run.id, **card)
        (network,) = load_models((str(path),), tracking, ModelPredictConfig()).networks
        run.log_model(network, np.zeros((2, 1, 32, 32), np.float32), path, {}, "shapes")
    return path


def promote(tracking: TrackingConfig, model: Path, data: Path) -> None:
    settings = (f"tracking.uri={tracking.uri}", "tracking.register=shapes", "tracking.promote=true")
    main([f"model={model}", f"data.root={data}", f"output.dir={model.parent / 'out'}", *settings])


def test_a_champion_that_has_seen_every_case_stays_and_the_evaluation_is_done(
    tracking: TrackingConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_png_folder(tmp_path / "data", 7)
    digests = tuple(digest_pixels(read_radiograph(path).pixels[None]) for path in sorted((data / "images").iterdir()))
    first = register(tracking, tmp_path / "first" / "best.pt", 0)
    register(tracking, tmp_path / "second" / "best.pt", 1, train_digests=digests)
    third = register(tracking, tmp_path / "third" / "best.pt", 2)
    client = MlflowClient(tracking.uri)

    def read(model: Path) -> str:
        promote(tracking, model, data)
        return capsys.readouterr().out

    assert "version 1 of 'shapes' is now the champion: there was no champion before" in read(first)
    assert "version 1 of 'shapes' is already the champion" in read(first)
    assert download_model_checkpoint("models:/shapes@champion", tracking).read_bytes() == first.read_bytes()
    said = read(third)
    assert "version 3 of 'shapes' is " in said
    assert "This test set has now decided once" in said
    client.set_registered_model_alias("shapes", "champion", "2")
    said = read(third)
    assert "version 2, the champion, was trained or validated on 7 of the 7 cases" in said
    assert "7 cases that the model was not trained or validated on;" in said
    assert str(client.get_model_version_by_alias("shapes", "champion").version) == "2"
    assert (third.parent / "out" / "report.html").exists()
    evaluations = client.search_runs(["1"], "tags.`medseg.kind` = 'evaluation'")
    assert len(evaluations) == 4
    assert all("evaluation/dice_disc" in run.data.metrics for run in evaluations)


@pytest.mark.parametrize(
    ("classes", "gone", "reason"),
    [
        (("arm",), False, "no class in common"),
        (("box", "disc"), True, "no such MLflow model"),
    ],
)
def test_a_champion_that_cannot_be_compared_stays_and_the_evaluation_is_recorded(
    classes: tuple[str, ...],
    gone: bool,
    reason: str,
    tracking: TrackingConfig,
    tmp_path: Path,
    shown: pytest.CaptureFixture[str],
) -> None:
    register(tracking, tmp_path / "champion" / "best.pt", 0, classes)
    model = register(tracking, tmp_path / "model" / "best.pt", 1)
    client = MlflowClient(tracking.uri)
    client.set_registered_model_alias("shapes", "champion", "1")
    if gone:
        download_model_checkpoint("models:/shapes/1", tracking).unlink()
    promote(tracking, model, write_png_folder(tmp_path / "data", 7))
    said = shown.readouterr()
    assert re.search(f"not compared with the champion: .*{reason}", said.err)
    assert "version 2 of 'shapes' is not the champion: " in said.out
    assert len(client.search_runs(["1"], "tags.`medseg.kind` = 'evaluation'")) == 1
    assert str(client.get_model_version_by_alias("shapes", "champion").version) == "1"


def test_a_model_that_is_not_registered_is_refused_before_it_is_measured(
    tracking: TrackingConfig, tmp_path: Path
) -> None:
    register(tracking, tmp_path / "champion" / "best.pt", 0)
    other = write_model(tmp_path / "other" / "best.pt", ("box", "disc"), 1)
    with pytest.raises(ConfigError, match="not a version of 'shapes'"):
        promote(tracking, other, write_png_folder(tmp_path / "data", 7))
    assert not (other.parent / "out").exists()
