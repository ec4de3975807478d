"""A model on a node, as an actor."""

import time
from collections.abc import Mapping
from importlib.metadata import version

import numpy as np
import torch
from numpy.typing import NDArray

from medseg.errors import ConfigError
from medseg.inference.choice import build_backend, find_backend
from medseg.inference.config import FolderPredictConfig
from medseg.inference.models import LoadedModel
from medseg.inference.predictor import build_predictor

_PACKAGES = ("medseg", "torch", "numpy")


class Network:
    """The networks of a model on one backend."""

    def choose(self, model: LoadedModel, config: FolderPredictConfig, recorded: str, threads: int) -> str:
        """The name of the backend that `build_backend` gives on this node. Raises `ConfigError`."""
        torch.set_num_threads(threads)
        return build_backend(config, model, recorded).name

    def load(
        self, model: LoadedModel, config: FolderPredictConfig, backend: str, threads: int, versions: Mapping[str, str]
    ) -> None:
        """Get ready on `backend`. Raises `ConfigError` if this node does not have it, or has other `versions`."""
        if (own := list_versions()) != versions:
            different = [
                f"{name} {own[name]}, but the driver has {versions[name]}"
                for name in own
                if own[name] != versions[name]
            ]
            raise ConfigError(f"has {'; '.join(different)}. Install the versions of the driver on all nodes")
        torch.set_num_threads(threads)
        found = find_backend(backend, config, model)
        if found.name != backend:
            raise ConfigError(
                f"cannot use the backend {backend}, only {found.name}. Install the backend on this node, or set "
                "predict.backend for all nodes in a new output.dir"
            )
        self._predictor = build_predictor(model, found, config)

    def predict(self, *images: NDArray[np.float32]) -> list[float | NDArray[np.float32]]:
        """Probabilities `(class, rows, columns)` of images `(channel, rows, columns)`; first the seconds of each."""
        started = time.perf_counter()
        predicted = self._predictor.predict(torch.from_numpy(np.stack(images))).numpy()
        return [(time.perf_counter() - started) / len(images), *(each.copy() for each in predicted)]


def list_versions() -> dict[str, str]:
    """The versions of the packages that decide masks."""
    return {name: version(name) for name in _PACKAGES}
