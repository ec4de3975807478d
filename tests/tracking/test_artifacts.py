from pathlib import Path

import pytest
from mlflow import MlflowClient

from medseg.errors import ConfigError
from medseg.tracking import TrackingConfig, start_run
from medseg.tracking.artifacts import download_file, is_run


@pytest.mark.slow
def test_a_file_of_a_run_is_found_and_the_store_stays_as_it_is(tracking: TrackingConfig, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b\n")
    with start_run(tracking, parameters={}) as run:
        run.log_file(tmp_path / "table.csv")
    assert is_run(run.id)
    assert download_file(f"runs:/{run.id}/table.csv", tracking).read_text() == "a,b\n"
    assert MlflowClient(tracking.uri).get_run(run.id).info.status == "FINISHED"
    for missing in (f"runs:/{run.id}/other.csv", f"runs:/{'0' * 32}/table.csv"):
        with pytest.raises(ConfigError, match=f"{missing}: no such file in sqlite"):
            download_file(missing, tracking)


def test_without_a_store_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no MLflow store at"):
        download_file(f"runs:/{'0' * 32}/table.csv", TrackingConfig(uri=f"sqlite:///{tmp_path}/new/mlflow.db"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("text", ["output/evaluate_xray", "runs:/" + "a" * 32, "A" * 32, "a" * 31])
def test_what_is_no_run(text: str) -> None:
    assert not is_run(text)
