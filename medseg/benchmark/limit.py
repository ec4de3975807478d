"""The limit: the rate of a large matrix product on this machine, an upper bound for any convolution."""

from collections.abc import Iterator
from functools import partial

import torch

from medseg.benchmark.bench import Bench
from medseg.benchmark.contest import Contest, Contestant, compete, timed

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_SMALLEST, _LARGEST = 256, 32768


def measure_limit(bench: Bench) -> Iterator[Contest]:
    """The contest of matrix products in fp32 and bf16."""
    found = compete(enter_products(bench, ""), bench.settings.turns, bench.settings.seconds)
    yield Contest("limit", "matrix product", found, "fp32", found, "product")


def enter_products(bench: Bench, suffix: str = " product") -> list[Contestant]:
    """A product of two square matrices in each precision; the fastest is the limit of its contest."""
    seconds = bench.settings.product_seconds
    return [enter_product(name, bench.device, seconds, suffix) for name in _DTYPES]


def enter_product(precision: str, device: torch.device, seconds: float, suffix: str = "") -> Contestant:
    """A matrix product whose size is doubled until it takes at least half of `seconds`."""
    size, taken, dtype = _SMALLEST // 2, 0.0, _DTYPES[precision]
    while taken < seconds / 2 and size < _LARGEST:
        size *= 2
        left, right = (torch.randn(size, size).to(device, dtype) for _ in range(2))
        turn = timed(partial(_multiply, left, right), device)
        turn()  # warm-up
        taken = turn()
    return Contestant(f"{precision}{suffix}", 2 * size**3 / 1e9, turn=turn, tell=lambda _: {"size": size})


def _multiply(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return left @ right.T  # slightly faster than without the transpose
