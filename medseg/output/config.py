"""The settings of a command's output."""

from pathlib import Path
from typing import Literal

from medseg.config import Section

Format = Literal["seg", "png", "nifti", "overlay", "coco", "labelme", "cvat", "via", "label_studio"]
"""The output formats. Each has an entry in `writers.py` and an output folder of the same name."""
DRAWN: dict[Format, str] = {
    "coco": ".json",
    "labelme": ".json",
    "cvat": ".xml",
    "via": ".json",
    "label_studio": ".json",
}
"""The formats of annotation programs -> extension of their files, which contain the name of the image."""


class OutputConfig(Section):
    """Where results are written."""

    dir: Path = Path("output")
    """Folder for the results of this command. Only one process at a time may write into it."""


class TrainOutputConfig(OutputConfig):
    """Where results are written."""

    dir: Path = Path("output/train_xray")
    """Folder for the results of this command. Only one process at a time may write into it."""

    masks: bool = False
    """Also write the predicted masks of the test cases, as the article does: PNG files with the values 0 and 255, in
    the size of the reference masks."""


class PredictOutputConfig(OutputConfig):
    """Which results are written, and where."""

    dir: Path = Path("output/predict_dicom")
    """Folder for the results of this command. Only one process at a time may write into it."""

    formats: tuple[Format, ...] = ("seg", "png")
    """Output formats. seg: one DICOM Segmentation object for each image. png: one PNG mask (0, 255) for each class.
    nifti: one NIfTI mask (0, 1) for each class. overlay: the image with the masks drawn on it, for viewing. coco,
    labelme, cvat, via, label_studio: outlines to be corrected in that program, one file for each image."""

    burned_in: bool = False
    """Draw overlays even if the DICOM tag BurnedInAnnotation is YES. The pixels of such an image may show the name of
    the patient."""


class ReportConfig(Section):
    """How the report identifies the input files."""

    paths: Literal["relative", "hashed"] = "relative"
    """File paths in the report. relative: path below input.dir. hashed: 16 hex digits of the SHA-256 of the path; use
    it if file names contain patient names."""

    uids: bool = False
    """Add the Study, Series and SOP Instance UIDs to the report. They identify the image in the archive."""
