"""The errors a user can cause, each with the exit code of the command that meets it.

MedsegError
├── ConfigError        2   a key, a value or a configuration file is wrong
├── DataError          2   a data set cannot be trained on as it stands
│   ├── RadiographError    one file cannot be read; the message names it and the reason
│   └── IncomparableError  two models share no case or no class
├── CheckpointError    2   a model file is damaged or does not fit
├── OutputBusyError    2   another process writes into the same output folder
├── StorageError       1   a file could not be written (disk full, no permission)
├── WorkerError        1   the processes that read files cannot be started
├── TrainingError      1   training failed under way (a loss that is not a number)
└── QuantizationError  1   a network loses too much in int8
"""


class MedsegError(Exception):
    """What a user can mend; the message says what, where, the value found and the remedy if one is known."""

    exit_code = 2


class ConfigError(MedsegError):
    """A key, a value or a configuration file is wrong."""


class DataError(MedsegError):
    """A data set cannot be trained on as it stands."""


class RadiographError(DataError):
    """One file cannot be read as a radiograph or mask.

    `reason` says why without the file's name; `code` is one word for it, as reports of many files group them.
    """

    def __init__(self, reason: str, code: str = "damaged", path: str | None = None) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.reason = reason
        self.code = code


class IncomparableError(DataError):
    """Two models share no case or no class."""


class CheckpointError(MedsegError):
    """A model file is damaged or does not fit."""


class OutputBusyError(MedsegError):
    """Another process writes into the same output folder."""


class StorageError(MedsegError):
    """A file could not be written."""

    exit_code = 1


class WorkerError(MedsegError):
    """The processes that read files cannot be started."""

    exit_code = 1


class TrainingError(MedsegError):
    """Training failed under way."""

    exit_code = 1


class QuantizationError(MedsegError):
    """A network loses too much in int8."""

    exit_code = 1
