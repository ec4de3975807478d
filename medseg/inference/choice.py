"""The choice of a command's backend: from the settings, from the journal, or by a short speed measurement."""

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import torch

from medseg.atomic import write_text
from medseg.errors import ConfigError, StorageError
from medseg.hardware.cache import cache_folder
from medseg.hardware.cpu import identify_processor, threads_limited
from medseg.inference.backends import Backend, list_backends
from medseg.inference.config import ModelPredictConfig
from medseg.inference.models import LoadedModel

_logger = logging.getLogger(__name__)
_ROUNDS = 3
_WORTH = 0.95  # share of a simpler backend's time; a smaller gain is noise


def build_backend(config: ModelPredictConfig, model: LoadedModel, recorded: str = "") -> Backend:
    """The backend of a command: as `config` asks, else the recorded one, else the fastest. The choice is logged.

    `recorded` is the name of the backend that a folder was started with. All masks of a folder come from one backend.
    Raises `ConfigError` if this machine or the model does not support the settings.
    """
    candidates = _list_recorded(config, model, recorded) if recorded else []
    candidates = candidates or list_backends(config, model)
    with threads_limited(candidates[0].hardware):  # the speed depends on their number
        backend, reason = pick_fastest(candidates, model)
    _logger.info("backend %s: %s", backend.name, reason)
    return backend


def pick_fastest(candidates: Sequence[Backend], model: LoadedModel) -> tuple[Backend, str]:
    """The fastest of `candidates` for networks like those of `model`, and the reason. The simplest must come first.

    The measured times are cached in the user's cache folder, for each combination of CPU, libraries and architecture.
    """
    if len(candidates) == 1:
        return candidates[0], "the only choice with these settings"
    path = cache_folder() / "fastest" / f"{_describe(candidates, model)}.json"
    seconds = _read(path)
    when = "measured earlier"
    if set(seconds) != {backend.name for backend in candidates}:
        seconds, when = measure_backends(candidates, model), "measured now"
        with suppress(StorageError):  # the cache folder may not be writable
            write_text(path, json.dumps(seconds) + "\n")
    measured = [backend for backend in candidates if backend.name in seconds]
    picked = measured[0]
    for backend in measured[1:]:
        if seconds[backend.name] < _WORTH * seconds[picked.name]:
            picked = backend
    shown = ", ".join(f"{backend.name} {1000 * seconds[backend.name]:.3g} ms" for backend in measured)
    return picked, f"{when}, time for one image: {shown}"


def measure_backends(candidates: Sequence[Backend], model: LoadedModel) -> dict[str, float]:
    """Seconds that the model's first network takes for one image, by name of backend: the shortest of three rounds.

    A backend that does not work on this machine is left out with a warning. If it is the simplest, its error is raised.
    """
    size, network = model.card.preprocess.size, model.networks[0]
    picture = torch.rand(1, network.in_channels, *size, generator=torch.Generator().manual_seed(0))
    forwards = {}
    for backend in candidates:
        try:
            forward = backend.load(network, size, model.quantized[0])
            forward(picture)
        except (ConfigError, ImportError, RuntimeError) as error:
            if backend is candidates[0]:
                raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            _logger.warning("backend %s does not work on this machine: %s", backend.name, reason)
        else:
            forwards[backend.name] = forward
    seconds = dict.fromkeys(forwards, float("inf"))
    for _ in range(_ROUNDS):
        for name, forward in forwards.items():
            started = time.perf_counter()
            forward(picture)
            seconds[name] = min(seconds[name], time.perf_counter() - started)
    return seconds


def find_backend(name: str, config: ModelPredictConfig, model: LoadedModel) -> Backend:
    """The backend of this name, as far as `config` leaves the choice. Raises `ConfigError` if this machine lacks it."""
    fields = dict(zip(("backend", "device", "precision"), name.split("/"), strict=True))
    asked = config.model_copy(update={key: v for key, v in fields.items() if getattr(config, key) == "auto"})
    found = list_backends(asked, model)[0]
    if found.precision == "bf16" != config.precision and not found.hardware.has_bf16:
        raise ConfigError("the CPU has no bfloat16")
    return found


def _list_recorded(config: ModelPredictConfig, model: LoadedModel, recorded: str) -> list[Backend]:
    """The backend in the journal, unless `config` asks for another. If it is not available: empty, with a warning."""
    try:
        return [find_backend(recorded, config, model)]
    except ConfigError as error:
        _logger.warning("the backend recorded in the journal, %s, is not used: %s", recorded, error)
        return []


def _describe(candidates: Sequence[Backend], model: LoadedModel) -> str:
    """16 hex digits of a hash over everything that the speed depends on."""
    libraries = {backend.library for backend in candidates} & {"openvino"} | {"torch"}
    known = {
        "backends": [(backend.name, backend.hardware.channels_last) for backend in candidates],
        "versions": [f"{name} {metadata.version(name)}" for name in sorted(libraries)],
        "processor": [identify_processor(), torch.get_num_threads()],
        "model": model.card.model.model_dump(mode="json"),
        "shape": [model.networks[0].in_channels, *model.card.preprocess.size, len(model.card.classes)],
    }
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


def _read(path: Path) -> dict[str, float]:
    try:
        return {str(name): float(seconds) for name, seconds in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
