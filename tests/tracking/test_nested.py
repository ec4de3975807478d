from mlflow import MlflowClient

from medseg.tracking.config import TrackingConfig
from medseg.tracking.lifecycle import start_run
from medseg.tracking.nested import note_nested


def test_the_newest_run_of_the_name_and_its_parent_get_the_notes(tracking: TrackingConfig) -> None:
    named = tracking.model_copy(update={"run_name": "trial's 1"})
    with start_run(tracking, parameters={}) as parent:
        for _ in range(2):
            with start_run(named, parameters={}, parent_run_id=parent.id) as child:
                pass
    found = note_nested(tracking, parent.id, "trial's 1", {"state": "pruned"}, {"dice": 0.5}, 3)
    assert found == child.id
    client = MlflowClient(tracking.uri)
    noted = client.get_run(child.id)
    assert (noted.info.status, noted.data.tags["state"], noted.data.metrics) == (
        "FINISHED",
        "pruned",
        {"objective/dice": 0.5},
    )
    assert [(m.step, m.value) for m in client.get_metric_history(parent.id, "trials/dice")] == [(3, 0.5)]


def test_without_such_a_run_nothing_is_noted(tracking: TrackingConfig) -> None:
    with start_run(tracking, parameters={}) as parent:
        pass
    assert note_nested(tracking, parent.id, "trial 1", {}, {"dice": 0.5}, 0) is None
    assert MlflowClient(tracking.uri).get_run(parent.id).data.metrics == {}
