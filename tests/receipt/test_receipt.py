import json
from dataclasses import replace

import pytest

from medseg.receipt.receipt import Receipt, build_receipt, describe_code


def test_a_receipt_is_read_as_it_was_written() -> None:
    receipt = build_receipt("export", configuration="c" * 64, weights="w" * 64, backend="torch/cpu/fp32")
    written = json.loads(json.dumps(receipt.to_json()))
    assert Receipt.from_json(written) == receipt
    assert (written["kind"], written["data"], written["weights"]) == ("export", None, "w" * 64)
    with pytest.raises(ValueError, match="format 2"):
        Receipt.from_json({**written, "format": 2})
    with pytest.raises(KeyError, match="source"):
        Receipt.from_json({**written, "code": {"version": "0.1.0", "commit": None, "dirty": None}})


def test_only_the_receipt_of_a_shard_names_one() -> None:
    whole = build_receipt("prediction", configuration="c" * 64)
    shard = replace(whole, shard="1/2")
    assert "shard" not in whole.to_json()
    assert shard.to_json()["shard"] == "1/2"
    assert Receipt.from_json(json.loads(json.dumps(shard.to_json()))) == shard


def test_code_is_the_same_if_its_files_are() -> None:
    code = describe_code()
    assert len(code.source) == 64
    assert replace(code, commit="0" * 40, dirty=True).compare(code) == []
    (difference,) = replace(code, version="0.0.1", commit="0" * 40, source="f" * 64).compare(code)
    assert "medseg 0.0.1 at commit 000000000000 then" in difference
