"""Search for the best settings of a training. Research use only. Not for clinical use.

usage: medseg sweep RECIPE [RECIPE ...] [section.key=value ...]
       In the repository, python -m pipelines.sweep takes the same arguments.

RECIPE is a recipe of the train command. It, or a second recipe such as sweep, has a section `sweep`. The keys of this
section with a dot are the settings to search:
  sweep: {optim.learning_rate: log 1e-4..1e-2, model.width: [16, 24, 32], model.dropout: 0.0..0.5, trials: 30}
Each trial is one training; its budgets are train.epochs, train.tflop or train.minutes. All trials have the same data
and the same split, and never see the test set. The validation score decides. At the end, the best settings are
retrained with new seeds, and only the test scores of these networks are reported.
The command writes best.yaml (a recipe for the train command), trials.csv, summary.json and a chart to output.dir.
Run the same command again to resume. Run it several times at once, and the processes share the trials.
This command needs the extra optuna: pip install 'medseg[optuna]'.
Exit code 0: done; 1: failed while training; 2: bad configuration or data; 130, 143: stopped by a signal.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medseg.config import parse_args
from medseg.output.config import TrainOutputConfig
from medseg.sweep.recipe import SweepRecipe

if TYPE_CHECKING:
    from medseg.sweep.search import Swept


class SweepOutputConfig(TrainOutputConfig):
    """Where results are written."""

    dir: Path = Path("output/sweep")
    """Folder for the results of this command. Several processes with the same settings may share it."""

    masks: bool = False
    """Also write the predicted masks of the test cases by each retrained network: PNG files with the values 0 and
    255."""


class SweepXrayConfig(SweepRecipe):
    """One sweep."""

    output: SweepOutputConfig = SweepOutputConfig()


def main(argv: Sequence[str] | None = None) -> None:
    """Search for the best settings, and print each trial and the scores of the retraining."""
    print(run(parse_args(SweepXrayConfig, argv), say=lambda line: print(line, flush=True)).describe())


def run(config: SweepXrayConfig, say: Callable[[str], None] = lambda text: None) -> "Swept":
    """Search for the best settings, retrain them, and record everything.

    `say` gets a line for each trial and each retraining of this process. Raises `MedsegError`.
    """
    from medseg.data.layouts.archive import open_data
    from medseg.hardware.device import find_hardware
    from medseg.sweep.search import assist, check_sizes, lead
    from medseg.sweep.study import import_optuna
    from medseg.sweep.trials import claim_free

    import_optuna()
    check_sizes(config)
    hardware = find_hardware(config.train.device, config.train.precision, config.train.channels_last)
    while True:  # if the process that leads the sweep dies, one of the others leads it
        with claim_free(config.output.dir) as folder, open_data(config.data) as given:
            if folder is not None:
                return lead(config, given, hardware, folder, say)
            assist(config, given, hardware, say)
