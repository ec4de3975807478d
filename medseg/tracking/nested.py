"""Notes on nested runs that have ended, found by their names below their parent."""

from collections.abc import Mapping

from medseg.tracking.config import TrackingConfig
from medseg.tracking.run import Run, survive
from medseg.tracking.store import find_store, mask_credentials, open_store


def note_nested(
    config: TrackingConfig, parent_id: str, name: str, tags: Mapping[str, str], metrics: Mapping[str, float], step: int
) -> str | None:
    """Give the newest run `name` below a parent more tags and metrics, and the parent the metrics at `step`.

    Returns the id of the run, None if there is none. The names of the parent's metrics begin with `trials/`.
    """
    store = find_store(config)
    with open_store(store) as client, survive(f"the end of {name}"):
        parent = client.get_run(parent_id)
        nested = client.search_runs(
            [parent.info.experiment_id],
            f"tags.`mlflow.parentRunId` = '{parent_id}'",
            order_by=["attributes.start_time DESC"],
        )
        for run in [run for run in nested if run.info.run_name == name][:1]:
            for key, value in tags.items():
                client.set_tag(run.info.run_id, key, mask_credentials(value))
            Run(client, store, run).log_metrics({f"objective/{key}": value for key, value in metrics.items()}, 0)
            Run(client, store, parent).log_metrics({f"trials/{key}": value for key, value in metrics.items()}, step)
            return str(run.info.run_id)
    return None
