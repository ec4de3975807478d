"""The MLflow store: its address, how it is opened, and the command that shows it in a browser."""

import logging
import os
import re
import shlex
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from filelock import FileLock

from medseg.errors import ConfigError, StorageError
from medseg.notice import RESEARCH_USE
from medseg.tracking.config import StoreConfig
from medseg.tracking.sqlite import build_address, check_database, read_address

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

_SERVERS = ("http", "https", "databricks")
_ARTIFACTS = "artifacts"
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_PRINT_MODEL_URLS_ON_CREATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclass(frozen=True)
class Store:
    """The store in which runs are recorded: its address, and its SQLite file if it has one."""

    uri: str
    database: Path | None

    @property
    def ui_command(self) -> str:
        """The command that opens the MLflow UI on this store, or the address of a server."""
        if self.uri.startswith(_SERVERS):
            return mask_credentials(self.uri)
        beside = Path(sys.executable).with_name("mlflow")
        command = shlex.quote(str(beside)) if beside.exists() else f"{shlex.quote(sys.executable)} -m mlflow"
        secret = self.database is None and mask_credentials(self.uri) != self.uri
        uri = '"$MLFLOW_TRACKING_URI"' if secret else shlex.quote(self.uri)
        return f"env MLFLOW_DISABLE_TELEMETRY=true {command} ui --backend-store-uri {uri}"


def find_store(config: StoreConfig) -> Store:
    """The store named by the configuration, else by the environment, else `mlruns/mlflow.db` in the working folder.

    A relative SQLite path becomes absolute. Raises `ConfigError` for an address that MLflow cannot write to.
    """
    uri = config.uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlruns/mlflow.db"
    scheme = re.match(r"[a-z]+(?=[+:]|$)", uri)
    if scheme is None or scheme[0] not in (*_SERVERS, *_DATABASES):
        raise ConfigError(
            f"tracking.uri: '{mask_credentials(uri)}' is not an MLflow store. Give sqlite:///FILE or "
            "http(s)://SERVER (MLflow 3 no longer writes plain folders)"
        )
    if scheme[0] != "sqlite":
        return Store(uri, None)
    database, settings = read_address(uri)
    return Store(build_address(database) + settings, database)


def check_store(config: StoreConfig) -> None:
    """Raise `ConfigError` or `StorageError` if MLflow cannot use the store, before there is anything to record."""
    with open_store(find_store(config)):
        pass


@contextmanager
def open_store(store: Store) -> Iterator["MlflowClient"]:
    """A client of the store, which is created if it is new; MLflow's global address is restored afterwards.

    Raises `ConfigError` if no server answers or the database is not MLflow's, `StorageError` if creation fails.
    """
    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow = import_mlflow()
    try:
        with explain_failure(store):
            if store.database is not None:
                _create_database(store.database)
                check_database(store.database)
            mlflow.set_tracking_uri(store.uri)
            client = mlflow.MlflowClient()
            client.search_experiments(max_results=1)
        yield client
    finally:
        mlflow.set_tracking_uri(None)  # lets the environment variable decide, which an outer block may have set
        if before is None:
            os.environ.pop("MLFLOW_TRACKING_URI", None)
        else:
            os.environ["MLFLOW_TRACKING_URI"] = before


@contextmanager
def explain_failure(store: Store) -> Iterator[None]:
    """Turn errors of an unusable store in the block into `ConfigError` with MLflow's reason, without credentials."""
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, CommandError, sqlite3.Error, OSError) as error:
        reason = mask_credentials(str(error).strip().splitlines()[0])
        what = "no MLflow server answers" if store.uri.startswith(_SERVERS) else "not usable as an MLflow store"
        raise ConfigError(f"tracking.uri: {mask_credentials(store.uri)}: {what}: {reason}") from error


def find_experiment(client: "MlflowClient", store: Store, name: str) -> str:
    """The id of the experiment, created if new; artifacts are in an absolute folder beside the database.

    Raises `ConfigError` if it is in MLflow's trash, or if its artifacts are elsewhere since the store was moved.
    """
    from mlflow.exceptions import MlflowException

    folder = re.sub(r"[^\w.-]", "_", name)
    artifacts = None if store.database is None else store.database.parent / _ARTIFACTS / folder
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        kind = {"mlflow.experimentKind": "custom_model_development"}
        note = {"mlflow.note.content": f"Segmentation of radiographs. {RESEARCH_USE}"}
        try:
            return str(client.create_experiment(name, artifacts.as_uri() if artifacts else None, kind | note))
        except MlflowException:  # another process was faster
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":
        raise ConfigError(
            f"tracking.experiment: '{name}' is in MLflow's trash. Restore it with `mlflow experiments restore "
            f"--experiment-id {experiment.experiment_id}`, or choose another name"
        )
    if artifacts is not None:
        _check_artifacts(experiment, artifacts)
    return str(experiment.experiment_id)


def mask_credentials(text: str) -> str:
    """The text with `***` for the user and password of every URI and for secrets in its query."""
    text = re.sub(r"(\w[\w+.-]*://)[^\s/?#'\"]*@", r"\1***@", text)
    return re.sub(r"(?i)([?&](?:\w*(?:password|passwd|secret|token|key|sig|signature))=)[^&\s'\"]+", r"\1***", text)


def mask_all(value: Any) -> Any:
    """A copy of nested mappings and lists with credentials masked in every string."""
    if isinstance(value, str):
        return mask_credentials(value)
    if isinstance(value, dict):
        return {key: mask_all(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [mask_all(item) for item in value]
    return value


@cache
def import_mlflow() -> ModuleType:
    """Import MLflow, quiet and without telemetry. Other environment variables of the user take precedence."""
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    import mlflow

    logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"].upper())
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return mlflow


def _create_database(database: Path) -> None:
    """Create a missing database atomically, under a lock: it takes seconds, and two processes would corrupt it."""
    if database.exists():
        return
    stores = import_module("mlflow.store.tracking.sqlalchemy_store")
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(database.with_name(f".{database.name}.lock")):
            if database.exists():  # another process was faster
                return
            folder = database.with_name(f".{database.name}.new")
            shutil.rmtree(folder, ignore_errors=True)  # left by a process that was killed
            folder.mkdir()
            try:
                stores.SqlAlchemyStore(build_address(folder / database.name), (database.parent / _ARTIFACTS).as_uri())
                os.replace(folder / database.name, database)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"{database}: the MLflow store cannot be created: {error.strerror or error}") from error


def _check_artifacts(experiment: "Experiment", artifacts: Path) -> None:
    """Raise `ConfigError` if the stored, absolute artifact folder shows that the store was moved or copied."""
    if not experiment.artifact_location.startswith("file:"):
        return
    stored = Path(url2pathname(urlsplit(experiment.artifact_location).path))
    if stored.parts[-2:] == artifacts.parts[-2:] and stored.resolve() != artifacts.resolve():
        raise ConfigError(
            f"tracking.experiment: the files of '{experiment.name}' belong in {stored}, but the store is now in "
            f"{artifacts.parents[1]}. Move it back, link the old place to the new one, or choose another experiment"
        )
