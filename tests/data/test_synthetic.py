import pytest

from medseg.data.cases import find_cases
from medseg.data.config import DataConfig
from medseg.data.synthetic import find_data
from medseg.phantom.config import PhantomConfig


def test_own_data_are_taken_as_they_are(tmp_path):
    data = DataConfig(root=tmp_path)
    assert find_data(data, PhantomConfig(), tmp_path / "out") is data
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "classes"), [("chest", {"clavicles", "heart", "lungs"}), ("darken", {"red", "green", "blue"})]
)
def test_synthetic_set_is_written_once_and_readable(tmp_path, kind, classes):
    phantom = PhantomConfig(kind=kind, num_cases=2, size=64)
    data = find_data(DataConfig(missing="ignore", color="rgb" if kind == "darken" else "grey"), phantom, tmp_path)
    assert data.missing == "ignore"
    found = find_cases(data)
    assert len(found.cases) == 2
    assert set(found.classes) == classes
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert find_data(DataConfig(), phantom, tmp_path).root == data.root
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times
