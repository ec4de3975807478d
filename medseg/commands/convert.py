"""Convert a data set to another format of masks or annotations. Research use only. Not for clinical use.

usage: medseg convert data.root=FROM output.dir=TO output.format=FORMAT [section.key=value ...]
       In the repository, python -m pipelines.convert takes the same arguments.

The command reads a data set in any layout that the train command reads. It writes the images as PNG files to TO/images,
and their masks in the format that you name: a folder per class, or files of a program for annotation. Outlines have the
exact pixels of the masks. The tags of DICOM files are not carried over. Patients become numbers in cases.csv, which
output.format=folder writes.
Exit code 0: done; 1: failed; 2: bad configuration or data; 130, 143: stopped by a signal.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from medseg.config import ExistingPath, Section, parse_args
from medseg.data.config import DataSetConfig
from medseg.output.config import OutputConfig

if TYPE_CHECKING:
    from medseg.output.data_set import Written


class ConvertedDataConfig(DataSetConfig):
    """The data set to be converted."""

    root: ExistingPath
    """Data set: a folder with images/ and masks/, a CSV manifest, a dataset.json, or annotation files with images."""


class ConvertOutputConfig(OutputConfig):
    """The new data set."""

    dir: Path = Path("output/convert")
    """Folder for the new data set. Its folder images/ must be new or empty."""

    format: Literal["folder", "coco", "labelme", "cvat", "via", "yolo", "label_studio", "rle_csv"]
    """Format of the masks. folder: masks/<class>/<id>.png. coco: COCO instances. labelme: a JSON file of LabelMe per
    image. cvat: CVAT for images 1.1. via: VGG Image Annotator 2. yolo: YOLO segmentation. label_studio: tasks of Label
    Studio. rle_csv: run lengths in a CSV file."""


class ConvertConfig(Section):
    """One conversion of a data set."""

    data: ConvertedDataConfig
    output: ConvertOutputConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Convert a data set, and print what a person should know of it."""
    config = parse_args(ConvertConfig, argv)
    print(_describe(run(config), config))
    return 0


def run(config: ConvertConfig) -> "Written":
    """Write the data set in the new format. Raises `MedsegError`."""
    from medseg.data.cases import find_cases
    from medseg.data.findings import Findings
    from medseg.errors import ConfigError
    from medseg.output.data_set import write_data_set
    from medseg.output.folder import claim_folder

    if config.data.color == "rgb":
        raise ConfigError("data.color=rgb: a data set of RGB targets has no masks to convert")
    found, findings = find_cases(config.data), Findings(config.data.root)
    with claim_folder(config.output.dir) as folder:
        images = folder / "images"
        if images.is_dir() and any(images.iterdir()):
            raise ConfigError(f"output.dir: {images} already has files. Choose another output.dir")
        written = write_data_set(folder, found, config.data, config.output.format, findings)
    findings.check()
    return written


def _describe(written: "Written", config: ConvertConfig) -> str:
    """What was written, and the warnings."""
    lines = [f"{len(written.annotated)} images with masks in the format {config.output.format}: {config.output.dir}"]
    if written.burned_in:
        lines.append(
            f"warning: {_name(written.burned_in)}: BurnedInAnnotation is YES or absent, so the pixels may show a "
            "patient's name. Look at the PNG files before you pass them on"
        )
    if written.rounded:
        lines.append(
            f"note: {_name(written.rounded)}: pixel values are not whole numbers from 0 to 65535, so they were scaled "
            "to 16 bits"
        )
    if written.ignored:
        lines.append(f"warning: {_name(written.ignored)}: ignored pixels have become background")
    if written.incomplete and config.output.format != "folder":
        lines.append(
            f"warning: {_name(written.incomplete)}: some classes have no mask. In an annotation file, this means that "
            "the image does not show them"
        )
    return "\n".join(lines)


def _name(cases: Sequence[str]) -> str:
    shown = ", ".join(cases[:3]) + (f" and {len(cases) - 3} more" if len(cases) > 3 else "")
    return f"{len(cases)} images ({shown})"
