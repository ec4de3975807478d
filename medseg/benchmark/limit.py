"""The limit: what the machine reaches in a large matrix product, the best that any convolution could hope for."""

import time
from collections.abc import Iterator

import torch

from medseg.benchmark.alternation import Turn, alternate, synchronize, timed
from medseg.benchmark.result import Comparison, Row
from medseg.benchmark.subject import Subject

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_SMALLEST, _LARGEST = 256, 32768


class Product:
    """A product of two square matrices that takes about `seconds`."""

    def __init__(self, precision: str, device: torch.device, seconds: float) -> None:
        self.size = _find_size(_DTYPES[precision], device, seconds)
        self.gflop = 2 * self.size**3 / 1e9
        left, right = (torch.randn(self.size, self.size).to(device, _DTYPES[precision]) for _ in range(2))
        self.turn: Turn = timed(lambda: left @ right.T, device)  # the faster way round, if by little


def measure_limit(subject: Subject) -> Iterator[Comparison]:
    """The product in fp32 and bf16."""
    settings = subject.settings
    products = {name: Product(name, subject.device, settings.product_seconds) for name in _DTYPES}
    times = alternate({name: product.turn for name, product in products.items()}, settings.turns, settings.seconds)
    rows = [Row(name, times[name], product.gflop, details={"size": product.size}) for name, product in products.items()]
    yield Comparison("limit", "matrix product", tuple(rows), "fp32", limit=rows[1], unit="product")


def _find_size(dtype: torch.dtype, device: torch.device, seconds: float) -> int:
    """Rows, doubled until a product takes at least half of `seconds`."""
    size = _SMALLEST
    while size < _LARGEST:
        matrix = torch.randn(size, size).to(device, dtype)
        taken = []
        for _ in range(2):  # the first is no measure
            start = time.perf_counter()
            matrix @ matrix
            synchronize(device)
            taken.append(time.perf_counter() - start)
        if taken[1] >= seconds / 2:
            break
        size *= 2
    return size
