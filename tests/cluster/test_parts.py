import json

import pyarrow.parquet
import pytest

from medseg.cluster import parts
from medseg.cluster.parts import write_parts
from medseg.output.report import Report, name_columns

COLUMNS = name_columns(("heart",), uids=False, reduction=True)


@pytest.fixture
def write(tmp_path):
    def write(number):
        with Report(tmp_path, COLUMNS) as report:
            for index in range(number):
                report.write({"path": f"{index}.png", "rows": 8, "area_mm2_heart": 2.0, "lossy": True, "seconds": 1.5})
        write_parts(tmp_path)
        return sorted((tmp_path / "results").iterdir())

    return write


def test_rows_are_those_of_the_report(write, tmp_path):
    (path,) = write(3)
    table = pyarrow.parquet.read_table(path)
    assert table.to_pylist() == list(map(json.loads, (tmp_path / "report.jsonl").read_text().splitlines()))
    assert table.column_names == list(COLUMNS)


def test_types_do_not_depend_on_the_rows(write):
    types = {field.name: str(field.type) for field in pyarrow.parquet.read_schema(write(1)[0])}
    assert types["view"] == types["path"] == "string"
    assert types["rows"] == types["reduction"] == types["area_px_heart"] == "int64"
    assert types["area_mm2_heart"] == types["ctr"] == types["spacing_row_mm"] == "double"
    assert types["lossy"] == "bool"


def test_parts_have_few_rows_and_none_is_left_of_a_longer_report(write, monkeypatch):
    monkeypatch.setattr(parts, "_ROWS", 2)
    assert [path.name for path in write(5)] == [f"part-0000{index}.parquet" for index in range(3)]
    assert [pyarrow.parquet.read_metadata(path).num_rows for path in write(3)] == [2, 1]
    assert write(0) == []
