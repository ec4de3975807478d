import shutil
from pathlib import Path

import pytest

from medseg.tracking.config import TrackingConfig
from medseg.tracking.store import find_store, open_store


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new MLflow database without an experiment of ours: making one takes seconds, copying it does not."""
    store = find_store(TrackingConfig(uri=f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"))
    with open_store(store):
        pass
    assert store.database is not None
    return store.database


@pytest.fixture
def tracking(tmp_path: Path, empty_database: Path) -> TrackingConfig:
    return TrackingConfig(uri=f"sqlite:///{copy_store(empty_database, tmp_path / 'mlruns')}", system_metrics=False)


def copy_store(database: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    return Path(shutil.copy(database, folder / "mlflow.db"))
