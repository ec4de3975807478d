"""The best network as an MLflow model: a program for PyTorch, a service that takes image files, and the checkpoint."""

import copy
import io
from collections.abc import Mapping
from contextlib import redirect_stderr
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from medseg.errors import CheckpointError, StorageError
from medseg.notice import RESEARCH_USE
from medseg.tracking.config import StoreConfig
from medseg.tracking.service import add_service, list_requirements
from medseg.tracking.store import find_store, import_mlflow, mask_credentials, open_store

if TYPE_CHECKING:
    import numpy as np
    import torch
    from mlflow.models import Model, ModelSignature
    from numpy.typing import NDArray


def log_model(
    network: "torch.nn.Module",
    example: "NDArray[np.float32]",
    checkpoint: Path,
    metadata: Mapping[str, str],
    register: str | None,
) -> None:
    """Record the network in the active run as the model `model`, and register it under `register`.

    `mlflow models serve` and `mlflow.pyfunc.load_model` give the service (`service.add_service`): image files in, masks
    out. `mlflow.pytorch.load_model` gives the network as a `torch.export` program in evaluation mode, which needs no
    code of this project: preprocessed float32 `(any, channels, rows, columns)` of the size of `example`, a batch of
    two, in; probabilities `(any, classes, rows, columns)` out. Only the shape of `example` is used, since a shared
    model must not show a patient. Raises `StorageError` if the model cannot be written.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    mlflow = import_mlflow()
    module = _with_sigmoid(network)

    def save_model(path: str, mlflow_model: "Model", **ignored: Any) -> None:
        _save_program(module, example, checkpoint, Path(path), mlflow_model)
        add_service(Path(path), mlflow_model, f"extra_files/{checkpoint.name}")

    try:
        logged = Model.log(
            artifact_path=None,
            name="model",
            flavor=SimpleNamespace(save_model=save_model),
            flavor_name="medseg",
            step=_count_models(mlflow.active_run().info.run_id),
            metadata=dict(metadata),
            tags={"medseg.use": RESEARCH_USE},
        )
        if register is not None:
            with redirect_stderr(io.StringIO()):  # MLflow prints its progress
                mlflow.register_model(logged.model_uri, register, tags={"medseg.use": RESEARCH_USE})
    except (MlflowException, OSError) as error:
        raise StorageError(f"MLflow could not store the model: {mask_credentials(str(error))}") from error


def download_model_checkpoint(address: str, config: StoreConfig) -> Path:
    """The checkpoint in the MLflow model at `runs:/<id>/model`, `models:/name@alias` or `models:/name/version`.

    Returns the file in the store itself if the store is on this machine, else a copy in a temporary folder.
    Raises `CheckpointError` if there is no such model, or no checkpoint in it.
    """
    store = find_store(config)
    if store.database is not None and not store.database.exists():
        where = f"there is no MLflow store at {store.database}"
        raise CheckpointError(f"{address}: {where}. Give its address in tracking.uri")
    mlflow = import_mlflow()
    from mlflow.exceptions import MlflowException

    with open_store(store) as client:
        try:
            found = mlflow.models.get_model_info(address)
            extra = found.flavors.get("pytorch", {}).get("extra_files", [])
            paths = [file["path"] for file in extra if file["path"].endswith(".pt")]
            if len(paths) != 1:
                raise CheckpointError(f"{address}: the MLflow model holds {len(paths)} checkpoints; one is expected")
            folder = client.get_logged_model(found.model_id).artifact_location
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=f"{folder}/{paths[0]}"))
        except (MlflowException, OSError) as error:
            reason = mask_credentials(str(error).strip().splitlines()[0])
            where = mask_credentials(store.uri)
            raise CheckpointError(f"{address}: no such MLflow model in {where}: {reason}") from error


def _save_program(
    module: "torch.nn.Module", example: "NDArray[np.float32]", checkpoint: Path, folder: Path, model: "Model"
) -> None:
    """Write the MLflow model with the flavor `pytorch` into `folder`; the checkpoint is one of its extra files."""
    import numpy as np

    zeros = np.zeros(example.shape, np.float32)
    import_mlflow().pytorch.save_model(
        module,
        str(folder),
        mlflow_model=model,
        signature=_describe_tensors(module, zeros),
        input_example=zeros,
        pip_requirements=list_requirements(),
        extra_files=[str(checkpoint)],
        serialization_format="pt2",
    )


def _with_sigmoid(network: "torch.nn.Module") -> "torch.nn.Module":
    """A copy of the network that gives probabilities: in evaluation mode, on the CPU, contiguous, in float32."""
    import torch

    plain = copy.deepcopy(getattr(network, "_orig_mod", network))  # without the wrapper of `torch.compile`
    whole = torch.nn.Sequential(plain, torch.nn.Sigmoid()).to("cpu", torch.float32).eval()
    for tensor in (*whole.parameters(), *whole.buffers()):
        tensor.data = tensor.data.contiguous()  # `torch.export` warns of channels-last weights
    return whole


def _count_models(run_id: str) -> int:
    """Number of models in the run. Used as step of the next model, it makes `runs:/<id>/model` the newest one."""
    outputs = import_mlflow().get_run(run_id).outputs
    return len(outputs.model_outputs) if outputs else 0


def _describe_tensors(module: "torch.nn.Module", batch: "NDArray[np.float32]") -> "ModelSignature":
    """The shapes and types of the module's input and output, for any batch size."""
    import torch
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    with torch.no_grad():
        answer = module(torch.from_numpy(batch)).numpy()
    taken, given = (Schema([TensorSpec(array.dtype, (-1, *array.shape[1:]))]) for array in (batch, answer))
    return ModelSignature(inputs=taken, outputs=given)
