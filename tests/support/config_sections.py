"""A made-up command's configuration."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from medseg.config import ExistingPath, Section


class Data(Section):
    """What is read."""

    root: ExistingPath | None = None
    """Where the data lie."""

    classes: tuple[Annotated[str, Field(pattern="^[a-z0-9]+$")], ...] | None = None
    """Names of classes."""

    folds: Annotated[int, Field(ge=2, le=100)] | None = None
    """Number of folds."""

    share: tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]] = (0.5, 0.5)
    """Two shares."""


class Optim(Section):
    """How it learns."""

    rate: PositiveFloat = 1e-3
    """The rate."""

    resume: bool | Path = False
    """Go on, or from a file."""

    threshold: Annotated[float, Field(gt=0, lt=1)] | Literal["best"] = 0.5
    """A number or best."""

    kind: Literal["adam", "sgd"] = "adam"
    """Which one."""

    note: str | None = None
    """Anything."""


class Job(Section):
    """A job."""

    seed: int = 0
    """Decides all."""

    steps: PositiveInt = 10
    """How many."""

    data: Data = Data()
    optim: Optim = Optim()


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)
