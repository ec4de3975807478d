"""Export a model as a program that runs without medseg. Research use only. Not for clinical use.

usage: medseg export model=M export.format=onnx|openvino|torch|bundle [output.dir=OUT]
       In the repository, python -m pipelines.export takes the same arguments.

The program contains preprocessing, network and thresholds: modality values of images of any size go in, masks of the
same size come out. The command runs the program on synthetic radiographs, and keeps it only if the Dice between its
masks and those of medseg is at least 0.99. OUT then has the program, card.md, which says how to use it, and
radiograph.py, which reads DICOM files for it. A MONAI bundle has these in its own folders.
ONNX and OpenVINO need an extra: pip install 'medseg[onnx]' or 'medseg[onnx,openvino]'.
Exit code 0: exported; 1: failed, or the masks differ; 2: bad configuration or model; 130, 143: stopped by a signal.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medseg.config import Section, parse_args
from medseg.export.config import ExportConfig
from medseg.inference.config import Addresses
from medseg.output.config import OutputConfig
from medseg.tracking.config import StoreConfig

if TYPE_CHECKING:
    from medseg.export.export import Exported


class ExportOutputConfig(OutputConfig):
    """Where the program is written."""

    dir: Path = Path("output/export")
    """Folder for the exported program. Only one process at a time may write into it."""


class ExportModelConfig(Section):
    """One export."""

    model: Addresses
    """Model, or list of models for an ensemble: files, folders or MLflow addresses."""

    export: ExportConfig = ExportConfig()
    tracking: StoreConfig = StoreConfig()
    output: ExportOutputConfig = ExportOutputConfig()


def main(argv: Sequence[str] | None = None) -> None:
    """Export a model, and print where it is."""
    from medseg.notice import RESEARCH_USE

    config = parse_args(ExportModelConfig, argv)
    exported = run(config)
    print(
        f"The lowest Dice between its masks and those of medseg is {exported.dice:.5f} on synthetic radiographs.\n"
        f"program: {exported.path}\n{RESEARCH_USE}"
    )


def run(config: ExportModelConfig) -> "Exported":
    """Write the program. Raises `MedsegError`."""
    from medseg.export.export import export_model
    from medseg.inference.models import load_models
    from medseg.output.folder import claim_folder

    model = load_models(config.model, config.tracking)
    with claim_folder(config.output.dir) as folder:
        return export_model(model, config.export, folder)
