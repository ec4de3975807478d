import itertools
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from medseg.data.frame import whole
from medseg.folder.examine import Examined
from medseg.folder.handover import Predicted, Read, Seconds
from medseg.folder.journal import Journal
from medseg.folder.pool import Gone, Lost, Workers, start_server
from medseg.folder.record import File
from medseg.folder.stages import FolderPrediction, Network, ReadStage, WriteStage
from medseg.folder.walk import Entry
from medseg.folder.write import Closer
from medseg.inference.config import InputConfig
from tests.support.dicom_files import phantom, write_dicom
from tests.support.folder_jobs import build_job

IMAGE = np.ones((1, 2, 2), np.float32)
NUMBER = 7


def never():
    return False


@pytest.fixture
def workers(tmp_path):
    """Workers for one test only, because a run that was not closed leaves tasks."""
    start_server(("png",))
    with Workers(2, InputConfig(dir=tmp_path), tmp_path) as pool:
        yield pool


@pytest.fixture
def build(tmp_path, workers):
    """The prediction of a folder of seven images and a text, by a network of a given function."""
    root = tmp_path / "in"
    root.mkdir()
    for index in range(NUMBER):
        write_dicom(root / f"{index}.dcm", np.roll(phantom(), index, axis=1), SOPInstanceUID=f"1.2.3.{index + 1}")
    (root / "3.txt").write_text("no image")
    with Journal(tmp_path / "journal.jsonl") as journal:

        def run(predict=lambda images: images.repeat(1, 2, 1, 1), batch_size=2):
            predictor = SimpleNamespace(predict=predict, batch_size=batch_size)
            return FolderPrediction(build_job(root, tmp_path / "out"), predictor, workers, journal)

        yield run


def test_outcomes_come_in_the_order_of_the_entries(build):
    prediction = build()
    outcomes = list(prediction.run(prediction.job.source, never))
    assert [outcome.entry.path for outcome in outcomes] == [entry.path for entry in prediction.job.source]
    assert [outcome.record.status for outcome in outcomes] == ["done"] * 4 + ["skipped"] + ["done"] * 3
    assert all(outcome.fresh for outcome in outcomes)
    assert len(list((prediction.job.sink.folder / "png" / "heart").iterdir())) == NUMBER


def test_a_second_run_knows_them_all_and_predicts_none(build):
    prediction = build()
    before = [outcome.record for outcome in prediction.run(prediction.job.source, never)]
    again = build(predict=None)
    outcomes = list(again.run(again.job.source, never))
    assert [outcome.record for outcome in outcomes] == before
    assert not any(outcome.fresh for outcome in outcomes)
    assert all(again.is_known(entry) for entry in again.job.source)


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_steps_are_full_but_for_the_last(batch_size, build):
    sizes = []

    def predict(images):
        sizes.append(len(images))
        return images.repeat(1, 2, 1, 1)

    prediction = build(predict, batch_size)
    list(prediction.run(prediction.job.source, never))
    assert sizes == [batch_size] * (NUMBER // batch_size) + [NUMBER % batch_size] * (NUMBER % batch_size > 0)


def test_the_network_runs_in_the_thread_that_asks_and_all_else_beside_it(build, monkeypatch):
    """The first step lasts until the text file, which does not need the network, has its record."""
    kept, predicting, keeping = threading.Event(), set(), set()

    def predict(images):
        predicting.add(threading.current_thread())
        assert kept.wait(240)
        return images.repeat(1, 2, 1, 1)

    prediction = build(predict, 1)
    append = prediction.journal.append

    def append_and_tell(*arguments):
        append(*arguments)
        keeping.add(threading.current_thread())
        kept.set()

    monkeypatch.setattr(prediction.journal, "append", append_and_tell)
    list(prediction.run(prediction.job.source, never))
    assert predicting == {threading.current_thread()}
    assert len(keeping - predicting) == 1


@pytest.mark.parametrize("where", ["network", "entries"])
def test_what_either_thread_raises_is_raised(where, build):
    def predict(images):
        if where == "network":
            raise KeyError("network")
        return images.repeat(1, 2, 1, 1)

    prediction = build(predict)

    def entries():
        yield from prediction.job.source
        if where == "entries":
            raise KeyError("entries")

    before = threading.active_count()
    with pytest.raises(KeyError, match=where):
        list(prediction.run(entries(), never))
    assert threading.active_count() == before


def test_threads_end_where_nobody_asks_any_more(build):
    prediction, before = build(), threading.active_count()
    outcomes = prediction.run(itertools.cycle(prediction.job.source), never)
    assert next(outcomes).entry.path == b"0.dcm"
    assert threading.active_count() == before + 1
    outcomes.close()
    assert threading.active_count() == before


def test_after_a_stop_what_is_known_is_told_and_nothing_else_begun(build):
    prediction = build()
    entries = list(prediction.job.source)
    list(prediction.run(entries[2:4], never))
    outcomes = list(prediction.run(entries, lambda: True))
    assert [outcome.entry.path for outcome in outcomes] == [b"2.dcm", b"3.dcm"]
    assert not prediction.complete


def test_one_step_is_ready_while_another_is_computed_and_no_more(build, workers, monkeypatch):
    """The first step lasts until all files are read. By then only one more step has been sent to the network."""
    ended, handed, found, going = [], [], [], threading.Event()
    wait, take_step = workers.wait, ReadStage.take_step

    def wait_and_tell():
        if len(ended) == NUMBER + 1:
            going.set()
        result = wait()
        ended.extend([result] if result else [])
        return result

    def take_and_tell(reading, size):
        step = take_step(reading, size)
        handed.extend([step] if step else [])
        return step

    def predict(images):
        assert going.wait(240)
        found.append(len(handed))
        return images.repeat(1, 2, 1, 1)

    monkeypatch.setattr(workers, "wait", wait_and_tell)
    monkeypatch.setattr(ReadStage, "take_step", take_and_tell)
    prediction = build(predict, 1)
    monkeypatch.setattr(workers, "number", NUMBER)
    list(prediction.run(prediction.job.source, never))
    assert found[0] == 2


def test_a_file_whose_machine_is_gone_is_read_again_whatever_was_done_with_it(build, workers, monkeypatch):
    gone, wait = [], workers.wait

    def wait_and_lose():
        ended = wait()
        if ended is None or ended[0] in gone or len(gone) == 4:
            return ended
        gone.append(ended[0])
        return ended[0], Gone()

    monkeypatch.setattr(workers, "wait", wait_and_lose)
    prediction = build()
    outcomes = list(prediction.run(prediction.job.source, never))
    assert len(gone) == 4
    assert [outcome.entry for outcome in outcomes] == list(prediction.job.source)
    assert [outcome.record.status for outcome in outcomes] == ["done"] * 4 + ["skipped"] + ["done"] * 3


@pytest.mark.parametrize("stage", [ReadStage, WriteStage])
def test_a_stage_forgets_what_is_gone(stage):
    workers, file = SimpleNamespace(submit=lambda *task: None), File(Entry(b"x", (1,)))
    records = SimpleNamespace(choose_date=lambda *given: None)
    begun = stage(build_job(workers, workers), workers, records, Seconds())
    begun.begin(file if stage is ReadStage else Predicted(file, Examined("id"), IMAGE))
    assert len(begun) == 1
    begun.forget(file)
    assert len(begun) == 0


def build_reading(workers):
    keep = SimpleNamespace(keep=lambda file, found: found)
    return ReadStage(build_job(workers, workers), workers, keep, Seconds())


def test_a_file_that_is_lost_twice_is_rejected_by_its_name():
    submitted = []
    workers = SimpleNamespace(submit=lambda tag, function, *arguments: submitted.append(arguments[1:]))
    reading, file = build_reading(workers), File(Entry(b"x", (1,)))
    reading.begin(file)
    assert reading.end(file, Lost("timeout: took more than 3 s")) is None
    assert submitted == [(b"x", None, None), (b"x", None, "timeout: took more than 3 s")]
    outcome = reading.end(file, Lost("crashed: again"))
    assert (outcome.record.status, outcome.record.reason) == ("rejected", "crashed: again")
    assert len(reading) == 0


def test_a_second_look_adds_to_the_seconds():
    submitted, seconds = [], Seconds()
    workers = SimpleNamespace(submit=lambda tag, function, *arguments: submitted.append(arguments[1:]))
    records = SimpleNamespace(choose_date=lambda file, found: None)
    job, file = build_job(workers, workers), File(Entry(b"x", (1,)))
    reading, writing = (stage(job, workers, records, seconds) for stage in (ReadStage, WriteStage))
    writing.begin(Predicted(file, Examined("id", seconds=3.0), IMAGE))
    reading.look_closer(file, writing.hand_back(file, Closer(whole((8, 8)), predicting=0.5)))
    assert submitted[-1] == (b"x", "id", None, whole((8, 8)))
    assert (len(writing), seconds.predict) == (0, 0.5)
    assert reading.end(file, Examined("id", image=IMAGE, seconds=2.0)) is None
    assert [read.found.seconds for read in reading.take_step(1)] == [5.5]


def test_a_step_waits_for_what_is_being_read():
    reading = build_reading(SimpleNamespace(submit=lambda *task: None))
    files = [File(Entry(b"%d" % index, (1,))) for index in range(4)]
    for file in files:
        reading.begin(file)
    assert reading.take_step(2) == []
    for file in files[:3]:
        reading.end(file, Examined("id", image=IMAGE))
    assert [read.file for read in reading.take_step(2)] == files[:2]
    assert reading.take_step(2) == []
    reading.end(files[3], Examined("id", "skipped", "kind: x"))
    assert [read.file for read in reading.take_step(2)] == files[2:3]
    assert reading.take_step(2) == []


class Clock:
    """A clock that moves only when the test moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


def test_seconds_tell_predicting_from_waiting(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("medseg.folder.stages.time", clock)

    def predict(images):
        clock.now += 3
        return images

    seconds, found = Seconds(), []
    network = Network(SimpleNamespace(predict=predict), seconds)
    step = [Read(File(Entry(b"x", (1,))), Examined("id", seconds=0.5), IMAGE)] * 2
    for pause in (5, 10, 20):
        clock.now += pause  # while the network has nothing to do
        found += [item.found.seconds for item in network.predict(step)]
    assert (seconds.start, seconds.predict, seconds.waiting) == (5, 9, 30)
    assert found == [2.0] * 6


def test_probabilities_stay_with_their_files():
    network = Network(SimpleNamespace(predict=lambda images: images * 2), Seconds())
    files = [File(Entry(b"%d" % index, (1,))) for index in range(3)]
    made = network.predict([Read(file, Examined("id"), IMAGE * index) for index, file in enumerate(files)])
    assert [item.file for item in made] == files
    assert [float(item.probabilities.mean()) for item in made] == [0, 2, 4]
    assert not torch.from_numpy(made[0].probabilities).requires_grad
