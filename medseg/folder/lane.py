"""What one thread hands to another, through a bounded queue that both can leave."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Self, TypeVar

T = TypeVar("T")

_MAX_WAITING = 1000


class Lane(Generic[T]):
    """What `work` puts in a thread of its own, to be iterated over in this one. A context manager, which ends both."""

    def __init__(self, work: Callable[["Lane[T]"], None], wake: Callable[[], None]) -> None:
        """`wake` makes `work` look at `abandoned`, should it be waiting for something else."""
        self.abandoned = False
        """Whether nobody iterates any more: `work` is to return."""
        self._wake = wake
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._threads = ThreadPoolExecutor(1)
        self._working = self._threads.submit(work, self)
        self._working.add_done_callback(lambda _: self._tell())

    def put(self, item: T) -> None:
        """Hand on `item`; waits while too many are waiting and somebody iterates."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < _MAX_WAITING or self.abandoned)
            self._items.append(item)
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        """What was put, until `work` has returned. Raises what it raised, after what it had put."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._working.done())
                if not self._items:
                    return self._working.result()
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.abandoned = True
        self._tell()
        self._wake()
        self._threads.shutdown()

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()
