"""One item of a receipt: the same, changed, or not to be checked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from medseg.errors import DataError, MedsegError, RadiographError

Verdict = Literal["same", "changed", "cannot be checked"]
_WIDTH = 14  # of the column with the names of items


@dataclass(frozen=True)
class Item:
    """What became of one item of a receipt."""

    name: str
    verdict: Verdict
    reason: str = ""

    def describe(self) -> str:
        """A line for the terminal."""
        reason = f": {self.reason}" if self.reason else ""
        return f"{self.name:{_WIDTH}} {self.verdict}{reason}"


class Missing(MedsegError):  # noqa: N818 -- not an error of the user: an item cannot be checked
    """A part that a check needs is not there. The message says which, and the remedy."""


def check_digest(name: str, then: str | None, find: Callable[[], str]) -> list[Item]:
    """The item `name`, whose digest was `then`; `find` gives the present one. Empty if the receipt has no such item.

    Data that cannot be used any more have changed. A part that is missing, an archive that cannot be read, and a file
    or folder that the system does not let us read cannot be checked.
    """
    if then is None:
        return []
    try:
        now = find()
    except DataError as error:
        return [Item(name, "cannot be checked" if _was_not_read(error) else "changed", _first_lines(error))]
    except (MedsegError, OSError) as error:
        return [Item(name, "cannot be checked", _first_lines(error))]
    return [Item(name, "same" if now == then else "changed")]


def check_differences(name: str, differences: Sequence[str]) -> Item:
    """The item `name` with these differences, each a phrase."""
    return Item(name, "changed" if differences else "same", "; ".join(differences))


def _was_not_read(error: DataError) -> bool:
    by_code = isinstance(error, RadiographError) and error.code in ("archive", "unreadable")
    return by_code or isinstance(error.__cause__, OSError)


def _first_lines(error: Exception) -> str:
    return " ".join(line.strip() for line in str(error).splitlines()[:3])
