"""Look at a data set before anyone trains on it. Research use only. Not for clinical use.

usage: python -m pipelines.check_data [FILE.yaml] data.root=DIR [section.key=value ...]

FILE.yaml may be one of train_xray: what a check has no use for is skipped there.
Reads every image and mask once, prints what it finds, writes check.json and check.html (with pictures) to output.dir.
An error is what train_xray refuses; a warning will probably harm a model or its scores; an info is worth a look.
Exit code 0: no error; 1: an error was found, or it failed under way; 2: could not start; 130, 143: stopped.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import NonNegativeInt, model_validator

from medseg.config import ExistingPath, Section, parse_args
from medseg.data.config import DataSetConfig, PreprocessConfig, SplitConfig, share_seed
from medseg.output.config import OutputConfig
from medseg.training.recipe import Recipe


class CheckedDataConfig(DataSetConfig):
    """Radiographs, their masks, and how they are read."""

    root: ExistingPath
    """Data set: a folder with images/ and masks/, a CSV manifest, or a dataset.json."""


class CheckOutputConfig(OutputConfig):
    """Where results are written."""

    dir: Path = Path("output/check_data")
    """The folder of this command's results; one process at a time writes into it."""


class CheckDataConfig(Section):
    """One check of a data set, with the settings of the later training."""

    recipe = Recipe

    seed: NonNegativeInt = 0
    """Seed of the split, unless split.seed is given."""

    data: CheckedDataConfig
    split: SplitConfig = SplitConfig()
    preprocess: PreprocessConfig = PreprocessConfig()
    output: CheckOutputConfig = CheckOutputConfig()

    _share_seed = model_validator(mode="before")(share_seed)


def main(argv: Sequence[str] | None = None) -> int:
    """Look at every case once, report what is wrong, and say whether that must be mended before training."""
    config = parse_args(CheckDataConfig, argv)
    from medseg.checks.run import check_cases, describe_set
    from medseg.data.case import as_text
    from medseg.data.cases import list_cases
    from medseg.data.findings import Findings
    from medseg.output.folder import claim_folder
    from medseg.report.check import describe_check, write_check

    findings = Findings(config.data.root)
    found = list_cases(config.data, findings)
    with claim_folder(config.output.dir) as folder:
        surveys, splits = check_cases(found, config.data, config.split, config.preprocess, findings)
        totals = {"data": as_text(config.data.root), **describe_set(found, surveys, splits)}
        write_check(folder, totals, findings.listed(), surveys, found)
        print(describe_check(totals, findings.listed(), folder))
    return int(any(finding.severity == "error" for finding in findings.listed()))
