"""The machines that process a folder: this one, or the nodes of a Ray cluster."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from shutil import rmtree
from typing import Any
from unittest.mock import patch

from medseg.cluster.config import FolderConfig
from medseg.errors import ConfigError, WorkerError
from medseg.folder.handover import Pool, Seconds, Steps
from medseg.folder.pool import Workers
from medseg.folder.stages import Network
from medseg.inference.choice import build_backend
from medseg.inference.config import FolderPredictConfig, InputConfig
from medseg.inference.models import LoadedModel
from medseg.inference.predictor import build_predictor

_CONNECT_SECONDS = 10.0
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}  # Ray would report its use to its maker


@dataclass(frozen=True)
class Engine:
    """What `FolderPrediction` needs of the machines."""

    backend: str
    """Name of the backend that all of them use."""
    predictor: Any
    workers: Pool
    network: Callable[[Any, Seconds], Steps] = Network


@contextmanager
def open_engine(
    config: FolderConfig,
    predict: FolderPredictConfig,
    limits: InputConfig,
    formats: Sequence[str],
    model: LoadedModel,
    recorded: str,
    folder: Path,
) -> Iterator[Engine]:
    """The engine of `config`, until the block ends. `recorded` is the backend of an earlier run in `folder`.

    Raises `ConfigError` if a machine does not support the settings, `WorkerError` if processes cannot be started.
    """
    if config.engine == "ray":
        from medseg.cluster.cluster import Cluster, ClusterNetwork
        from medseg.cluster.posts import Plan

        with _ray_joined(config.address) as ray, _scratch(folder):
            plan = Plan(config, predict, limits, tuple(formats), ray.put(model), recorded)
            with closing(Cluster(ray, plan)) as cluster:
                yield Engine(cluster.start(), cluster, cluster, ClusterNetwork)
        return
    backend = build_backend(predict, model, recorded)
    predictor = build_predictor(model, backend, predict)
    with Workers(predict.workers, limits, folder) as workers:
        yield Engine(backend.name, predictor, workers)


@contextmanager
def _ray_joined(address: str | None) -> Iterator[Any]:
    """Ray, connected to a cluster until the block ends; or as it is, if this process has connected it before."""
    try:
        with patch.dict(os.environ, _QUIET):
            ray = import_module("ray")
    except ImportError as error:
        raise ConfigError(
            "folder.engine=ray: Ray is not installed. Install it with pip install 'medseg[ray]'"
        ) from error
    if ray.is_initialized():
        yield ray
        return
    place = address or os.environ.get("RAY_ADDRESS") or "local"
    with patch.dict(os.environ, _QUIET), _sigterm_kept():
        try:
            _check_answer(place)
            ray.init(place, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError) as error:
            raise WorkerError(
                f"the Ray cluster {place} cannot be reached ({type(error).__name__}). Start one with "
                "`ray start --head`, or set folder.address to HOST:PORT of a cluster to which this machine belongs"
            ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_answer(place: str) -> None:
    """Raise `OSError` if there is nothing at HOST:PORT. Ray would try for minutes."""
    host, _, port = place.rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """The block after which SIGTERM has its handler again, which `ray.init` replaces."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


@contextmanager
def _scratch(folder: Path) -> Iterator[None]:
    """The block in which `folder` has the subfolder for temporary files in which archives are listed."""
    scratch = folder / ".scratch"
    scratch.mkdir(mode=0o700, exist_ok=True)
    try:
        yield
    finally:
        rmtree(scratch, ignore_errors=True)
