"""Find out how good a model is, and where it fails. Research use only. Not for clinical use.

usage: python -m pipelines.evaluate_xray [FILE.yaml] model=M data.root=DIR [output.dir=OUT] [compare=M2] [by=[site]]

M is a model file (best.pt), a list of these or a folder of cross_validate (an ensemble), or an MLflow address
(runs:/<id>/model, models:/name@alias). Writes metrics.json, per_case.csv and report.html, and records them in the run
that trained the model. Cases that the model was trained or validated on are left out, unless data.subset=all.
Exit code 0; 1: failed under way; 2: bad configuration, data or model; 130, 143: stopped.
"""

from pathlib import Path
from typing import Self

from pydantic import model_validator

from medseg.data.config import EvaluateDataConfig
from medseg.evaluation.config import EvaluationConfig
from medseg.inference.config import Addresses, ModelPredictConfig
from medseg.output.config import OutputConfig
from medseg.tracking.config import EvaluateTrackingConfig
from pipelines.train_config import TrainConfig

_DECISION = ("threshold", "tta", "components", "fill_holes")
"""Settings of `predict` that change the masks; a model file has its own, or none."""


class EvaluateOutputConfig(OutputConfig):
    """Where results are written."""

    dir: Path = Path("output/evaluate_xray")
    """The folder of this command's results; one process at a time writes into it."""


class EvaluateConfig(EvaluationConfig):
    """One evaluation."""

    recipe = TrainConfig

    model: Addresses
    """The model, or the models of an ensemble: files, folders, MLflow addresses."""

    compare: Addresses = ()
    """Another model, as `model` names one, or another evaluation: its folder, its per_case.csv, the id of its MLflow
    run, or runs:/<id>/per_case.csv there. Paired by case."""

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
                f"tracking.promote=true: leave away {', '.join(given)}; a champion is chosen on cases that it has not "
                "seen, as its file says that masks are made"
            )
        return self
