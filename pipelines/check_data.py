"""Check a data set before training on it: `python -m pipelines.check_data`; `check_config` says what can be set."""

from collections.abc import Sequence

from medseg.config import parse_args
from pipelines.check_config import CheckConfig
from pipelines.command import run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Look at every case once, report what is wrong, and say whether that must be mended before training."""
    config = parse_args(CheckConfig, argv)
    from medseg.checks.run import check_cases
    from medseg.data.cases import list_cases
    from medseg.data.findings import Findings
    from medseg.output.folder import claim_folder
    from pipelines.check_record import record_check

    findings = Findings(config.data.root)
    found = list_cases(config.data, findings)
    with claim_folder(config.output.dir) as folder:
        surveys, splits = check_cases(found, config.data, config.split, config.preprocess, findings)
        return record_check(config, found, surveys, splits, findings.listed(), folder)


if __name__ == "__main__":
    run_command(main)
