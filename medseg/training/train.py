"""One training, from its cases to `summary.json`. `train_xray` runs it once, `cross_validate` once for each fold."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from medseg.atomic import write_text
from medseg.checks.items import summarize_item
from medseg.checks.run import check_training
from medseg.checks.survey import CaseSurvey
from medseg.data.case import as_text
from medseg.data.config import DataConfig
from medseg.data.findings import Findings
from medseg.data.loaders import CachedSplits, Look, cache_splits
from medseg.data.splits import Splits
from medseg.data.synthetic import SYNTHETIC
from medseg.hardware.compiler import compiling
from medseg.hardware.cpu import freed_memory_kept, threads_limited
from medseg.hardware.device import Hardware
from medseg.hardware.processes import Processes
from medseg.inference.backends import build_training_backend
from medseg.inference.predictor import Predictor
from medseg.inference.scoring import score_cases, search_thresholds
from medseg.metrics.overlap import SegmentationScores
from medseg.model.checkpoint import ModelCard, load_model, update_card
from medseg.model.unet import UNet
from medseg.output.card import CARD, Scored, format_card
from medseg.receipt.digests import digest_file
from medseg.receipt.receipt import RECEIPT
from medseg.tracking.lifecycle import start_run
from medseg.tracking.run import Run, Unrecorded
from medseg.training.batch_size import settle_batch_size
from medseg.training.card import describe_model
from medseg.training.engines import seeded
from medseg.training.facts import (
    describe_data,
    describe_split,
    describe_training,
    join_scores,
    list_intervals,
    list_patients,
)
from medseg.training.fit import Fitted, fit_network
from medseg.training.handlers import ValidationHook
from medseg.training.receipt import build_training_receipt
from medseg.training.recipe import Recipe
from medseg.training.record import describe_run, record_findings, record_start
from medseg.training.restart import resume_restarted
from medseg.training.resume import find_resumed, take_up
from medseg.training.start import find_start, find_unseen, join_cards, take_over


@dataclasses.dataclass(frozen=True)
class Trained:
    """A finished and recorded training."""

    summary: dict[str, Any]
    """The content of `summary.json`."""
    run: Run

    @property
    def model(self) -> Path:
        """The model file: `best.pt`."""
        return Path(self.summary["model"])

    def describe(self) -> str:
        """The text for the terminal: test Dice, path of the model, and the command that shows the run."""
        scores = self.summary["test"]
        per_class = ", ".join(f"{n.removeprefix('dice_')} {v:.4f}" for n, v in scores.items() if n.startswith("dice_"))
        synthetic = f" ({SYNTHETIC})" if self.summary["data"] == SYNTHETIC else ""
        return "\n".join(
            [
                f"test Dice{synthetic}: {per_class}; mIoU {scores['miou']:.4f}",
                f"model: {self.summary['model']}",
                f"MLflow run {self.run.name}; to look at it: {self.run.ui_command}",
                self.summary["research_use"],
            ]
        )


def train(
    recipe: Recipe,
    data: DataConfig,
    splits: Splits,
    hardware: Hardware,
    folder: Path,
    *,
    parent_run_id: str | None = None,
    hook: ValidationHook | None = None,
) -> Trained:
    """Train one network on `splits` of `data`, which must have a root, and record the run.

    The results are written into `folder`, which this process must have claimed. `summary.json` is written last, so it
    marks a finished training. The MLflow run is nested under `parent_run_id`, if given. `hook` decides after each
    validation whether to stop. Raises `DataError` for every error that check_data would report, and the errors of
    `find_resumed`, `take_up`, `find_start`, `join_cards`, `find_unseen` and `fit_network`.
    """
    processes, is_fold = hardware.processes, parent_run_id is not None
    with seeded(recipe.seed), _tuned(hardware):
        recipe = resume_restarted(recipe, folder, processes)
        resumed = processes.lead(partial(find_resumed, recipe.train, folder))
        start = None if resumed is not None else processes.lead(partial(find_start, recipe))
        recipe = take_over(recipe, start or resumed)
        findings = Findings(data.root)
        cached = _read_checked(recipe, data, splits, folder, findings, processes, is_fold=is_fold)
        card = describe_model(recipe, data, splits, cached)
        join = partial(join_cards, card, start, recipe.train.init)
        card = processes.lead(join if resumed is None else partial(take_up, resumed, card, folder, recipe.train.init))
        unseen = processes.lead(partial(find_unseen, cached.test, card))
        settle = partial(settle_batch_size, recipe.train, card, len(cached.train), hardware, resumed)
        recipe = recipe.model_copy(update={"train": processes.lead(settle)})
        described = describe_run(recipe, data, resumed, processes.size)
        started = start_run(recipe.tracking, **described, parent_run_id=parent_run_id)
        with processes.first(started, Unrecorded()) as run:
            processes.only_first(record_start)(run, recipe, data, cached, folder, fresh=resumed is None)
            if not is_fold:
                processes.only_first(record_findings)(run, findings)
            fitted = fit_network(recipe, card, cached, hardware, run, folder, resumed, hook, start)
            counted = dataclasses.replace(splits, test=tuple(splits.test[index] for index in unseen))
            scored = _score(recipe, data, splits, cached, unseen, card, hardware, folder)
            summary = processes.lead(
                partial(_finish, run, recipe, data, splits, cached, counted, hardware, fitted, scored, folder)
            )
        processes.only_first(write_text)(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
        return Trained(summary, run)


def _read_checked(
    recipe: Recipe,
    data: DataConfig,
    splits: Splits,
    folder: Path,
    findings: Findings,
    processes: Processes,
    *,
    is_fold: bool,
) -> CachedSplits:
    """The preprocessed cases, after all checks of the data set. The cases of a fold have all been checked before."""
    look: Look[CaseSurvey] | None = None if is_fold else partial(summarize_item, classes=splits.classes)
    cached, surveys = cache_splits(splits, data, recipe.preprocess, folder, findings, look, processes)

    def check() -> None:
        if not is_fold:
            check_training(surveys, splits, data, recipe.split, findings)
        findings.check()

    processes.lead(check)
    return cached


@contextmanager
def _tuned(hardware: Hardware) -> Iterator[None]:
    """The block in which threads, memory and compiled code are set up for training."""
    memory = freed_memory_kept() if hardware.device.type == "cpu" else nullcontext()
    with threads_limited(hardware), compiling(), memory:
        yield


def _finish(
    run: Run,
    recipe: Recipe,
    data: DataConfig,
    splits: Splits,
    cached: CachedSplits,
    counted: Splits,
    hardware: Hardware,
    fitted: Fitted,
    scored: tuple[UNet, ModelCard, dict[str, SegmentationScores]],
    folder: Path,
) -> dict[str, Any]:
    """Write the card of the best model, record everything, and return the content of `summary.json`."""
    path, (network, card, measured) = folder / "best.pt", scored
    patients = {name: list_patients(recipe, cases) for name, cases in counted.items()}
    scores = {name: found.compute() for name, found in measured.items()}
    intervals = {name: found.find_intervals(patients[name], recipe.seed) for name, found in measured.items()}
    receipt = build_training_receipt(recipe, splits, cached, hardware, folder)
    parts = [
        Scored(name, len(cases), len(set(patients[name])), join_scores(scores.get(name, {}), intervals.get(name, {})))
        for name, cases in counted.items()
    ]
    facts, left_out = describe_data(recipe, data, splits, cached), len(splits.test) - len(counted.test)
    split = describe_split(recipe, card.split, left_out)
    described = describe_training(recipe, facts, parts, receipt, fitted.describe(), split)
    write_text(folder / CARD, format_card(card, digest_file(path)[:16], 1, described))
    summary = {
        "run_id": run.id,
        **dataclasses.asdict(fitted),
        "model": str(path),
        "data": SYNTHETIC if recipe.data.root is None else as_text(recipe.data.root),
        "cases": {name: len(cases) for name, cases in counted.items()},
        **({"left_out": left_out} if left_out else {}),
        **scores,
        **{f"{name}_ci95": list_intervals(found) for name, found in intervals.items()},
        "thresholds": card.thresholds,
        RECEIPT: receipt.to_json(),
        "research_use": card.research_use,
    }
    run.log_metrics({f"{s}/{name}": v for s, values in scores.items() for name, v in values.items()}, 0)
    run.log_dict(summary, "summary.json")
    run.log_file(folder / CARD)
    if splits.test:  # else it is a trial of a sweep, whose network is not kept in MLflow
        _record_model(run, network, card, path, recipe.tracking.register)
    return summary


def _record_model(run: Run, network: UNet, card: ModelCard, path: Path, register: str | None) -> None:
    example = np.zeros((2, network.in_channels, *card.preprocess.size), np.float32)
    metadata = {"classes": ", ".join(card.classes), "use": card.research_use}
    run.log_model(network, example, path, metadata, register)


def _score(
    recipe: Recipe,
    data: DataConfig,
    splits: Splits,
    cached: CachedSplits,
    unseen: Sequence[int],
    trained: ModelCard,
    hardware: Hardware,
    folder: Path,
) -> tuple[UNet, ModelCard, dict[str, SegmentationScores]]:
    """The best network, its card, and its scores on the validation and test cases, if any, at the size of their masks.

    Of the test cases, the `unseen` count. First the best thresholds on the validation set are written into `best.pt`,
    with the settings of `trained`, which a resumed training may have changed since its best epoch. Several processes
    share the cases.
    """
    path, processes = folder / "best.pt", hardware.processes
    backend = build_training_backend(hardware)
    card, network = processes.lead(partial(load_model, path))
    settings = {"inference": trained.inference, "accepts": trained.accepts}
    card = card.model_copy(update=settings)
    forwards = [backend.load(network, card.preprocess.size)]
    undecided = Predictor(card, forwards, recipe.predict, hardware.device)
    thresholds = search_thresholds(undecided, splits.validation, cached.validation, data, processes)
    card = processes.lead(partial(update_card, path, thresholds=thresholds, **settings))
    predictor = Predictor(card, forwards, recipe.predict, hardware.device)
    masks = folder / "masks" if recipe.output.masks else None
    validation = score_cases(predictor, splits.validation, cached.validation, data, processes=processes)
    scores = {"validation": validation}
    if splits.test:
        scores["test"] = score_cases(predictor, splits.test, cached.test, data, masks, processes, unseen)
    return network, card, scores
