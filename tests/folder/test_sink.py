import pickle

import pytest

from medseg.atomic import open_atomically
from medseg.folder.sink import FolderSink

NAME = "png/heart/x.png"


@pytest.fixture
def sink(tmp_path):
    return pickle.loads(pickle.dumps(FolderSink(tmp_path)))


def test_a_result_has_a_size_until_it_is_removed(sink):
    assert sink.size(NAME) == -1
    with open_atomically(sink.path(NAME)) as file:
        file.write(b"mask")
    assert sink.size(NAME) == 4
    for _ in range(2):
        sink.remove(NAME)
        assert sink.size(NAME) == -1


def test_a_file_in_place_of_a_folder_is_no_result(sink, tmp_path):
    (tmp_path / "png").touch()
    assert sink.size(NAME) == -1
    sink.remove(NAME)


def test_what_a_dead_process_was_writing_is_swept_up_and_nothing_else(sink):
    with open_atomically(sink.path(NAME)) as file:
        (left,) = sink.path(NAME).parent.iterdir()
        file.write(b"mask")
        other = sink.path("png/heart/y.png")
        other.touch()
        left.with_name(left.name.replace("x.png", "y.png")).touch()
        sink.sweep("png/heart/y.png")
    assert {path.name for path in other.parent.iterdir()} == {"x.png", "y.png"}
