"""One MLflow run from its start to FINISHED, FAILED or KILLED, and what is recorded in it."""

import json
import logging
import math
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from medseg.errors import OutputBusyError
from medseg.tracking.config import TrackingConfig
from medseg.tracking.dead_runs import PID, describe_process, is_alive, mark_dead_runs
from medseg.tracking.logged_model import log_model
from medseg.tracking.provenance import describe_command, describe_commit, describe_environment
from medseg.tracking.store import (
    RESEARCH_USE,
    Store,
    explain_failure,
    find_experiment,
    find_store,
    import_mlflow,
    mask_all,
    mask_credentials,
    open_store,
)

if TYPE_CHECKING:
    import numpy as np
    import torch
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun
    from numpy.typing import NDArray

_logger = logging.getLogger(__name__)
_LONGEST_PARAMETER = 6000
_PARAMETERS_A_BATCH = 100


class Run:
    """What a training records. A record that MLflow refuses or cannot store is a warning; training goes on."""

    id: str
    name: str
    ui_command: str
    """The exact line that opens the MLflow UI on the run's store; the address of a server."""

    def __init__(self, client: "MlflowClient", store: Store, run: "MlflowRun") -> None:
        self.id = run.info.run_id
        self.name = run.info.run_name
        self.ui_command = store.ui_command
        self._client = client
        self._series: set[str] = set()

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Record numbers at one step in one batch. What is not finite is left out: a chart cannot show it."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        finite = [Metric(key, float(value), now, step) for key, value in metrics.items() if math.isfinite(value)]
        if finite:
            with _survive("metrics"):
                self._client.log_batch(self.id, metrics=finite)

    def log_input(self, name: str, context: str, digest: str, source: str, num_cases: int) -> None:
        """Record a data set the run used: context `training`, `validation` or `test`, digest of up to 36 characters."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        where = json.dumps({"uri": mask_credentials(source)})
        profile = json.dumps({"num_rows": num_cases})
        dataset = Dataset(name, digest, "local", where, profile=profile)
        with _survive(f"data set {name}"):
            self._client.log_inputs(self.id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])

    def log_image(self, image: "NDArray[np.uint8]", key: str, step: int) -> None:
        """Record a picture, `(rows, columns)` or `(rows, columns, 3)`, in the series `key` over the steps.

        The UI opens a series at step 0 and shows nothing if it begins later: the first picture stands there too.
        Its card puts all parameters above the picture: the newest one is also the artifact `<key>.png`.
        """
        with _survive(f"picture {key}"):
            if step != 0 and self._is_new(key):
                self._client.log_image(self.id, image, key=key, step=0)
            self._client.log_image(self.id, image, key=key, step=step)
            self._client.log_image(self.id, image, f"{key}.png")
            self._series.add(key)

    def log_figure(self, figure: "Figure", name: str) -> None:
        """Record a Matplotlib figure as the file `name`, whose ending says the format."""
        with _survive(name):
            self._client.log_figure(self.id, figure, name)

    def log_text(self, text: str, name: str) -> None:
        """Record a text as the file `name`, credentials masked."""
        with _survive(name):
            self._client.log_text(self.id, mask_credentials(text), name)

    def log_dict(self, values: Mapping[str, Any], name: str) -> None:
        """Record nested plain values as the file `name`, `.json` or `.yaml`, credentials masked."""
        with _survive(name):
            self._client.log_dict(self.id, mask_all(dict(values)), name)

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Record a copy of a file, as it is, in a folder of the run's artifacts (the top one)."""
        with _survive(path.name):
            self._client.log_artifact(self.id, str(path), folder)

    def log_model(
        self,
        network: "torch.nn.Module",
        example: "NDArray[np.float32]",
        checkpoint: Path,
        metadata: Mapping[str, str],
        register: str | None = None,
    ) -> None:
        """Record the best network as the MLflow model `runs:/<id>/model`; see `logged_model.log_model`.

        `example` is a batch of two, `(2, channels, rows, columns)`. Raises `StorageError` if it cannot be written.
        """
        log_model(network, example, checkpoint, mask_all(dict(metadata)), register)

    def _is_new(self, key: str) -> bool:
        """Whether the series has no picture yet, from this process or from one that the run had before."""
        if key in self._series:
            return False
        prefix = f"images/{key.replace('/', '~')}+step+"  # as MLflow names them
        return not any(file.path.startswith(prefix) for file in self._client.list_artifacts(self.id, "images"))


@contextmanager
def start_run(
    config: TrackingConfig,
    *,
    parameters: Mapping[str, Any],
    tags: Mapping[str, str] = MappingProxyType({}),
    resume_run_id: str | None = None,
) -> Iterator[Run]:
    """The MLflow run of this process: FINISHED after the block, FAILED on an error, KILLED on a signal or exit.

    With `resume_run_id` that run goes on; where the store no longer knows it, a new run starts with a warning, for the
    checkpoint is worth more than its record. Runs that a dead process of this machine left RUNNING are marked KILLED.
    The tag `medseg.data` begins the name of a run that has none. Raises `ConfigError` if the store cannot be used and
    `OutputBusyError` if another live process writes the run.
    """
    store = find_store(config)
    mlflow = import_mlflow()
    with open_store(store) as client:
        with explain_failure(store):
            mark_dead_runs(client)
            known = resume_run_id and _find_run(client, resume_run_id)
            found = _reopen(client, known, tags) if known else _create(client, store, config, tags, resume_run_id)
        status = "FINISHED"
        try:
            mlflow.start_run(run_id=found.info.run_id, log_system_metrics=config.system_metrics)
            run = Run(client, store, found)
            _log_parameters(run, client, parameters, found)
            run.log_dict(describe_environment(), "environment.yaml")
            yield run
        except Exception:
            status = "FAILED"
            raise
        except BaseException:
            status = "KILLED"
            raise
        finally:
            with _survive(f"the end of the run as {status}"):
                client.set_terminated(found.info.run_id, status)
                mlflow.end_run(status)


def _find_run(client: "MlflowClient", run_id: str) -> "MlflowRun | None":
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None
    return run if run.info.lifecycle_stage == "active" else None


def _create(
    client: "MlflowClient", store: Store, config: TrackingConfig, tags: Mapping[str, str], lost: str | None
) -> "MlflowRun":
    from mlflow.tracking.context.registry import resolve_tags

    experiment = find_experiment(client, store, config.experiment)
    data = tags.get("medseg.data", config.experiment)
    name = config.run_name or f"{data}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    purpose = config.description or f"Started by `{describe_command()}`."
    note = {"mlflow.note.content": f"{purpose}\n\n{RESEARCH_USE}", "medseg.use": RESEARCH_USE}
    if lost is not None:
        _logger.warning("MLflow run %s is not in %s; a new run records the rest", lost, mask_credentials(store.uri))
        note["medseg.resumed_from"] = lost
    return client.create_run(
        experiment,
        tags=mask_all(resolve_tags(dict(note)) | describe_commit() | dict(tags) | describe_process()),
        run_name=name,
    )


def _reopen(client: "MlflowClient", run: "MlflowRun", tags: Mapping[str, str]) -> "MlflowRun":
    """The run, now this process's. Its tags change before its status does, lest another start takes it for dead."""
    from mlflow.entities import RunTag

    if run.info.status == "RUNNING" and is_alive(run.data.tags):
        raise OutputBusyError(f"MLflow run {run.info.run_id} is being written by process {run.data.tags[PID]}")
    resumed = int(run.data.tags.get("medseg.resumed", "0")) + 1
    new = describe_commit() | dict(tags) | describe_process() | {"medseg.resumed": str(resumed)}
    client.log_batch(run.info.run_id, tags=[RunTag(key, mask_credentials(value)) for key, value in new.items()])
    return client.get_run(run.info.run_id)


def _log_parameters(run: Run, client: "MlflowClient", parameters: Mapping[str, Any], found: "MlflowRun") -> None:
    """Record parameters; those that differ from an earlier part of the run, which MLflow keeps, go to an artifact."""
    from mlflow.entities import Param

    recorded = found.data.params
    texts = {key: _show(value)[:_LONGEST_PARAMETER] for key, value in parameters.items()}
    new = [Param(key, text) for key, text in texts.items() if key not in recorded]
    for start in range(0, len(new), _PARAMETERS_A_BATCH):
        with _survive("parameters"):
            client.log_batch(run.id, params=new[start : start + _PARAMETERS_A_BATCH])
    changed = {
        key: {"was": recorded[key], "is": text} for key, text in texts.items() if recorded.get(key, text) != text
    }
    if changed:
        run.log_dict(changed, f"resumed_config_{found.data.tags.get('medseg.resumed', '0')}.yaml")


def _show(value: Any) -> str:
    """The value as YAML would have it, credentials masked."""
    return mask_credentials(value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False))


@contextmanager
def _survive(what: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        _logger.warning("MLflow did not record %s: %s", what, mask_credentials(str(error).strip().splitlines()[0]))
