"""The settings of what a command writes."""

from pathlib import Path

from medseg.config import Section


class OutputConfig(Section):
    """Where results are written."""

    dir: Path = Path("output")
    """The folder of this command's results; one process at a time writes into it."""
