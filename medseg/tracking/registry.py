"""Access to a registered model: its versions, its champion, and the number of decisions made with a test set."""

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from medseg.errors import CheckpointError, ConfigError
from medseg.tracking.config import StoreConfig
from medseg.tracking.logged_model import download_model_checkpoint
from medseg.tracking.store import explain_failure, find_store, mask_credentials, open_store

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
"""Alias of the champion: its address is `models:/<name>@champion`."""
_DECISIONS = "medseg.decisions."


class Registry:
    """One registered model."""

    def __init__(self, client: "MlflowClient", config: StoreConfig, name: str) -> None:
        self.name = name
        self._client = client
        self._config = config
        self._store = find_store(config)

    def find_version(self, run_id: str, digest: str) -> str | None:
        """The newest version from run `run_id` whose model file has a SHA-256 that begins with `digest`."""
        with explain_failure(self._store):
            found = self._client.search_model_versions(f"run_id='{run_id}'")
        versions = sorted((int(version.version) for version in found if version.name == self.name), reverse=True)
        for version in map(str, versions):
            try:
                path = self.find_checkpoint(version)
            except CheckpointError:  # the files of this version are gone
                continue
            if hashlib.sha256(path.read_bytes()).hexdigest().startswith(digest):
                return version
        return None

    def find_champion(self) -> str | None:
        """The version that is the champion; None if there is none."""
        with explain_failure(self._store):
            version = self._client.get_registered_model(self.name).aliases.get(CHAMPION)
        return None if version is None else str(version)

    def find_checkpoint(self, version: str) -> Path:
        """The model file of a version. Raises `CheckpointError`."""
        return download_model_checkpoint(f"models:/{self.name}/{version}", self._config)

    def set_champion(self, version: str) -> None:
        """Make a version the champion."""
        with explain_failure(self._store):
            self._client.set_registered_model_alias(self.name, CHAMPION, version)

    def count_decision(self, digest: str, words: str) -> int:
        """Record a decision, described by `words`, and return the number of decisions with the test set `digest`.

        `digest` has 32 hex digits. Each decision is a separate tag, so that two simultaneous commands on a server lose
        none.
        """
        prefix = f"{_DECISIONS}{digest}."
        with explain_failure(self._store):
            self._client.set_registered_model_tag(self.name, prefix + secrets.token_hex(4), words)
            return sum(tag.startswith(prefix) for tag in self._client.get_registered_model(self.name).tags)


@contextmanager
def open_registry(config: StoreConfig, name: str) -> Iterator[Registry]:
    """The registered model `name`; a store on this machine is locked until the block ends.

    Raises `ConfigError` if the store has no model of that name or cannot be used.
    """
    from mlflow.exceptions import MlflowException

    store = find_store(config)
    lock = FileLock(store.database.with_name(f".{store.database.name}.lock")) if store.database else nullcontext()
    with open_store(store) as client, lock:
        with explain_failure(store):
            try:
                client.get_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                raise ConfigError(
                    f"tracking.register: {mask_credentials(store.uri)} has no registered model '{name}'. "
                    f"Create it with medseg train tracking.register={name}"
                ) from error
        yield Registry(client, config, name)
