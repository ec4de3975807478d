"""The MLflow store: its address, how it is opened, and the command that shows it in a browser."""

import logging
import os
import random
import re
import shlex
import shutil
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
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
    """Where runs are recorded: the address, and the file of an SQLite database."""

    uri: str
    database: Path | None

    @property
    def is_server(self) -> bool:
        """Whether a server keeps the runs, which has a UI of its own."""
        return self.uri.startswith(_SERVERS)

    @property
    def ui_command(self) -> str:
        """The exact line that opens the MLflow UI on this store; for a server its address."""
        if self.is_server:
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
    """A client of the store, which is created if it is new.

    MLflow's address, variables and loggers are as before after the block. Raises `ConfigError` if no server answers or
    a database is not MLflow's, `StorageError` if it cannot be created.
    """
    mlflow = import_mlflow()
    with _quiet(), _address_kept(mlflow):
        with explain_failure(store):
            if store.database is not None:
                _create_database(store.database)
                check_database(store.database)
            mlflow.set_tracking_uri(store.uri)
            client = mlflow.MlflowClient()
            client.search_experiments(max_results=1)
        yield client


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


def import_mlflow() -> ModuleType:
    """MLflow, imported without telemetry, and with the level of its logger that it usually has."""
    if "mlflow" not in sys.modules:
        with _quiet():
            import_module("mlflow")
        logging.getLogger("mlflow").setLevel(os.environ.get("MLFLOW_LOGGING_LEVEL", "INFO").upper())
    return sys.modules["mlflow"]


@contextmanager
def _quiet() -> Iterator[None]:
    """Within the block MLflow prints little and reports nothing to its makers.

    Variables that a person has set stay, except for telemetry. After the block all is as before, also what MLflow
    changes itself: the root logger (when it imports PyTorch's part) and Python's random numbers (for names of runs).
    """
    environment = {**_ENVIRONMENT, **os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    before = dict(os.environ)
    root, numbers = logging.getLogger(), random.getstate()
    levels: dict[str, int | str] = {
        "mlflow": environment["MLFLOW_LOGGING_LEVEL"].upper(),
        "alembic": "WARNING",
        "root": root.level,
    }
    earlier: dict[str, int | str] = {name: logging.getLogger(name).level for name in levels}
    handlers = list(root.handlers)
    _set_variables({key: environment[key] for key in _ENVIRONMENT})
    try:
        _set_levels(levels)
        yield
    finally:
        _set_levels(earlier)
        root.handlers[:] = handlers
        new = {key for key in os.environ if key.startswith(("MLFLOW_", "_MLFLOW_"))} - before.keys()
        _set_variables({key: before.get(key) for key in new | _ENVIRONMENT.keys()})
        random.setstate(numbers)


def _set_levels(levels: Mapping[str, int | str]) -> None:
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@contextmanager
def _address_kept(mlflow: ModuleType) -> Iterator[None]:
    """After the block MLflow has the address that it had before, by its own setting or by the environment."""
    before, address = os.environ.get("MLFLOW_TRACKING_URI"), mlflow.get_tracking_uri()
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)  # so that the environment decides
        _set_variables({"MLFLOW_TRACKING_URI": before})
        if mlflow.get_tracking_uri() != address:  # it was set by a call
            mlflow.set_tracking_uri(address)
            _set_variables({"MLFLOW_TRACKING_URI": before})


def _set_variables(values: Mapping[str, str | None]) -> None:
    """Set variables of the environment; None removes one."""
    for key, value in values.items():
        if value is None:
            os.environ.pop(key, None)
        else:
            os.environ[key] = value


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
            f"tracking.experiment: the experiment '{experiment.name}' stores its files in {stored}, but the MLflow "
            f"store was moved or copied to {artifacts.parents[1]}. Move the store back, make the old path a link to "
            "the new folder, or choose another experiment"
        )
