import logging
import os
import threading
import warnings
import zlib

import pytest

from medseg.errors import RadiographError
from medseg.radiograph.source import copy_of, open_source, printable, refusing


def read(path):
    with open_source(path) as file:
        return file.read()


def test_regular_file_is_read(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    assert read(tmp_path / "a") == read(str(tmp_path / "a")) == b"content"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "cannot be read .No such file"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.touch(), "is empty"),
        (os.mkfifo, "is not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
        (lambda path: path.symlink_to(path), "cannot be read"),
    ],
    ids=["missing", "folder", "empty", "fifo", "device", "loop"],
)
def test_what_is_no_file_is_refused_and_named(tmp_path, make, reason):
    make(tmp_path / "a")
    with pytest.raises(RadiographError, match=f"{tmp_path}/a: {reason}"):
        read(tmp_path / "a")


def test_path_with_a_zero_byte_is_refused():
    with pytest.raises(RadiographError, match="not a valid path"):
        read("a\0b")


def test_file_that_is_too_large_is_refused(tmp_path):
    with (tmp_path / "a").open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(RadiographError, match="has 8589934592 bytes"):
        read(tmp_path / "a")


def test_name_that_is_not_utf8_can_be_printed(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9"
    assert printable(path).endswith("/caf\\xe9")
    with pytest.raises(RadiographError) as error:
        read(os.fsdecode(path))
    str(error.value).encode("utf-8")


def test_libraries_are_silent_inside_and_heard_again_after(tmp_path, caplog):
    (tmp_path / "a").write_bytes(b"content")
    with open_source(tmp_path / "a"):
        warnings.warn("a value", stacklevel=1)
        logging.getLogger("pydicom").warning("a value")
        with open_source(tmp_path / "a"):
            warnings.warn("a value", stacklevel=1)
    assert caplog.text == ""
    logging.getLogger("pydicom").warning("heard")
    assert "heard" in caplog.text
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", stacklevel=1)


def test_threads_leave_the_warning_filters_as_they_were(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [read(tmp_path / "a") for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before


def test_library_words_are_left_out():
    with pytest.raises(RadiographError, match=r"^it is damaged \(ValueError\)$"), refusing("it is damaged"):
        raise ValueError("Secret^Name")


def test_errors_that_are_not_of_broken_bytes_pass():
    with pytest.raises(KeyboardInterrupt), refusing("it is damaged"):
        raise KeyboardInterrupt


def test_copy_has_a_plain_name_and_is_alone(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9"
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(b"content")
    with open_source(os.fsdecode(path)) as file, copy_of(file, ".mha") as copy:
        assert copy.isascii()
        assert os.listdir(os.path.dirname(copy)) == ["picture.mha"]  # noqa: PTH120, PTH208
        with open(copy, "rb") as copied:  # noqa: PTH123
            assert copied.read() == b"content"
    assert not os.path.exists(copy)  # noqa: PTH110


@pytest.mark.parametrize(
    ("error", "reason", "code"),
    [
        (MemoryError(), "needs more memory than is available", "memory"),
        (RecursionError(), "is damaged (nested too deeply)", "damaged"),
        (ValueError("a value"), "is damaged (ValueError)", "damaged"),
        (zlib.error("a value"), "is damaged (zlib.error)", "damaged"),
    ],
)
def test_errors_of_libraries_become_reasons(error, reason, code):
    with pytest.raises(RadiographError) as raised, refusing("is damaged"):
        raise error
    assert (raised.value.reason, raised.value.code) == (reason, code)
