"""The rival that a model is compared with: another model, an earlier evaluation, or the present champion."""

import logging
from pathlib import Path

from medseg.data.case import CaseSet
from medseg.data.config import EvaluateDataConfig
from medseg.errors import CheckpointError, ConfigError, IncomparableError, MedsegError
from medseg.evaluation.candidate import Candidate, place_model
from medseg.evaluation.champion import find_champion_address
from medseg.evaluation.config import EvaluationConfig
from medseg.evaluation.evaluate import Earlier, evaluate_model
from medseg.evaluation.files import PER_CASE, read_per_case
from medseg.evaluation.result import Evaluation
from medseg.inference.config import ModelPredictConfig
from medseg.inference.models import LoadedModel, adjust_model, load_models
from medseg.tracking.artifacts import download_file, is_run
from medseg.tracking.config import EvaluateTrackingConfig, StoreConfig

_logger = logging.getLogger(__name__)


def find_rival(
    named: tuple[str, ...],
    model: LoadedModel,
    found: CaseSet,
    data: EvaluateDataConfig,
    predict: ModelPredictConfig,
    tracking: EvaluateTrackingConfig,
) -> Candidate | Earlier | None:
    """The rival that `named` addresses, a model on the same data or an earlier evaluation; else the champion to beat.

    None if there is neither, or, with a warning, if the champion cannot be compared.
    """

    def place(addresses: tuple[str, ...]) -> Candidate:
        try:
            other = load_models(addresses, tracking, predict.model_copy(update={"components": None}))
            known = predict.components and {k: n for k, n in predict.components.items() if k in other.card.classes}
            other = adjust_model(other, predict.model_copy(update={"components": known}))
        except ConfigError as error:
            raise ConfigError(f"compare: {addresses[0]}: {error}") from error
        if (other.card.reading.color == "rgb") != (model.card.reading.color == "rgb"):
            raise CheckpointError(
                f"{addresses[0]}: one of the models reads color images, the other grayscale images. "
                "Compare two models of the same kind"
            )
        return place_model(other, found, data, predict)

    if named:
        return _find_table(named, tracking) or place(named)
    if not tracking.promote or tracking.register is None:
        return None
    address = find_champion_address(tracking, tracking.register, model.card.run_id, model.digest)
    if address is None:
        return None
    try:
        champion = place((address,))
    except MedsegError as error:
        _say_uncompared(error)
        return None
    return None if champion.digest == model.digest else champion


def evaluate_against(
    rival: Candidate | Earlier | None,
    candidate: Candidate,
    found: CaseSet,
    data: EvaluateDataConfig,
    config: EvaluationConfig,
    *,
    is_named: bool,
) -> Evaluation:
    """The evaluation, compared with `rival`.

    A champion without common cases or classes is not compared, with a warning. Raises as `evaluate_model` does, and
    `IncomparableError` for such a rival if the user named it.
    """
    try:
        evaluation = evaluate_model(candidate, found, data, config, rival)
    except IncomparableError as error:
        if is_named:
            raise
        _say_uncompared(error)
        evaluation = evaluate_model(candidate, found, data, config)
    for warning in evaluation.warnings:
        _logger.warning("warning: %s", warning)
    return evaluation


def _find_table(named: tuple[str, ...], tracking: StoreConfig) -> Earlier | None:
    """The evaluation that `named` addresses in a folder, a file or MLflow; None if `named` addresses models."""
    address = named[0]
    if len(named) > 1:
        return None
    if is_run(address) and not Path(address).exists():
        address = f"runs:/{address}/{PER_CASE}"
    if address.startswith("runs:/") and address.endswith(".csv"):
        return Earlier(address.split("/")[1], tuple(read_per_case(download_file(address, tracking))))
    path = Path(address)
    is_model = any((*path.glob("best.pt"), *path.glob("fold*/best.pt")))
    table = path if is_model or not path.is_dir() else path / PER_CASE
    if table.suffix != ".csv" or not table.is_file():
        return None
    return Earlier(table.parent.name if table.name == PER_CASE else table.stem, tuple(read_per_case(table)))


def _say_uncompared(error: MedsegError) -> None:
    _logger.warning("this model was not compared with the champion: %s", error)
