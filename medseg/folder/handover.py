"""What the stages hand to each other, and what they need of the workers and of the network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from medseg.folder.examine import Examined
from medseg.folder.record import File, Record
from medseg.folder.walk import Entry


@dataclass
class Seconds:
    """The seconds that the parts of a run took."""

    start: float = 0.0
    """Time until the first image was ready for the network."""
    predict: float = 0.0
    """Time in the network."""
    waiting: float = 0.0
    """Time that the network waited for images between two steps."""
    decode: float = 0.0
    """Time of reading, summed over processes."""
    write: float = 0.0
    """Time of writing, summed over processes."""


@dataclass(frozen=True)
class Outcome:
    """The record of an entry, and whether this run has made it."""

    entry: Entry
    record: Record
    fresh: bool


@dataclass(frozen=True, eq=False)
class Read:
    """A file that is ready for the network.

    `image` is `(channel, rows, columns)`; with several machines, a reference to it.
    """

    file: File
    found: Examined
    image: Any


@dataclass(frozen=True, eq=False)
class Predicted:
    """A file that is ready to be written.

    `probabilities` are `(class, rows, columns)`; with several machines, a reference to them.
    """

    file: File
    found: Examined
    probabilities: Any


class Pool(Protocol):
    """The workers, as `pool.Workers` describes them. Those of several machines may also return `Gone`."""

    timeout_seconds: float
    memory_gib: float

    @property
    def number(self) -> int:
        """Number of processes."""

    def submit(self, tag: object, function: Callable[..., Any], *arguments: Any) -> None:
        """Run a function in a process."""

    def wait(self) -> tuple[Any, Any] | None:
        """The tag and the result of the next task that ends; None after `wake`."""

    def wake(self) -> None:
        """Make `wait` return."""


class Steps(Protocol):
    """A network that predicts steps, as `stages.Network` does."""

    def predict(self, step: Sequence[Read], /) -> list[Predicted]:
        """The files of a step with their probabilities."""
