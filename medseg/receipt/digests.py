"""Digests (SHA-256) of data, settings, weights and source files, as 64 hex digits."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

_AT_ONCE = 64
_WIDTH = 1024  # 16-bit sums: LtHash16 of the paper, which is as hard to forge as a key of 200 bits


class Fold:
    """One digest of many texts, in any order. Texts can be added one at a time, and the memory does not grow.

    Nobody can tell from the digest whether a certain text is among several others. This is LtHash: Bellare and
    Micciancio, EUROCRYPT 1997; Lewi et al., IACR ePrint 2019/227.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._sums, self.number = np.zeros(_WIDTH, np.uint16), 0
        self._waiting: list[bytes] = []  # adding several at once takes less time
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Add one text. A text that is added twice counts twice."""
        self._waiting.append(hashlib.shake_128(text.encode("utf-8", "surrogatepass")).digest(2 * _WIDTH))
        self.number += 1
        if len(self._waiting) == _AT_ONCE:
            self._sum_up()

    def join(self, other: "Fold") -> None:
        """Add all texts of `other`."""
        other._sum_up()
        self._sums += other._sums
        self.number += other.number

    def _sum_up(self) -> None:
        drawn = np.frombuffer(b"".join(self._waiting), "<u2").reshape(-1, _WIDTH)
        self._sums += drawn.sum(axis=0, dtype=np.uint16)
        self._waiting.clear()

    def digest(self) -> str:
        """The digest of all texts that were added so far."""
        self._sum_up()
        return hashlib.sha256(b"%d:" % self.number + self._sums.astype("<u2").tobytes()).hexdigest()


def digest_values(values: Mapping[str, Any], without: tuple[str, ...] = ()) -> str:
    """The digest of plain values by name. Names that start with one of `without` are left out."""
    kept = {name: value for name, value in values.items() if not name.startswith(without or ("\0",))}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def digest_weights(networks: Sequence[Mapping[str, "Tensor"]]) -> str:
    """The digest of the tensors of a network by name, with types and shapes; of several networks, in any order.

    It does not depend on the file: a training that is repeated has another run ID in its model file.
    """
    digests = [_digest_tensors(weights) for weights in networks]
    return digests[0] if len(digests) == 1 else Fold(digests).digest()


def digest_file(path: Path) -> str:
    """The digest of the content of a file. Raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_files(root: Path, paths: Iterable[Path]) -> str:
    """The digest of files, each by its path below `root` and its content, in any order. Raises `OSError`."""
    return Fold(f"{path.relative_to(root).as_posix()} {digest_file(path)}" for path in paths).digest()


def digest_source(package: Path | None = None) -> str:
    """The digest of the Python files of a package (default: medseg), each by its path and its content."""
    package = Path(__file__).parents[1] if package is None else package
    return digest_files(package, package.rglob("*.py"))


def _digest_tensors(weights: Mapping[str, "Tensor"]) -> str:
    import torch

    whole = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        whole.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()
