"""The commands as functions: the same recipes and settings in, typed results out.

Each function takes any number of recipes (name or path) and mappings of settings. Later ones win.
"""

import warnings
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from medseg.config import Given, build_config

if TYPE_CHECKING:
    from medseg.report.check import Checked
    from medseg.report.evaluation import CrossValidated, Evaluated
    from medseg.training.train import Trained

P = ParamSpec("P")
R = TypeVar("R")


def _quiet(call: Callable[P, R]) -> Callable[P, R]:
    """The function without the warning that tqdm gives in a notebook without widgets, when Ignite imports it."""

    @wraps(call)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "IProgress not found")
            return call(*args, **kwargs)

    return run


@_quiet
def train(*given: Given) -> "Trained":
    """Train a network as `medseg train` does, and record the run in MLflow.

    `summary` of the result is the content of `summary.json`; `model` is the path of the model file.

        trained = medseg.train("chest_xray", {"data.root": "DATA", "train.minutes": 10, "output.dir": "OUT"})
        trained.summary["test"]["dice_lungs"], trained.model

    Raises `ConfigError` for wrong settings, `DataError` for a data set with errors, and `TrainingError` if
    the loss is not a number.
    """
    from medseg.commands.train_xray import TrainXrayConfig, run

    return run(build_config(TrainXrayConfig, given))


@_quiet
def evaluate(*given: Given) -> "Evaluated":
    """Measure a model on cases that it has not seen, as `medseg evaluate` does.

    `metrics` of the result is the content of `metrics.json`, `evaluation` has every case, and `report` is the path of
    the page.

        evaluated = medseg.evaluate({"model": "OUT/best.pt", "data.root": "DATA", "output.dir": "RESULTS"})
        evaluated.metrics["dice_lungs"], evaluated.metrics["dice_lungs_ci95"], evaluated.report

    Raises `ConfigError`, `CheckpointError` for a model that cannot be loaded, and `DataError`.
    """
    from medseg.commands.evaluate_xray import EvaluateXrayConfig, run

    return run(build_config(EvaluateXrayConfig, given))


@_quiet
def check_data(*given: Given) -> "Checked":
    """Check a data set before training on it, as `medseg check` does.

    `findings` of the result lists the faults. `has_errors` is true if training would refuse the data set.

        checked = medseg.check_data({"data.root": "DATA", "output.dir": "CHECK"})
        [(finding.code, finding.severity, finding.cases) for finding in checked.findings], checked.report

    Raises `ConfigError`.
    """
    from medseg.commands.check_data import CheckDataConfig, run

    return run(build_config(CheckDataConfig, given))


@_quiet
def cross_validate(*given: Given) -> "CrossValidated":
    """Train one network per fold, and score each case by the network that has not seen it.

    This is `medseg cross-validate` as a function. The folder of the result is itself a model: the ensemble of all
    folds.

        validated = medseg.cross_validate("chest_xray", {"data.root": "DATA", "split.folds": 5, "output.dir": "OUT"})
        validated.metrics["dice_lungs_ci95"], validated.folder

    Raises the same errors as `train`.
    """
    from medseg.commands.cross_validate import CrossValidateConfig, run

    return run(build_config(CrossValidateConfig, given))
