"""Measure how good a model is, and where it fails. Research use only. Not for clinical use.

usage: medseg evaluate [FILE.yaml] model=M data.root=DIR [output.dir=OUT] [compare=M2] [by=[site]]
       In the repository, python -m pipelines.evaluate_xray takes the same arguments.

M is a model file (best.pt), a list of model files (an ensemble), the output folder of a cross-validation (an ensemble),
or an MLflow address (runs:/<id>/model, models:/name@alias).
The command writes metrics.json, per_case.csv, report.html and card.md to output.dir, and records them in MLflow below
the run that trained the model. It leaves out cases that the model was trained or validated on, unless data.subset=all.
Exit code 0: done; 1: failed; 2: bad configuration, data or model; 130, 143: stopped by a signal.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from medseg.atomic import write_text
from medseg.config import parse_args, to_yaml
from medseg.data.config import EvaluateDataConfig
from medseg.evaluation.config import EvaluationConfig
from medseg.inference.config import Addresses, ModelPredictConfig
from medseg.model.config import InferenceConfig
from medseg.output.config import OutputConfig
from medseg.tracking.config import EvaluateTrackingConfig

if TYPE_CHECKING:
    from medseg.report.evaluation import Evaluated

_DECISION = ("threshold", *InferenceConfig.model_fields)
"""Settings of `predict` that change the masks; a model file has its own, or none."""


class EvaluateOutputConfig(OutputConfig):
    """Where results are written."""

    dir: Path = Path("output/evaluate_xray")
    """Folder for the results of this command. Only one process at a time may write into it."""


class EvaluateXrayConfig(EvaluationConfig):
    """One evaluation."""

    model: Addresses
    """Model, or list of models for an ensemble: files, folders or MLflow addresses."""

    compare: Addresses = ()
    """Another model (file, folder or MLflow address), or another evaluation: its folder, its per_case.csv, its MLflow
    run id or runs:/<id>/per_case.csv. Results are paired by case."""

    data: EvaluateDataConfig
    predict: ModelPredictConfig = ModelPredictConfig()
    tracking: EvaluateTrackingConfig = EvaluateTrackingConfig()
    output: EvaluateOutputConfig = EvaluateOutputConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.model:
            raise ValueError("model: an empty list; at least one model is needed")
        own, usual = self.predict, ModelPredictConfig()
        given = [f"predict.{name}" for name in _DECISION if getattr(own, name) != getattr(usual, name)]
        given += ["data.subset=all"] if self.data.subset == "all" else []
        if self.tracking.promote and given:
            raise ValueError(
                f"tracking.promote=true: remove {', '.join(given)}. A champion is chosen on unseen cases, "
                "with the prediction settings of its model file"
            )
        return self


def main(argv: Sequence[str] | None = None) -> None:
    """Measure a model, and print its scores and where the report is."""
    run(parse_args(EvaluateXrayConfig, argv), say=print)


def run(config: EvaluateXrayConfig, say: Callable[[str], None] = lambda text: None) -> "Evaluated":
    """Measure a model on the cases it has not seen, report, and record the evaluation.

    `say` gets the scores, and then what was recorded. Raises `MedsegError`.
    """
    from medseg.data.cases import find_cases
    from medseg.data.layouts.archive import open_data
    from medseg.evaluation.candidate import place_model, read_as
    from medseg.evaluation.card import complete_card
    from medseg.evaluation.receipt import add_receipt
    from medseg.evaluation.review import find_training_run, review_evaluation
    from medseg.evaluation.rival import evaluate_against, find_rival
    from medseg.inference.models import load_models
    from medseg.output.card import CARD
    from medseg.output.folder import claim_folder
    from medseg.report.evaluation import write_evaluation
    from medseg.tracking.store import check_store

    model = load_models(config.model, config.tracking, config.predict)
    with open_data(config.data) as data:
        found = find_cases(read_as(model.card, data))
        candidate = place_model(model, found, data, config.predict)
        rival = find_rival(config.compare, model, found, data, config.predict, config.tracking)
        if config.tracking.record:
            check_store(config.tracking)
        with claim_folder(config.output.dir) as folder:
            evaluation = evaluate_against(rival, candidate, found, data, config, is_named=bool(config.compare))
            evaluation = add_receipt(evaluation, model, config)
            write_text(folder / "config.yaml", to_yaml(config))
            write_text(folder / CARD, complete_card(evaluation, config.model, model, config.tracking))
            evaluated = write_evaluation(evaluation, folder)
            say(evaluated.describe())
            run_id = find_training_run(config.model, model)
            for text in review_evaluation(evaluation, folder, config.tracking, run_id):
                say(text)
    return evaluated
