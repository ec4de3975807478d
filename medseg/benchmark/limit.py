"""The limit: what the machine reaches in a large matrix product, the best that any convolution could hope for."""

import time
from collections.abc import Iterator, Mapping

import torch

from medseg.benchmark.alternation import Times, Turn, alternate, synchronize, timed
from medseg.benchmark.result import Comparison, Row, find_limit
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


class Products:
    """A product in each precision: whichever turns out fastest is the limit of those who take turns with them."""

    def __init__(self, device: torch.device, seconds: float, suffix: str = " product") -> None:
        """Their names are the precision's and `suffix`."""
        self._products = {f"{name}{suffix}": Product(name, device, seconds) for name in _DTYPES}
        self.turns: Mapping[str, Turn] = {name: product.turn for name, product in self._products.items()}
        self.gflop = max(product.gflop for product in self._products.values())
        """The work of a turn of the fastest."""

    def describe(self, times: Mapping[str, Times]) -> tuple[Row, ...]:
        """A row each."""
        products = self._products.items()
        return tuple(Row(name, times[name], own.gflop, details={"size": own.size}) for name, own in products)


def measure_limit(subject: Subject) -> Iterator[Comparison]:
    """The product in fp32 and bf16."""
    settings = subject.settings
    products = Products(subject.device, settings.product_seconds, suffix="")
    rows = products.describe(alternate(products.turns, settings.turns, settings.seconds))
    yield Comparison("limit", "matrix product", rows, "fp32", find_limit(rows), "product", rows)


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
