"""Errors that a user can cause, each with the exit code of the command that stops on it.

MedsegError
├── ConfigError        2   a key, a value or a configuration file is wrong
├── DataError          2   a data set cannot be used as it is
│   ├── RadiographError    a file cannot be read; the message names the file and the reason
│   │   └── ArchiveError   a zip or tar archive, or a file in it, cannot be read
│   └── IncomparableError  two models share no case or no class
├── CheckpointError    2   a model file is damaged or does not fit
├── OutputBusyError    2   another process writes into the same output folder or MLflow run
├── StorageError       1   a file could not be written (disk full, no permission)
├── WorkerError        1   the processes that read files cannot be started
├── ProcessError       1   another process of a training has ended, or does not answer
├── TrainingError      1   training failed after it had started (the loss became NaN)
├── QuantizationError  1   a network loses too much accuracy in int8
└── ExportError        1   an exported program gives other masks than medseg
"""


class MedsegError(Exception):
    """An error that a user can fix. The message says what, where, the value found and, if known, the remedy."""

    exit_code = 2
    told: bool | None = None
    """Whether another process of the same command tells the user. None: the first process tells."""


class ConfigError(MedsegError):
    """A key, a value or a configuration file is wrong."""


class DataError(MedsegError):
    """A data set cannot be used as it is."""


class RadiographError(DataError):
    """One file cannot be read as a radiograph or mask.

    `reason` is the reason without the name of the file. `code` is one word for the reason; reports group files by it.
    """

    def __init__(self, reason: str, code: str = "damaged", path: str | None = None) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.reason = reason
        self.code = code


class ArchiveError(RadiographError):
    """A zip or tar archive, or a file in it, cannot be read."""

    def __init__(self, reason: str, path: str | None = None) -> None:
        super().__init__(reason, "archive", path)


class IncomparableError(DataError):
    """Two models share no case or no class."""


class CheckpointError(MedsegError):
    """A model file is damaged or does not fit."""


class OutputBusyError(MedsegError):
    """Another process writes into the same output folder or MLflow run."""


class StorageError(MedsegError):
    """A file could not be written."""

    exit_code = 1


class WorkerError(MedsegError):
    """The processes that read files cannot be started."""

    exit_code = 1


class ProcessError(MedsegError):
    """Another process of a training has ended, or does not answer."""

    exit_code = 1


class TrainingError(MedsegError):
    """Training failed after it had started."""

    exit_code = 1


class QuantizationError(MedsegError):
    """A network loses too much accuracy in int8."""

    exit_code = 1


class ExportError(MedsegError):
    """An exported program gives other masks than medseg."""

    exit_code = 1
