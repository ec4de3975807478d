import pyarrow
import pyarrow.parquet
import pytest

from medseg.errors import DataError
from medseg.objects.manifest import check_manifest, read_paths

PATHS = ["b.png", "s3://bucket/ä ;.dcm", "", "a,b.png"]


@pytest.fixture(params=["csv", "parquet"])
def manifest(request, tmp_path):
    path = tmp_path / f"list.{request.param}"
    if request.param == "csv":
        path.write_text('\ufeffnumber,path\n1,b.png\n2,s3://bucket/ä ;.dcm\n3\n\n4,"a,b.png"\n')
    else:
        table = pyarrow.table({"number": [1, 2, 3, 4], "path": [PATHS[0], PATHS[1], None, PATHS[3]]})
        pyarrow.parquet.write_table(table, path)
    return path


def test_paths_come_in_the_order_of_the_rows(manifest):
    check_manifest(manifest)
    assert list(read_paths(manifest)) == PATHS


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_manifest_without_the_column_names_those_it_has(ending, tmp_path):
    path = tmp_path / f"list.{ending}"
    if ending == "csv":
        path.write_text("image,mask\na,b\n")
    else:
        pyarrow.parquet.write_table(pyarrow.table({"image": ["a"], "mask": ["b"]}), path)
    with pytest.raises(DataError, match="has no column path, only image, mask"):
        check_manifest(path)


def test_an_empty_file_has_no_column(tmp_path):
    (tmp_path / "list.csv").touch()
    with pytest.raises(DataError, match="has no column path, only none"):
        check_manifest(tmp_path / "list.csv")


def test_damaged_manifests_are_told(tmp_path):
    (tmp_path / "list.parquet").write_bytes(b"PAR1 not quite")
    with pytest.raises(DataError, match="is not a Parquet file"):
        check_manifest(tmp_path / "list.parquet")
    (tmp_path / "list.csv").write_text("path\n" + "x" * 200_000)
    with pytest.raises(DataError, match="line 2 is not CSV"):
        list(read_paths(tmp_path / "list.csv"))


def test_the_column_must_be_text(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"path": [1]}), tmp_path / "list.parquet")
    with pytest.raises(DataError, match="has the type int64"):
        check_manifest(tmp_path / "list.parquet")


def test_a_missing_manifest_is_told(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read \(No such file or directory\)"):
        check_manifest(tmp_path / "list.csv")


def test_names_that_are_not_utf_8_stay(tmp_path):
    (tmp_path / "list.csv").write_bytes(b"path\n\xff.png\n")
    assert list(read_paths(tmp_path / "list.csv")) == ["\udcff.png"]
