"""Access to files recorded in MLflow runs."""

import re
from pathlib import Path

from medseg.errors import ConfigError
from medseg.tracking.config import StoreConfig
from medseg.tracking.store import find_store, import_mlflow, mask_credentials, open_store


def is_run(address: str) -> bool:
    """Whether the address is the id of an MLflow run."""
    return re.fullmatch(r"[0-9a-f]{32}", address) is not None


def download_file(address: str, config: StoreConfig) -> Path:
    """The path of the file at `runs:/<id>/<name>`, in the store itself if it is on this machine, else a temporary copy.

    Raises `ConfigError` if there is no such file.
    """
    store = find_store(config)
    if store.database is not None and not store.database.exists():
        raise ConfigError(f"{address}: there is no MLflow store at {store.database}. Give its address in tracking.uri")
    mlflow = import_mlflow()
    from mlflow.exceptions import MlflowException

    with open_store(store):
        try:
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=address))
        except (MlflowException, OSError) as error:
            reason, where = mask_credentials(str(error).strip().splitlines()[0]), mask_credentials(store.uri)
            raise ConfigError(f"{address}: no such file in {where}: {reason}") from error
