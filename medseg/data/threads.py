"""Reading of several files at once in threads; threads are enough, since decoding releases the GIL."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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


def map_ahead(call: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """Yield `call(item)` for each item in order, for calls that wait. With one thread, it is this one.

    Only a few items are computed ahead, so `items` may have any length.
    """
    if threads == 1:
        yield from map(call, items)
        return
    begun: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                begun.append(pool.submit(call, item))
                if len(begun) > 2 * threads:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
