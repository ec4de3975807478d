import hashlib
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch

from medseg.receipt.digests import Fold, digest_file, digest_files, digest_source, digest_values, digest_weights


def test_a_fold_does_not_depend_on_the_order_but_on_every_text_and_its_number() -> None:
    assert len({Fold(order).digest() for order in permutations(["a", "b", "c"])}) == 1
    others = [[], ["a"], ["a", "b"], ["a", "b", "d"], ["a", "b", "c", "c"], ["ab", "c"], ["a", "b", "c"]]
    assert len({Fold(texts).digest() for texts in others}) == len(others)
    assert Fold(["a"] * 65536).digest() != Fold([]).digest()  # the sums are those of nothing, the number is not


def test_joined_folds_are_the_fold_of_all_texts() -> None:
    fold = Fold(["a", "b"])
    fold.join(Fold(["c"]))
    assert fold.digest() == Fold(["a", "b", "c"]).digest()


def test_a_fold_is_the_one_of_its_definition() -> None:
    sums = sum(np.frombuffer(hashlib.shake_128(t).digest(2048), "<u2").astype(int) for t in (b"x", b"y")) % 65536
    assert Fold(["y", "x"]).digest() == hashlib.sha256(b"2:" + sums.astype("<u2").tobytes()).hexdigest()


def test_values_are_compared_without_those_that_do_not_count() -> None:
    assert digest_values({"b": 1, "a": [2]}) == digest_values({"a": [2], "b": 1})
    assert digest_values({"a": 1, "output.dir": "x"}, ("output.",)) == digest_values({"a": 1})
    assert digest_values({"a": 1}) != digest_values({"a": 1.0})


def test_weights_are_the_same_in_any_file_and_differ_by_one_number() -> None:
    def weights(last: float, kind: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
        return {"bias": torch.tensor(3), "weight": torch.tensor([[1.0, 2.0], [3.0, last]], dtype=kind)}

    turned = {name: value.t().contiguous().t() for name, value in reversed(weights(4).items())}  # another memory layout
    assert digest_weights([weights(4)]) == digest_weights([turned])
    others = [weights(4), weights(4.0000005), weights(4, torch.bfloat16), {"bias": torch.tensor(3)}]
    assert len({digest_weights([each]) for each in others}) == len(others)
    assert digest_weights(others[:2]) == digest_weights(others[1::-1])


def test_files_are_told_apart_by_path_and_content(tmp_path: Path) -> None:
    paths = [tmp_path / "a.py", tmp_path / "b" / "c.py"]
    paths[1].parent.mkdir()
    for path in paths:
        path.write_bytes(b"same")
    before = digest_source(tmp_path)
    assert digest_files(tmp_path, reversed(paths)) == before
    assert digest_file(paths[0]) == hashlib.sha256(b"same").hexdigest()
    (tmp_path / "notes.txt").touch()
    assert digest_source(tmp_path) == before
    paths[1].rename(tmp_path / "b" / "d.py")
    assert digest_source(tmp_path) != before
    with pytest.raises(FileNotFoundError):
        digest_file(paths[1])
