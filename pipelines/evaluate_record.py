"""What an evaluation begins with and what it leaves: models placed on the data; tables, a report, an MLflow record."""

import json
import math
import sys
from contextlib import suppress
from pathlib import Path

from medseg.atomic import write_text
from medseg.data.case import CaseSet
from medseg.errors import CheckpointError, IncomparableError, MedsegError
from medseg.evaluation.evaluate import Earlier, evaluate_model
from medseg.evaluation.files import METRICS, PER_CASE, REPORT, build_metrics, format_per_case, read_per_case
from medseg.evaluation.result import Evaluation, Summary
from medseg.evaluation.subject import Subject, build_subject, read_as
from medseg.inference.choice import build_backend
from medseg.inference.models import LoadedModel, load_models
from medseg.inference.predictor import build_predictor
from medseg.notice import RESEARCH_USE
from medseg.tracking.artifacts import download_file, is_run
from medseg.tracking.config import EvaluateTrackingConfig
from medseg.tracking.store import find_store, open_store
from pipelines.evaluate_config import EvaluateConfig


def check_store(tracking: EvaluateTrackingConfig) -> None:
    """Raise `ConfigError` or `StorageError` before anything is measured where MLflow could not record it."""
    if tracking.record:
        with open_store(find_store(tracking)):
            pass


def place_model(model: LoadedModel, config: EvaluateConfig, found: CaseSet) -> Subject:
    """The model on the cases of `data`. Raises `DataError` where they have no class in common."""
    predictor = build_predictor(model, build_backend(config.predict, model), config.predict)
    return build_subject(model, predictor, read_as(model.card, config.data), found)


def find_other(config: EvaluateConfig, model: LoadedModel, found: CaseSet) -> Subject | Earlier | None:
    """What `compare` names: another model on the same data, or an earlier evaluation; else the champion to beat.

    None where neither is there, or the champion cannot be compared, which is said.
    """
    if config.compare:
        return _find_table(config) or _place_other(config.compare, config, model, found)
    address = _find_champion(config, model)
    if address is None:
        return None
    try:
        other = _place_other((address,), config, model, found)
    except MedsegError as error:
        _say_uncompared(error)
        return None
    return None if other.digest == model.digest else other


def evaluate(subject: Subject, found: CaseSet, config: EvaluateConfig, other: Subject | Earlier | None) -> Evaluation:
    """The evaluation, compared with `other`; without it, which is said, where it is a champion that shares too little.

    Raises as `evaluate_model` does.
    """
    try:
        return evaluate_model(subject, found, config.data, config, other)
    except IncomparableError as error:
        if config.compare:
            raise
        _say_uncompared(error)
        return evaluate_model(subject, found, config.data, config)


def find_run(config: EvaluateConfig, model: LoadedModel) -> str | None:
    """The MLflow run that trained the model, or the folds of a cross-validation's folder; None where none is known."""
    summary = Path(config.model[0]) / "summary.json"
    if len(config.model) == 1 and len(model.networks) > 1 and summary.is_file():
        with suppress(ValueError, KeyError, TypeError):  # a damaged file knows of none
            return str(json.loads(summary.read_bytes())["run_id"])
    return model.card.run_id


def _find_table(config: EvaluateConfig) -> Earlier | None:
    """The evaluation that `compare` names, from a folder, a file or MLflow; None where it names models."""
    address = config.compare[0]
    if len(config.compare) > 1:
        return None
    if is_run(address) and not Path(address).exists():
        address = f"runs:/{address}/{PER_CASE}"
    if address.startswith("runs:/") and address.endswith(".csv"):
        return Earlier(address.split("/")[1], tuple(read_per_case(download_file(address, config.tracking))))
    path = Path(address)
    is_model = any((*path.glob("best.pt"), *path.glob("fold*/best.pt")))
    table = path if is_model or not path.is_dir() else path / PER_CASE
    if table.suffix != ".csv" or not table.is_file():
        return None
    return Earlier(table.parent.name if table.name == PER_CASE else table.stem, tuple(read_per_case(table)))


def _place_other(addresses: tuple[str, ...], config: EvaluateConfig, model: LoadedModel, found: CaseSet) -> Subject:
    other = load_models(addresses, config.tracking, config.predict)
    if (other.card.reading.color == "rgb") != (model.card.reading.color == "rgb"):
        raise CheckpointError(
            f"{addresses[0]}: one of the models reads color images, the other grey images. Compare models of one kind"
        )
    return place_model(other, config, found)


def _find_champion(config: EvaluateConfig, model: LoadedModel) -> str | None:
    """The champion that `tracking.promote` asks to beat, where there is one."""
    if not config.tracking.promote or config.tracking.register is None:
        return None
    from medseg.evaluation.champion import find_champion_address

    return find_champion_address(config.tracking, config.tracking.register, model.card.run_id, model.digest)


def _say_uncompared(error: MedsegError) -> None:
    print(f"not compared with the champion: {error}", file=sys.stderr)


def record_evaluation(evaluation: Evaluation, config: EvaluateConfig, run_id: str | None, folder: Path) -> None:
    """Write tables and report, record them in MLflow, and say what was found."""
    from medseg.evaluation import review

    write_evaluation(evaluation, folder)
    for warning in evaluation.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(describe(evaluation, folder / REPORT))
    if config.tracking.record:
        review.record_evaluation(evaluation, folder, config.tracking, run_id)
        print(f"to look at it in MLflow: {find_store(config.tracking).ui_command}")
    if config.tracking.promote and config.tracking.register is not None:
        from medseg.evaluation.champion import promote_model

        print(promote_model(evaluation, run_id, config.tracking, config.tracking.register))


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write `per_case.csv`, `report.html` and, by whose presence all are there, `metrics.json`."""
    from medseg.report.page import write_page

    write_text(folder / PER_CASE, format_per_case(evaluation))
    write_page(evaluation, folder / REPORT)
    write_text(folder / METRICS, json.dumps(build_metrics(evaluation), indent=2, allow_nan=False) + "\n")


def describe(evaluation: Evaluation, report: Path) -> str:
    """What stands on the terminal at the end: means with their intervals."""
    return "\n".join(
        [
            f"{evaluation.data}: {_describe_cases(evaluation)}; means and 95 % intervals by patient",
            *tabulate_means(evaluation),
            *_describe_comparison(evaluation),
            f"report: {report}",
            RESEARCH_USE,
        ]
    )


def tabulate_means(evaluation: Evaluation) -> list[str]:
    """A line on each class, on their mean and on the mIoU: means with their intervals."""
    unit = evaluation.unit
    by_name = {summary.name: summary for summary in evaluation.summaries}
    columns = {"dice": "Dice", "iou": "IoU", "hd95": f"HD95 {unit}", "assd": f"ASSD {unit}", "nsd": "NSD"}
    rows = [["", *columns.values()]]
    rows += [[name, *(_show(by_name[f"{metric}_{name}"]) for metric in columns)] for name in evaluation.classes]
    rows.append(["mean over classes", _show(by_name["dice"]), _show(by_name["iou"])])
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(len(columns) + 1)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]
    return [*table, f"mIoU {_show(by_name['miou'])}"]


def _describe_cases(evaluation: Evaluation) -> str:
    number = len(evaluation.cases)
    if evaluation.subset == "all":
        seen = sum(bool(case.seen) for case in evaluation.cases)
        return f"all {number} cases, {seen} of which the model was trained or validated on (data.subset=all)"
    return f"{number} cases, {evaluation.left_out} left out that the model was trained or validated on"


def _describe_comparison(evaluation: Evaluation) -> list[str]:
    """A line on each class: the other model's Dice minus this one's."""
    found, lines = evaluation.comparison, []
    for name in evaluation.classes if found is not None else ():
        if found is not None and (paired := found.differences.get(f"dice_{name}")) is not None:
            shown = f"{paired.difference:+.4f} [{paired.low:+.4f}, {paired.high:+.4f}]"
            lines.append(f"{found.other} minus this, Dice of {name}: {shown}, p {found.adjusted[f'dice_{name}']:.3g}")
    return lines


def _show(summary: Summary) -> str:
    if math.isnan(summary.mean):
        return "-"
    digits = 2 if summary.name.startswith(("hd95", "assd")) else 4
    low, high = summary.interval.low, summary.interval.high
    interval = "" if math.isnan(low) else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{summary.mean:.{digits}f}{interval}"
