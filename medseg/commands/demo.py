"""Try everything on synthetic radiographs, in a few minutes. Research use only. Not for clinical use.

usage: medseg demo [demo.minutes=2] [output.dir=OUT]

The command draws synthetic chest radiographs (phantoms), trains a network on them, segments a folder of new phantoms
(DICOM files), and evaluates the masks. It needs no data, no internet and no GPU. The model works on phantoms only. No
model that was trained on patients comes with medseg.
Exit code 0: done; 1: failed; 2: bad configuration; 130, 143: stopped by a signal.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from medseg.config import Section, build_config, parse_args
from medseg.output.config import OutputConfig
from medseg.phantom.config import Side
from medseg.tracking.config import StoreConfig


class DemoOutputConfig(OutputConfig):
    """Where results are written."""

    dir: Path = Path("output/demo")
    """Folder for the results of this command. Only one process at a time may write into it."""


class DemonstrationConfig(Section):
    """Length of the demonstration, and numbers of images."""

    minutes: PositiveFloat = 2.0
    """Length of the training in minutes."""

    num_cases: Annotated[int, Field(ge=3)] = 60
    """Number of phantoms to train on."""

    num_new: PositiveInt = 12
    """Number of new phantoms that are segmented and used for the evaluation."""

    size: Side = 256
    """Rows and columns of a phantom."""

    seed: NonNegativeInt = 0
    """Seed of the phantoms and of the training."""


_NOTE = {"tracking.description": "Synthetic phantoms, not clinical. `medseg demo`."}


class DemoConfig(Section):
    """One demonstration."""

    demo: DemonstrationConfig = DemonstrationConfig()
    tracking: StoreConfig = StoreConfig()
    output: DemoOutputConfig = DemoOutputConfig()


def main(argv: Sequence[str] | None = None) -> None:
    """Run the demonstration, and print each step."""
    for text in run(parse_args(DemoConfig, argv)):
        print(text, flush=True)


def run(config: DemoConfig) -> Iterator[str]:
    """Draw phantoms, train, predict a folder and evaluate; yield a text for each step. Raises `MedsegError`."""
    from medseg.commands import evaluate_xray, predict_dicom, train_xray
    from medseg.phantom.dicom import write_phantoms

    demo, folder, store = config.demo, config.output.dir, {"tracking.uri": config.tracking.uri}
    yield f"1. Drawing {demo.num_cases + demo.num_new} synthetic chest radiographs as DICOM files."
    known = write_phantoms(folder / "training_data", demo.num_cases, demo.size, demo.seed)
    new = write_phantoms(folder / "new_data", demo.num_new, demo.size, demo.seed + 1)
    yield f"2. Training a network on {demo.num_cases} of them for {demo.minutes:g} minutes."
    small = {"data.classes": ["lungs", "heart"], "preprocess.size": [128, 128], "train.coarse": 0}
    settings = {"data.root": known, "train.minutes": demo.minutes, "seed": demo.seed, "output.dir": folder / "model"}
    trained = train_xray.run(build_config(train_xray.TrainXrayConfig, [small, settings, store, _NOTE]))
    yield f"   model: {trained.model}"
    yield f"3. Segmenting the {demo.num_new} others."
    settings = {"model": str(trained.model), "input.dir": new / "images", "output.dir": folder / "masks"}
    shown = {"output.formats": ["seg", "png", "overlay"]}
    for _ in predict_dicom.run(build_config(predict_dicom.PredictDicomConfig, [settings, shown, store])):
        pass
    yield f"   masks: {folder / 'masks/png'}, overlays: {folder / 'masks/overlay'}"
    yield "4. Measuring how good the masks are."
    settings = {"model": str(trained.model), "data.root": new, "output.dir": folder / "evaluation"}
    evaluated = evaluate_xray.run(build_config(evaluate_xray.EvaluateXrayConfig, [settings, store]))
    yield evaluated.describe()
    yield f"To see the runs in MLflow: {trained.run.ui_command}"
    yield "To train on your own images: medseg train chest_xray data.root=DIR"
    yield f"Open the report in a browser: {evaluated.report.absolute().as_uri()}"
