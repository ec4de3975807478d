"""The lifecycle of an MLflow run, from its start to FINISHED, FAILED or KILLED."""

import json
import logging
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from medseg.errors import OutputBusyError
from medseg.notice import RESEARCH_USE
from medseg.signals import signals_deferred
from medseg.tracking.config import TrackingConfig
from medseg.tracking.dead_runs import PID, describe_process, is_alive, mark_dead_runs
from medseg.tracking.provenance import describe_command, describe_commit, describe_environment
from medseg.tracking.run import Run, survive
from medseg.tracking.store import (
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
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

_logger = logging.getLogger(__name__)
_LONGEST_PARAMETER = 6000
_PARAMETERS_A_BATCH = 100


@contextmanager
def start_run(
    config: TrackingConfig,
    *,
    parameters: Mapping[str, Any],
    tags: Mapping[str, str] = MappingProxyType({}),
    resume_run_id: str | None = None,
    parent_run_id: str | None = None,
) -> Iterator[Run]:
    """The MLflow run of this process: FINISHED after the block, FAILED on an error, KILLED on a signal or exit.

    Other runs may be started and ended within the block. `resume_run_id` resumes that run; if the store no longer has
    it, a new run starts with a warning, since the checkpoint is worth more than its record. If the store has
    `parent_run_id`, a new run is nested under it, in the same experiment. A run without a name is named after its
    parent, if any, and the tag `medseg.data`. Runs left RUNNING by a dead process of this machine are marked KILLED.
    Raises `ConfigError` if the store cannot be used, `OutputBusyError` if another live process writes the run.
    """
    store = find_store(config)
    mlflow = import_mlflow()
    with open_store(store) as client:
        with explain_failure(store):
            mark_dead_runs(client)
            known = _find_run(client, resume_run_id)
            found = (
                _create(client, store, config, tags, lost=resume_run_id, parent=_find_run(client, parent_run_id))
                if known is None
                else _reopen(client, known, tags)
            )
        status = "FINISHED"
        try:
            mlflow.start_run(run_id=found.info.run_id, nested=True, log_system_metrics=config.system_metrics)
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
        finally:  # a signal must wait: MLflow would end the run at exit, in a new store in the current folder
            with signals_deferred() as pending, survive(f"the end of the run as {status}"):
                client.set_terminated(found.info.run_id, status)
                mlflow.end_run(status)
            pending.raise_if_came()


def _find_run(client: "MlflowClient", run_id: str | None) -> "MlflowRun | None":
    from mlflow.exceptions import MlflowException

    if run_id is None:
        return None
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None
    return run if run.info.lifecycle_stage == "active" else None


def _create(
    client: "MlflowClient",
    store: Store,
    config: TrackingConfig,
    tags: Mapping[str, str],
    lost: str | None,
    parent: "MlflowRun | None",
) -> "MlflowRun":
    from mlflow.tracking.context.registry import resolve_tags

    named = client.get_experiment(parent.info.experiment_id).name if parent else config.experiment
    experiment = find_experiment(client, store, named)
    data = tags.get("medseg.data", config.experiment)
    default = f"{data}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    name = config.run_name or (f"{parent.info.run_name} on {data}" if parent else default)
    purpose = config.description or describe_command()
    if tags.get("medseg.synthetic") == "true":
        purpose = f"Synthetic phantoms, not clinical. {purpose}"
    note = {"mlflow.note.content": f"{purpose}\n\n{RESEARCH_USE}", "medseg.use": RESEARCH_USE}
    if lost is not None:
        _logger.warning(
            "MLflow run %s is not in %s; a new run records the rest of the training", lost, mask_credentials(store.uri)
        )
        note["medseg.resumed_from"] = lost
    if parent is not None:
        note["mlflow.parentRunId"] = parent.info.run_id
    return client.create_run(
        experiment,
        tags=mask_all(resolve_tags(dict(note)) | describe_commit() | dict(tags) | describe_process()),
        run_name=name,
    )


def _reopen(client: "MlflowClient", run: "MlflowRun", tags: Mapping[str, str]) -> "MlflowRun":
    """Resume the run in this process. Tags change before the status, or another start would take the run for dead."""
    from mlflow.entities import RunTag

    if run.info.status == "RUNNING" and is_alive(run.data.tags):
        pid = run.data.tags[PID]
        raise OutputBusyError(f"MLflow run {run.info.run_id} is in use by process {pid}. Wait for it, or stop it")
    resumed = int(run.data.tags.get("medseg.resumed", "0")) + 1
    new = describe_commit() | dict(tags) | describe_process() | {"medseg.resumed": str(resumed)}
    client.log_batch(run.info.run_id, tags=[RunTag(key, mask_credentials(value)) for key, value in new.items()])
    return client.get_run(run.info.run_id)


def _log_parameters(run: Run, client: "MlflowClient", parameters: Mapping[str, Any], found: "MlflowRun") -> None:
    """Record parameters. MLflow keeps the values of a resumed run; changed ones are recorded in an artifact."""
    from mlflow.entities import Param

    recorded = found.data.params
    texts = {key: _show(value)[:_LONGEST_PARAMETER] for key, value in parameters.items()}
    new = [Param(key, text) for key, text in texts.items() if key not in recorded]
    for start in range(0, len(new), _PARAMETERS_A_BATCH):
        with survive("parameters"):
            client.log_batch(run.id, params=new[start : start + _PARAMETERS_A_BATCH])
    changed = {
        key: {"was": recorded[key], "is": text} for key, text in texts.items() if recorded.get(key, text) != text
    }
    if changed:
        run.log_dict(changed, f"resumed_config_{found.data.tags.get('medseg.resumed', '0')}.yaml")


def _show(value: Any) -> str:
    """The value as JSON, or a string as it is, with credentials masked."""
    return mask_credentials(value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False))
