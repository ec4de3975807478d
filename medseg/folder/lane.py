"""A bounded queue from one thread to another that either thread can leave."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Self, TypeVar

T = TypeVar("T")

_MAX_WAITING = 1000


class Lane(Generic[T]):
    """Runs `work` in a thread of its own. Iterating gives the items that it puts. A context manager, which ends it."""

    def __init__(self, work: Callable[["Lane[T]"], None], wake: Callable[[], None]) -> None:
        """`wake` must interrupt `work` if it waits for something else, so that it checks `abandoned`."""
        self.abandoned = False
        """Whether iteration has ended. Then `work` must return."""
        self._wake = wake
        self._items: list[T] = []
        self._changed = threading.Condition()
        self._threads = ThreadPoolExecutor(1)
        self._working = self._threads.submit(work, self)
        self._working.add_done_callback(lambda _: self._tell())

    def put(self, item: T) -> None:
        """Add `item` to the queue. While the queue is full and not abandoned, this waits."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < _MAX_WAITING or self.abandoned)
            self._items.append(item)
            if len(self._items) == 1:
                self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        """The items in their order, until `work` has returned. An error of `work` is raised after its last item."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._working.done())
                if not self._items:
                    return self._working.result()
                items, self._items = self._items, []  # all at once: a change of threads takes longer than an item
                self._changed.notify_all()
            yield from items

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
