"""Look at a data set before anyone trains on it. Research use only. Not for clinical use.

usage: python -m pipelines.check_data [FILE.yaml] data.root=DIR [section.key=value ...]

FILE.yaml may be one of train_xray: what a check has no use for is skipped there.
Reads every image and mask once, prints what it finds, writes check.json and check.html (with pictures) to output.dir.
An error is what train_xray refuses; a warning will probably harm a model or its scores; an info is worth a look.
Exit code 0: no error; 1: an error was found, or it failed under way; 2: could not start; 130, 143: stopped.
"""

from pathlib import Path

from pydantic import NonNegativeInt, model_validator

from medseg.config import ExistingPath, Section
from medseg.data.config import DataSetConfig, PreprocessConfig, SplitConfig, share_seed
from medseg.output.config import OutputConfig
from pipelines.train_config import TrainConfig


class CheckedDataConfig(DataSetConfig):
    """Which radiographs and masks, and how they are read."""

    root: ExistingPath
    """A folder (images/, masks/), a CSV manifest or a dataset.json."""


class CheckOutputConfig(OutputConfig):
    """Where results are written."""

    dir: Path = Path("output/check_data")
    """The folder of this command's results; one process at a time writes into it."""


class CheckConfig(Section):
    """One check of a data set, with the settings of the training that is to come."""

    recipe = TrainConfig

    seed: NonNegativeInt = 0
    """Decides the split, unless split.seed is given."""

    data: CheckedDataConfig
    split: SplitConfig = SplitConfig()
    preprocess: PreprocessConfig = PreprocessConfig()
    output: CheckOutputConfig = CheckOutputConfig()

    _share_seed = model_validator(mode="before")(share_seed)
