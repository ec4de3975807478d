import os

import pytest
from mlflow import MlflowClient

from medseg.tracking import TrackingConfig, start_run


@pytest.mark.slow
def test_runs_within_a_run_are_nested_and_leave_it_as_it_was(tracking: TrackingConfig) -> None:
    client, before = MlflowClient(tracking.uri), os.environ.get("MLFLOW_TRACKING_URI")
    with start_run(tracking, parameters={}) as parent:
        for fold in range(2):
            with start_run(tracking, parameters={"fold": fold}, parent_run_id=parent.id) as child:
                child.log_metrics({"test/dice": fold / 2}, step=1)
            found = client.get_run(child.id)
            assert (found.info.status, found.data.tags["mlflow.parentRunId"]) == ("FINISHED", parent.id)
        parent.log_metrics({"test/dice": 0.25}, step=1)
        assert client.get_run(parent.id).info.status == "RUNNING"
    assert client.get_run(parent.id).info.status == "FINISHED"
    assert client.get_run(parent.id).data.metrics == {"test/dice": 0.25}
    assert os.environ.get("MLFLOW_TRACKING_URI") == before


@pytest.mark.slow
def test_an_error_within_is_that_of_both(tracking: TrackingConfig) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        start_run(tracking, parameters={}) as parent,
        start_run(tracking, parameters={}, parent_run_id=parent.id) as child,
    ):
        raise KeyboardInterrupt
    client = MlflowClient(tracking.uri)
    assert [client.get_run(run.id).info.status for run in (parent, child)] == ["KILLED", "KILLED"]


@pytest.mark.slow
def test_a_nested_run_stands_in_the_experiment_of_the_other(tracking: TrackingConfig) -> None:
    with start_run(tracking.model_copy(update={"experiment": "theirs"}), parameters={}) as parent:
        pass
    with start_run(tracking, parameters={}, parent_run_id=parent.id) as child:
        pass
    client = MlflowClient(tracking.uri)
    experiments = {client.get_run(run.id).info.experiment_id for run in (parent, child)}
    assert experiments == {client.get_experiment_by_name("theirs").experiment_id}


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["0" * 32, "no id at all"])
def test_a_run_stands_alone_where_the_other_is_not_known(tracking: TrackingConfig, lost: str) -> None:
    with start_run(tracking, parameters={}, parent_run_id=lost) as run:
        pass
    found = MlflowClient(tracking.uri).get_run(run.id)
    assert found.info.status == "FINISHED"
    assert "mlflow.parentRunId" not in found.data.tags
