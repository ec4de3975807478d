"""The training of one network, from its first or resumed step to its last, with validation, saving and recording."""

import contextlib
import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import torch
from monai.engines import SupervisedTrainer
from torch import nn

from medseg.data.augment import Augment
from medseg.data.loaders import CachedCases, CachedSplits, EpochSampler, build_train_loader, build_validation_loader
from medseg.hardware.compiler import can_compile
from medseg.hardware.cores import read_cpu
from medseg.hardware.device import AutocastInferer, Hardware
from medseg.inference.models import LoadedModel
from medseg.model.checkpoint import ModelCard, save_checkpoint
from medseg.model.operations import count_gflop
from medseg.model.unet import smallest_size
from medseg.output.drawing import draw_learning_curves
from medseg.signals import Interrupted, signals_deferred
from medseg.tracking.run import Run
from medseg.training.config import TrainingConfig
from medseg.training.core_watch import CoreWatch
from medseg.training.engines import build_ema, build_evaluator, build_trainer
from medseg.training.handlers import Budget, Scores, Validation, ValidationHook, end_on_signal
from medseg.training.losses import MaskedLoss
from medseg.training.parallel import agree_on_signal, attach_processes
from medseg.training.progress import TrainingProgress
from medseg.training.recipe import FitRecipe
from medseg.training.restart import name_launcher
from medseg.training.resume import Resumed
from medseg.training.saving import Saving
from medseg.training.start import copy_weights
from medseg.training.strips import Strips

_logger = logging.getLogger(__name__)
_COARSE = 0.4  # of the budget of a training from random weights, at half the resolution


@dataclass(frozen=True)
class Fitted:
    """The result of a training."""

    epochs: int
    seconds: float
    images_per_second: float
    best_epoch: int

    def describe(self) -> str:
        """A sentence for the model card, which does not name times."""
        epochs = f"{self.epochs} epoch{'s were' if self.epochs > 1 else ' was'} trained"
        return f"{epochs}; epoch {self.best_epoch} was the best on the validation set"


@dataclass(frozen=True)
class Wired:
    """A training that is ready to start."""

    trainer: SupervisedTrainer
    budget: Budget
    sampler: EpochSampler
    average: nn.Module
    """The network with the moving average of the weights. It is the result of the training."""


@dataclass(frozen=True)
class _Watch:
    """The handlers that are attached to a training."""

    validation: Validation
    show: Callable[[int], None]
    """Draws the example images of an epoch."""
    saving: Saving
    progress: TrainingProgress | None
    """What the first process shows."""


def fit_network(
    recipe: FitRecipe,
    card: ModelCard,
    cached: CachedSplits,
    hardware: Hardware,
    run: Run,
    folder: Path,
    resumed: Resumed | None,
    hook: ValidationHook | None = None,
    start: LoadedModel | None = None,
) -> Fitted:
    """Train the network of `card` and write `best.pt` and `last.pt` into `folder`. The batch size must be set.

    `resumed` is the checkpoint to resume from, `start` the model to begin with; `hook` may stop the training. After a
    signal the training is saved and `Interrupted` is raised. A loss that is not finite raises `TrainingError`, a full
    disk `StorageError`. Of several processes, the first one alone writes and records.
    """
    train, device = recipe.train, hardware.device
    wired = wire_training(recipe, card, cached.train, hardware, Augment(recipe.augment, recipe.seed, device), start)
    trainer, budget = wired.trainer, wired.budget
    card = card.model_copy(update={"run_id": run.id})
    watch = _watch_training(wired, card, cached.validation, hardware, run, folder, hook)
    if resumed is not None:
        watch.saving.load(trainer, resumed.weights, resumed.training)
    elif name_launcher():  # a restart before the first save finds the MLflow run
        watch.saving.save_now(trainer)
    with signals_deferred() as pending, contextlib.closing(watch.progress or contextlib.ExitStack()):
        end_on_signal(trainer, pending, train.accumulate, hardware)
        _run(trainer, budget, watch.validation)
        if agree_on_signal(pending, hardware) is None:
            watch.validation.validate(trainer)
            watch.show(trainer.state.epoch)
        watch.saving.save_now(trainer)
        signum = agree_on_signal(pending, hardware)
    if signum is not None:
        _logger.info("saved %s; resume with train.resume=true", folder / "last.pt")
        raise Interrupted(signum)
    hardware.processes.only_first(_record_end)(run, watch.validation)
    seconds = max(budget.seconds, 1e-9)
    rate = trainer.state.iteration * wired.sampler.batch_size / seconds
    return Fitted(trainer.state.epoch, seconds, rate, int(watch.validation.best["epoch"]))


def _run(trainer: SupervisedTrainer, budget: Budget, validation: Validation) -> None:
    """Train, unless the training that is resumed had already ended."""
    if validation.ends_early:
        _logger.info(
            "the training had ended by train.early_stopping=%d; to go on, resume with a greater number, or 0",
            validation.train.early_stopping,
        )
    elif budget.spent(trainer, trainer.state.iteration) < 1:
        trainer.run()


def _record_end(run: Run, validation: Validation) -> None:
    best = validation.best
    _logger.info("best validation Dice %.4f in epoch %d", best["dice"], best["epoch"])
    run.log_figure(draw_learning_curves(_series(validation.history)), "learning_curves.png")


def _watch_training(
    wired: Wired,
    card: ModelCard,
    cached: CachedCases,
    hardware: Hardware,
    run: Run,
    folder: Path,
    hook: ValidationHook | None,
) -> _Watch:
    """Attach the handlers that validate on `cached`, save into `folder` and show the progress."""
    sampler, ema, train, processes = wired.sampler, wired.average, wired.budget.train, hardware.processes
    loader = build_validation_loader(cached, sampler.batch_size, processes)
    evaluator = build_evaluator(ema, loader, card.classes, hardware)
    strips = Strips(ema, cached, card.classes, train, AutocastInferer(hardware), run, folder / "strips")

    def keep_best(scores: Scores) -> None:
        save_checkpoint(folder / "best.pt", card.model_copy(update={"metrics": scores}), ema.state_dict())

    def save(state: dict[str, Any]) -> None:
        metrics = {name: value for name, value in validation.best.items() if name != "epoch"}
        save_checkpoint(folder / "last.pt", card.model_copy(update={"metrics": metrics}), ema.state_dict(), state)

    only_first = processes.only_first
    record, keep_best, show = only_first(run.log_metrics), only_first(keep_best), only_first(strips.show)
    validation = Validation(evaluator, len(cached), train, wired.budget, record, keep_best, show, hook)
    saving = Saving(only_first(save), train, ema, sampler, validation, wired.budget)
    num_threads = torch.get_num_threads() if hardware.device.type == "cpu" else 1
    cores = CoreWatch(num_threads, read_cpu if processes.local_size == 1 else lambda: None)  # of programs, not of these
    progress = TrainingProgress(validation, wired.budget, cores) if processes.is_first else None
    for handler in (wired.budget, validation, saving):
        handler.attach(wired.trainer)
    if progress is not None:
        progress.attach(wired.trainer)
    return _Watch(validation, show, saving, progress)


def wire_training(
    recipe: FitRecipe,
    card: ModelCard,
    cached: CachedCases,
    hardware: Hardware,
    augment: Augment,
    start: LoadedModel | None = None,
) -> Wired:
    """A new network of `card`, with the weights of `start`, and the engine that trains it on `cached`.

    The batch size must be set.
    """
    train, device, processes = settle_coarse(recipe.train, card), hardware.device, hardware.processes
    built = card.build_network()
    if start is not None:
        copy_weights(built, card.classes, start)
    counted = copy.deepcopy(built).to("meta")  # on several GPUs, `built` gets batch normalization that runs only there
    network = built.to(device).to(memory_format=hardware.memory_format)  # type: ignore[call-overload]
    if train.compile and can_compile(device):
        network.compile(dynamic=False)
    assert train.batch_size is not None
    loader = build_train_loader(cached, train.batch_size, recipe.seed, processes)
    budget = Budget(train, recipe.optim, cache(partial(count_gflop, counted, training=True)), processes)
    trainer = build_trainer(network, loader, MaskedLoss(recipe.loss, processes), augment, budget, hardware)
    attach_processes(trainer, hardware, recipe.seed)
    return Wired(trainer, budget, cast(EpochSampler, loader.sampler), build_ema(network, budget, trainer))


def settle_coarse(train: TrainingConfig, card: ModelCard) -> TrainingConfig:
    """`train` with its share of coarse steps set. They teach the positions of the organs, which a start model knows."""
    coarse = train.coarse
    if coarse is None:
        coarse = _COARSE if card.origin is None else 0.0
    if min(card.preprocess.size) // 2 < smallest_size(card.model):
        coarse = 0.0
    return train.model_copy(update={"coarse": coarse})


def _series(history: list[dict[str, float]]) -> dict[str, list[tuple[int, float]]]:
    """The history by metric, as pairs of epoch and value."""
    names = {name for record in history for name in record if name != "epoch"}
    return {
        name: [(int(record["epoch"]), record[name]) for record in history if name in record] for name in sorted(names)
    }
