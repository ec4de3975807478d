"""The settings of what a command writes."""

from pathlib import Path
from typing import Literal

from medseg.config import Section

Format = Literal["seg", "png", "nifti", "overlay"]
"""The output formats, each with an entry in `writers.py` and a folder of its name."""


class OutputConfig(Section):
    """Where results are written."""

    dir: Path = Path("output")
    """The folder of this command's results; one process at a time writes into it."""


class TrainOutputConfig(OutputConfig):
    """Where results are written."""

    dir: Path = Path("output/train_xray")
    """The folder of this command's results; one process at a time writes into it."""

    masks: bool = False
    """Also write the test cases' masks as PNG, 0 and 255, at the size of the references (the article's)."""


class PredictOutputConfig(OutputConfig):
    """What is written, and where."""

    dir: Path = Path("output/predict_dicom")
    """The folder of this command's results; one process at a time writes into it."""

    formats: tuple[Format, ...] = ("seg", "png")
    """DICOM SEG objects, masks as PNG (0, 255) or NIfTI (0, 1) for each class, pictures to look at."""

    burned_in: bool = False
    """Draw overlays of radiographs too whose BurnedInAnnotation is YES: their pixels may show a name."""


class ReportConfig(Section):
    """What the report says of where a file came from."""

    paths: Literal["relative", "hashed"] = "relative"
    """Paths below input.dir, or 16 hex digits of their SHA-256 where file names hold names."""

    uids: bool = False
    """Add Study, Series and SOP Instance UID, which link back to the archive."""
