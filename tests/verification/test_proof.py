import json
from pathlib import Path
from typing import Any

import pytest

from medseg.config import Section
from medseg.data.config import CasesConfig
from medseg.errors import ConfigError
from medseg.receipt.receipt import Receipt, build_receipt
from medseg.verification.item import Missing
from medseg.verification.proof import Proof, read_proof, read_recorded


class Config(Section):
    data: CasesConfig


def write(folder: Path, content: Any, name: str = "summary.json") -> Path:
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder / name


@pytest.fixture
def receipt() -> Receipt:
    return build_receipt("evaluation", configuration="c")


def test_a_receipt_is_found_in_a_file_or_its_folder(tmp_path: Path, receipt: Receipt) -> None:
    path = write(tmp_path, {"receipt": receipt.to_json()}, "metrics.json")
    assert read_proof(tmp_path) == read_proof(path)
    assert (read_proof(path).receipt, read_proof(path).folder) == (receipt, tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "its receipt cannot be read"),
        ("[]", "has no receipt"),
        ({"dice": 1}, "has no receipt"),
        ({"receipt": {"format": 9}}, "its receipt cannot be read (ValueError: format 9)"),
        ({"receipt": 3}, "its receipt cannot be read"),
    ],
)
def test_a_file_without_a_receipt_is_one_clear_error(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_proof(write(tmp_path, content))
    assert said in str(caught.value)
    assert str(tmp_path / "summary.json") in str(caught.value)


def test_a_folder_without_a_result_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has neither summary.json nor metrics.json"):
        read_proof(tmp_path)


def test_data_are_found_where_they_were_or_where_they_are_now(tmp_path: Path, receipt: Receipt) -> None:
    proof = Proof(tmp_path / "metrics.json", receipt, {})
    with pytest.raises(Missing, match=r"config.yaml: No such file"):
        read_recorded(proof, None)
    write(tmp_path, "data: {root: /no/such, invert: true}", "config.yaml")
    recorded = read_recorded(proof, None)
    with pytest.raises(Missing, match=r"data.root: /no/such: no such file or folder. Give its place with data=DIR"):
        recorded.find_place()
    assert recorded.build(Config).data.invert  # the other settings are known all the same
    moved = read_recorded(proof, tmp_path)
    assert moved.find_place() == moved.build(Config).data.root == tmp_path
    assert not moved.build(Config, {"data.invert": False}).data.invert
    write(tmp_path, "data: 3", "config.yaml")
    with pytest.raises(Missing, match=r"do not name data.root"):
        read_recorded(proof, None)


def test_hashed_reports_hide_the_folder_of_the_images(tmp_path: Path) -> None:
    receipt = build_receipt("prediction", configuration="c")
    config = {"input": {"dir": "0123456789abcdef"}, "report": {"paths": "hashed"}}
    proof = Proof(tmp_path / "summary.json", receipt, {"config": config})
    with pytest.raises(Missing, match=r"report.paths=hashed hides the folder of the images. Give its place"):
        read_recorded(proof, None).find_place()
    assert read_recorded(proof, tmp_path).find_place() == tmp_path
