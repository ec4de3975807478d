"""Check a data set before training on it. Research use only. Not for clinical use.

usage: medseg check [RECIPE] data.root=DIR [section.key=value ...]
       In the repository, python -m pipelines.check_data takes the same arguments.

RECIPE may be a recipe of the train command. Its settings that a check does not need are skipped.
The command reads every image and mask once, prints the findings, and writes check.json and check.html to output.dir.
Training refuses a data set with an error. A warning probably harms a model or its scores. An info is worth a look.
Exit code 0: no error; 1: an error was found, or the check failed; 2: could not start; 130, 143: stopped by a signal.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import NonNegativeInt, model_validator

from medseg.config import ExistingPath, Section, parse_args
from medseg.data.config import DataSetConfig, PreprocessConfig, SplitConfig, share_seed
from medseg.output.config import OutputConfig
from medseg.sweep.recipe import SweepRecipe

if TYPE_CHECKING:
    from medseg.report.check import Checked


class CheckedDataConfig(DataSetConfig):
    """Radiographs, their masks, and how they are read."""

    root: ExistingPath
    """Data set: a folder with images/ and masks/, a CSV manifest, a dataset.json, annotation files, or a zip or tar."""


class CheckOutputConfig(OutputConfig):
    """Where results are written."""

    dir: Path = Path("output/check_data")
    """Folder for the results of this command. Only one process at a time may write into it."""


class CheckDataConfig(Section):
    """One check of a data set, with the settings of the later training."""

    recipe = SweepRecipe

    seed: NonNegativeInt = 0
    """Seed of the split, unless split.seed is given."""

    data: CheckedDataConfig
    split: SplitConfig = SplitConfig()
    preprocess: PreprocessConfig = PreprocessConfig()
    output: CheckOutputConfig = CheckOutputConfig()

    _share_seed = model_validator(mode="before")(share_seed)


def main(argv: Sequence[str] | None = None) -> int:
    """Check a data set, print the findings, and return 1 if one of them is an error."""
    checked = run(parse_args(CheckDataConfig, argv))
    print(checked.describe())
    return int(checked.has_errors)


def run(config: CheckDataConfig) -> "Checked":
    """Read every case once, and report what is wrong with the data set. Raises `MedsegError`."""
    from medseg.checks.run import check_cases, describe_set
    from medseg.data.case import as_text
    from medseg.data.cases import list_cases
    from medseg.data.findings import Findings
    from medseg.data.layouts.archive import open_data
    from medseg.output.folder import claim_folder
    from medseg.report.check import write_check

    findings = Findings(config.data.root)
    with open_data(config.data) as data:
        found = list_cases(data, findings)
        with claim_folder(config.output.dir) as folder:
            surveys, splits = check_cases(found, data, config.split, config.preprocess, findings)
            totals = {"data": as_text(config.data.root), **describe_set(found, surveys, splits)}
            return write_check(folder, totals, findings.listed(), surveys, found)
