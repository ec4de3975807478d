"""Convert a data set to another format of masks or annotations. Research use only. Not for clinical use.

usage: medseg convert data.root=FROM output.dir=TO output.format=FORMAT [section.key=value ...]
       In the repository, python -m pipelines.convert takes the same arguments.

The command reads a data set in any layout that the train command reads. It writes the images as PNG files to TO/images,
and their masks in the format that you name: a folder per class, or files of an annotation program. Drawn again, the
outlines give the same masks, pixel for pixel. For outlines, masks of another size than their image are resized first.
The tags of DICOM files are not carried over. With output.format=folder, the file TO/cases.csv has the splits, and
patients as numbers.
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
    """Data set: a folder with images/ and masks/, a CSV manifest, a dataset.json, annotation files, or a zip or tar."""


class ConvertOutputConfig(OutputConfig):
    """The new data set."""

    dir: Path = Path("output/convert")
    """Folder for the new data set. It must be new or empty, and outside of data.root."""

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


def run(config: ConvertConfig) -> "list[Written]":
    """Write the data set in the new format; nothing is left if a case cannot be read. Raises `MedsegError`.

    Folders of masks have no place for the mark of a model, so masks that it drew are refused in this format.
    """
    from medseg.data.case import list_files, list_folders
    from medseg.data.cases import find_cases, refuse_drawn
    from medseg.data.findings import Findings
    from medseg.data.layouts.archive import open_data
    from medseg.errors import ConfigError
    from medseg.output.data_set import write_data_set
    from medseg.output.folder import claim_folder

    if config.data.color == "rgb":
        raise ConfigError("data.color=rgb: a data set of RGB targets has no masks to convert")
    folder, source = config.output.dir.resolve(), config.data.root.resolve()
    if folder.is_relative_to(source) or (folder.is_dir() and list_files(folder) + list_folders(folder)):
        raise ConfigError(
            f"output.dir: {config.output.dir}: lies in data.root, or already has files. Choose a new folder"
        )
    with open_data(config.data) as data:
        found, findings = find_cases(data), Findings(config.data.root)
        if config.output.format == "folder":
            refuse_drawn(found.cases, data.root)
        with claim_folder(config.output.dir) as claimed:
            written = write_data_set(claimed, found, data, config.output.format, findings)
    findings.check()
    return written


def _describe(written: "Sequence[Written]", config: ConvertConfig) -> str:
    """What was written, and the warnings."""
    from medseg.data.findings import name_some
    from medseg.output.data_set import FOLDER

    place = config.output.dir / "cases.csv" if config.output.format == FOLDER else config.output.dir
    lines = [
        f"{len(written)} images are written, with their masks in the format {config.output.format}.",
        f"To use them, set data.root={place}",
    ]
    for remark in dict.fromkeys(remark for each in written for remark in each.remarks):
        names = [each.image.stem for each in written if remark in each.remarks]
        lines.append(f"warning: {len(names)} images ({name_some(names)}): {remark}")
    return "\n".join(lines)
