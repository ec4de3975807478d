"""Reading of several files at once in threads; threads are enough, since decoding releases the GIL."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from medseg.hardware.cores import count_cores

T = TypeVar("T")
R = TypeVar("R")


def map_in_threads(read: Callable[[T], R], items: Sequence[T], num_processes: int = 1) -> Iterator[R]:
    """Yield `read(item)` for each item in order, on all CPU cores, which `num_processes` processes share.

    After an error no further item is started.
    """
    with ThreadPoolExecutor(max(1, count_cores() // num_processes)) as pool:
        try:
            yield from pool.map(read, items)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
