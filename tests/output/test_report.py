import csv
import json
import resource
import signal
import tracemalloc
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from medseg.errors import StorageError
from medseg.output.report import Report, encode_path, hash_path, name_columns

COLUMNS = ("path", "reason", "warnings", "value")


@pytest.fixture
def small_files() -> Iterator[None]:
    """Files cannot grow beyond 100 000 bytes, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


def write(folder: Path, *rows: Mapping[str, Any]) -> bool:
    """Whether the report changed."""
    with Report(folder, COLUMNS) as report:
        for row in rows:
            report.write(row)
    return report.changed


def read_csv(folder: Path) -> list[dict[str, str]]:
    with (folder / "report.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def read_jsonl(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "report.jsonl").read_text("utf-8").splitlines()]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_columns_are_those_that_other_scripts_rely_on() -> None:
    assert ",".join(name_columns(["lungs", "heart"], uids=False)) == (
        "path,id,status,reason,warnings,model,kind,modality,body_part,view,sop_class,rows,columns,spacing_row_mm,"
        "spacing_column_mm,spacing_source,lossy,area_px_lungs,area_px_heart,area_mm2_lungs,area_mm2_heart,ctr,seconds"
    )


def test_the_reduction_comes_only_on_demand() -> None:
    with_it, without = name_columns(["a"], uids=True, reduction=True), name_columns(["a"], uids=True)
    assert tuple(name for name in with_it if name != "reduction") == without
    assert "reduction" in with_it


def test_uids_come_last_and_only_on_demand() -> None:
    uids = ("study_instance_uid", "series_instance_uid", "sop_instance_uid")
    assert name_columns(["a"], uids=True) == (*name_columns(["a"], uids=False), *uids)


@pytest.mark.parametrize(
    ("path", "encoded"),
    [
        (b"a/b c.dcm", "a/b c.dcm"),
        (b"100%.dcm", "100%25.dcm"),
        ("Müller 山田　太郎 א.dcm".encode(), "Müller 山田　太郎 א.dcm"),
        (unicodedata.normalize("NFD", "Müller").encode(), unicodedata.normalize("NFD", "Müller")),
        ("a\u2028b\u2029c\x85d\x9b".encode(), "a%E2%80%A8b%E2%80%A9c%C2%85d%C2%9B"),  # line ends, C1 controls
        ("a\u202egnp.exe\u2067\ufeff".encode(), "a%E2%80%AEgnp.exe%E2%81%A7%EF%BB%BF"),  # marks of direction
        (b"r\xf6ntgen\xed\xa0\x80", "r%F6ntgen%ED%A0%80"),  # Latin-1; a surrogate, which is not UTF-8
        ("\uff1d1+1;\u3000\uff20x".encode(), "%EF%BC%9D1+1;\u3000%EF%BC%A0x"),  # as Japanese spreadsheets take them
        (b"a\nb\t\x7f\xff\x00", "a%0Ab%09%7F%FF%00"),
        (b"=1+1", "%3D1+1"),
        (b"+1", "%2B1"),
        (b"-rf", "%2Drf"),
        (b"@x", "%40x"),
        (b"a=b/-c/@d", "a=b/-c/@d"),
        (b' "=1', ' "%3D1'),
        (b"a;=1;-2", "a;%3D1;%2D2"),
        (b"a,b\"c'd", "a,b\"c'd"),
    ],
)
def test_encoded_paths(path: bytes, encoded: str) -> None:
    assert encode_path(path) == encoded
    assert unquote_to_bytes(encoded) == path


def test_every_pair_of_bytes_comes_back() -> None:
    for first in range(256):
        path = b"".join(bytes((first, second)) for second in range(256))
        assert unquote_to_bytes(encode_path(path)) == path
        assert encode_path(path).encode()


@pytest.mark.slow
def test_an_encoded_path_is_written_as_it_is(tmp_path: Path) -> None:
    paths = [bytes((first, second)) + b";" + bytes((second, first)) for first in range(256) for second in range(256)]
    write(tmp_path, *({"path": encode_path(path)} for path in paths))
    assert [unquote_to_bytes(row["path"]) for row in read_csv(tmp_path)] == paths


def test_every_character_comes_back_and_stays_on_its_line() -> None:
    for start in range(0, 0x110000, 0x100):
        text = "".join(chr(code) for code in range(start, start + 0x100) if not 0xD800 <= code < 0xE000)
        encoded = encode_path(text.encode())
        assert unquote_to_bytes(encoded) == text.encode()
        assert encoded.splitlines() == [encoded] * bool(encoded)


def test_hashed_paths() -> None:
    assert hash_path(b"abc") == "ba7816bf8f01cfea"  # FIPS 180-4, the first example of SHA-256


@pytest.mark.parametrize(
    ("value", "in_csv", "in_json"),
    [
        (None, "", None),
        ("", "", None),
        (True, "true", True),
        (False, "false", False),
        (0, "0", 0),
        (-12345678901234, "-12345678901234", -12345678901234),
        (0.1 + 0.2, "0.3", 0.3),
        (2 / 3, "0.6666666667", 0.6666666667),
        (0.0, "0", 0.0),
        (-1.5, "-1.5", -1.5),
        (1e-7, "1e-07", 1e-7),
        (float("nan"), "", None),
        (float("inf"), "", None),
        ("text", "text", "text"),
        ([], "", None),
        (["a"], "a", "a"),
        (("a", "b;c", "d"), "a;b,c;d", "a;b,c;d"),
    ],
)
def test_a_value_in_both_tables(tmp_path: Path, value: Any, in_csv: str, in_json: Any) -> None:
    write(tmp_path, {"value": value})
    assert read_csv(tmp_path)[0]["value"] == in_csv
    found = read_jsonl(tmp_path)[0]["value"]
    assert found == in_json
    assert type(found) is type(in_json)


def test_both_tables_have_the_columns_in_order_and_missing_cells_empty(tmp_path: Path) -> None:
    write(tmp_path, {"value": 1, "path": "a"})
    assert (tmp_path / "report.csv").read_bytes() == b"path,reason,warnings,value\na,,,1\n"
    assert (tmp_path / "report.jsonl").read_bytes() == b'{"path": "a", "reason": null, "warnings": null, "value": 1}\n'


def test_a_cell_with_commas_and_quotes_is_quoted(tmp_path: Path) -> None:
    write(tmp_path, {"reason": 'a,"b"'})
    assert (tmp_path / "report.csv").read_bytes().splitlines()[1] == b',"a,""b""",,'


@pytest.mark.parametrize(
    "start", ["=", "+", "-", "@", "\t=", "\r=", "\n=", " =", '"=', "'=", ' "\t=', "a;=", "a; =", "a;\t-"]
)
def test_a_formula_is_neutralised_in_both_tables(tmp_path: Path, start: str) -> None:
    text = f"{start}cmd|' /C calc'!A0"
    write(tmp_path, {"reason": text})
    [row] = read_csv(tmp_path)
    lead, _, cell = row["reason"].rpartition(";")
    assert lead in ("", "a")
    assert cell.startswith("'")
    assert read_jsonl(tmp_path)[0]["reason"] == row["reason"]


def test_each_warning_is_neutralised(tmp_path: Path) -> None:
    write(tmp_path, {"warnings": ["=1", "fine", "x;@y"]})
    assert read_csv(tmp_path)[0]["warnings"] == "'=1;fine;x,@y"


def test_text_that_is_no_formula_stays(tmp_path: Path) -> None:
    text = 'value: 3 - 4 = -1, a@b; it\'s "so"'
    write(tmp_path, {"reason": text})
    assert read_csv(tmp_path)[0]["reason"] == text


def test_text_becomes_one_line_of_ascii(tmp_path: Path) -> None:
    write(tmp_path, {"reason": "a\r\nb\tc\0d\x7fe Größe \u2028\udcff\uff1d"})
    line = (tmp_path / "report.csv").read_bytes().splitlines()[1]
    assert line == rb",a  b c d e Gr\xf6\xdfe \u2028\udcff\uff1d,,"


def test_a_shard_and_its_positions_come_last() -> None:
    assert name_columns(["a"], uids=True, sharded=True) == (*name_columns(["a"], uids=True), "shard", "position")


def test_a_row_of_another_report_is_copied_as_it_is(tmp_path: Path) -> None:
    with Report(tmp_path / "one", ["path", "reason", "area"]) as report:
        cells = report.write({"path": "%3Da", "reason": "=1;@2", "area": 1 / 3})
    with Report(tmp_path / "two", ["path", "reason", "area"]) as report:
        report.copy(cells)
    for name in ("report.csv", "report.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_an_unknown_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="name"):
        write(tmp_path, {"path": "a", "name": "b"})


def test_nothing_is_seen_before_the_end(tmp_path: Path) -> None:
    with Report(tmp_path / "new", COLUMNS) as report:
        report.write({"path": "a"})
        assert not {"report.csv", "report.jsonl"} & set(names(tmp_path / "new"))
    assert report.changed
    assert names(tmp_path / "new") == ["report.csv", "report.jsonl"]


def test_the_same_report_is_not_touched(tmp_path: Path) -> None:
    assert write(tmp_path, {"path": "a"})
    before = [(path.stat().st_ino, path.stat().st_mtime_ns) for path in sorted(tmp_path.iterdir())]
    assert not write(tmp_path, {"path": "a"})
    assert [(path.stat().st_ino, path.stat().st_mtime_ns) for path in sorted(tmp_path.iterdir())] == before


@pytest.mark.parametrize("rows", [[], [{"path": "b"}], [{"path": "a"}, {"path": "b"}]])
def test_another_report_replaces_it(tmp_path: Path, rows: list[dict[str, str]]) -> None:
    write(tmp_path, {"path": "a"})
    assert write(tmp_path, *rows)
    assert [row["path"] for row in read_csv(tmp_path)] == [row["path"] for row in read_jsonl(tmp_path)]
    assert len(read_csv(tmp_path)) == len(rows)


def test_a_table_that_was_lost_comes_back_alone(tmp_path: Path) -> None:
    write(tmp_path, {"path": "a"})
    inode = (tmp_path / "report.csv").stat().st_ino
    (tmp_path / "report.jsonl").unlink()
    assert write(tmp_path, {"path": "a"})
    assert (tmp_path / "report.csv").stat().st_ino == inode
    assert read_jsonl(tmp_path)[0]["path"] == "a"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError("elsewhere"), RuntimeError])
def test_an_error_in_between_leaves_the_old_report(tmp_path: Path, error: Any) -> None:
    write(tmp_path, {"path": "a"})

    def fail() -> None:
        with Report(tmp_path, COLUMNS) as report:
            report.write({"path": "b"})
            raise error

    with pytest.raises(error if isinstance(error, type) else type(error)) as raised:
        fail()
    assert not isinstance(raised.value, StorageError)
    assert read_csv(tmp_path)[0]["path"] == read_jsonl(tmp_path)[0]["path"] == "a"
    assert names(tmp_path) == ["report.csv", "report.jsonl"]


@pytest.mark.parametrize("rows", [10_000, 660])
def test_a_full_disk_leaves_the_old_report(tmp_path: Path, small_files: None, rows: int) -> None:
    """10 000 rows fill the disk while they are written; of 660 rows, only the last rows of one table do not fit."""
    write(tmp_path, {"path": "a"})
    with pytest.raises(StorageError, match=r"report\.(csv|jsonl): could not be written: File too large"):
        write(tmp_path, *({"path": f"{number:090}"} for number in range(rows)))
    assert read_csv(tmp_path) == [{"path": "a", "reason": "", "warnings": "", "value": ""}]
    assert len(read_jsonl(tmp_path)) == 1
    assert names(tmp_path) == ["report.csv", "report.jsonl"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/report\.csv"):
        write(tmp_path / "file")


def test_a_table_in_whose_place_a_folder_stands(tmp_path: Path) -> None:
    (tmp_path / "report.csv").mkdir()
    with pytest.raises(StorageError, match=r"report\.csv: could not be written"):
        write(tmp_path, {"path": "a"})
    assert names(tmp_path) == ["report.csv"]


def test_rows_are_not_kept_in_memory(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        with Report(tmp_path, COLUMNS) as report:
            for number in range(10_000):
                report.write({"path": f"{number:090}"})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200_000
