import hashlib
import pickle
from pathlib import Path

import pytest

from medseg.atomic import write_text
from medseg.errors import StorageError
from medseg.objects import sink as sinks
from medseg.objects.sink import ObjectSink
from medseg.objects.store import UnreachableError

NAME = "png/heart/x.png"


@pytest.fixture
def sink(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    sink = pickle.loads(pickle.dumps(ObjectSink("memory://results/run")))
    yield sink
    sink.remove(NAME)


def test_a_result_is_an_object_once_it_is_stored(sink):
    write_text(sink.path(NAME), "mask")
    assert sink.size(NAME) == -1
    digest = hashlib.sha256(b"mask").hexdigest()
    assert sink.store(NAME) == (4, digest)
    assert (sink.size(NAME), sink.digest(NAME)) == (4, digest)
    assert not sink.path(NAME).exists()


def test_a_result_is_removed_once(sink):
    write_text(sink.path(NAME), "mask")
    sink.store(NAME)
    for _ in range(2):
        sink.remove(NAME)
        assert (sink.size(NAME), sink.digest(NAME)) == (-1, "")
    sink.sweep(NAME)


def test_a_store_that_fails_is_named_with_the_result(sink, monkeypatch):
    def fail(url, path):
        raise UnreachableError("the object store cannot be reached or used (TimeoutError)")

    monkeypatch.setattr(sinks, "write_object", fail)
    write_text(sink.path(NAME), "mask")
    with pytest.raises(StorageError, match=r"memory://results/run/png/heart/x.png: could not be written: the object"):
        sink.store(NAME)


def test_a_missing_bucket_is_told(sink, monkeypatch):
    def fail(url, path: Path):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(sinks, "write_object", fail)
    write_text(sink.path(NAME), "mask")
    with pytest.raises(StorageError, match="no such bucket"):
        sink.store(NAME)
