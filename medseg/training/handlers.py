"""Ignite handlers for the budget with its learning rate, and for validation. Each has `attach(trainer)`."""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.utils.enums import CommonKeys
from torch import Tensor

from medseg.errors import TrainingError
from medseg.hardware.device import Hardware
from medseg.hardware.processes import ALONE, Processes
from medseg.signals import Pending
from medseg.training.config import OptimConfig, TrainingConfig
from medseg.training.parallel import agree_on_signal

Scores = dict[str, float]
ValidationHook = Callable[[int, Scores], bool]
"""Called with an epoch and its validation scores. If it returns True, the training stops."""
_CHECK_EVERY = 20
"""Number of steps between two checks of the losses. Each check waits for the GPU."""


class Budget:
    """The budget in epochs, minutes and operations. It sets the learning rate and ends the training.

    Of several processes, the first one's clock counts, at the beginning and at the end of each step.
    """

    def __init__(
        self,
        train: TrainingConfig,
        optim: OptimConfig,
        work: Callable[[tuple[int, ...]], float] | None = None,
        processes: Processes = ALONE,
    ) -> None:
        """`work`: 1e9 operations of a training step on an image `(channel, rows, columns)`; for `train.tflop` only."""
        self.train = train
        self.optim = optim
        self.work = work
        self.processes = processes
        self._spent_before = 0.0  # this step, as all processes know it
        self.gflop = 0.0
        """1e9 operations of the network so far."""
        self.seconds_before = 0.0
        self.validation_seconds = 0.0
        """Time of the last validation, or an estimate before the first. This much of `train.minutes` is kept for the
        validation at the end."""
        self._start: float | None = None

    def attach(self, trainer: SupervisedTrainer) -> None:
        """Start the clock, set the learning rate before each step, and end the training after the last step."""
        trainer.add_event_handler(Events.STARTED, self._start_clock)
        trainer.add_event_handler(Events.ITERATION_STARTED, self._set_learning_rate)
        if self.train.tflop is not None:
            trainer.add_event_handler(Events.ITERATION_COMPLETED, self._count)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._end)

    @property
    def seconds(self) -> float:
        """Seconds of training so far, including the time before it was resumed."""
        return self.seconds_before + (0 if self._start is None else time.monotonic() - self._start)

    def spent(self, trainer: SupervisedTrainer, iteration: int) -> float:
        """The share of the budget, 0 to 1, that is spent after `iteration` steps."""
        shares = [0.0]
        if self.train.num_epochs is not None:
            shares.append(iteration / (self.train.num_epochs * trainer.state.epoch_length))
        if self.train.minutes is not None:
            seconds = 60 * self.train.minutes
            shares.append(self.seconds / max(seconds - self.validation_seconds, seconds / 2))
        if self.train.tflop is not None:
            shares.append(self.gflop / (1000 * self.train.tflop))
        return min(max(shares), 1.0)

    def is_coarse(self, trainer: SupervisedTrainer) -> bool:
        """Whether this step runs at half the resolution."""
        alone = self.processes.size == 1
        spent = self.spent(trainer, trainer.state.iteration - 1) if alone else self._spent_before
        return spent < (self.train.coarse or 0)

    def learning_rate(self, spent: float) -> float:
        """The learning rate after a share `spent` of the budget."""
        peak, warmup = self.optim.learning_rate, self.optim.warmup
        if spent < warmup:
            return peak * (0.01 + 0.99 * spent / warmup)
        rest = (spent - warmup) / (1 - warmup)
        shapes = {"polynomial": (1 - rest) ** 0.9, "cosine": (1 + math.cos(math.pi * rest)) / 2, "constant": 1.0}
        return float(peak * shapes[self.optim.decay])

    def _start_clock(self) -> None:
        self._start = time.monotonic()

    def _set_learning_rate(self, trainer: SupervisedTrainer) -> None:
        self._spent_before = self._decide(self.spent(trainer, trainer.state.iteration - 1))
        rate = self.learning_rate(self._spent_before)
        for group in trainer.optimizer.param_groups:
            group["lr"] = rate

    def _count(self, trainer: SupervisedTrainer) -> None:
        images = trainer.state.output[CommonKeys.IMAGE]
        assert self.work is not None
        self.gflop += len(trainer.state.batch["index"]) * self.work(tuple(images.shape[1:]))

    def _end(self, trainer: SupervisedTrainer) -> None:
        if self._decide(self.spent(trainer, 0)) >= 1:
            trainer.terminate()

    def _decide(self, spent: float) -> float:
        """`spent` by the first process. Without a clock, all processes know it."""
        return spent if self.train.minutes is None else self.processes.decide(spent)


class Validation:
    """Validates after epochs and keeps the history and the best scores."""

    def __init__(
        self,
        evaluator: SupervisedEvaluator,
        num_cases: int,
        train: TrainingConfig,
        budget: Budget,
        record: Callable[[Scores, int], None],
        keep_best: Callable[[Scores], None],
        show: Callable[[int], None],
        hook: ValidationHook | None = None,
    ) -> None:
        """`record` gets the figures of each epoch, `keep_best` each new best score, `show` each epoch to be drawn."""
        self.evaluator = evaluator
        self.train = train
        self.budget = budget
        self.record = record
        self.keep_best = keep_best
        self.show = show
        self.hook = hook
        self.is_stopped = False
        """Whether the hook has stopped the training."""
        self.history: list[dict[str, float]] = []
        self.best: dict[str, float] = {}
        self.num_cases = num_cases
        self.validations = 0
        self.stale = 0
        self._losses: list[Tensor] = []
        self._batches: list[Tensor] = []
        self._num_checked = 0
        self._images = 0
        self._epoch_start = 0.0
        self.validated_at = -1
        """The iteration of the last validation."""

    @property
    def ends_early(self) -> bool:
        """Whether the training ends before its budget is spent: it no longer improves, or the hook has stopped it."""
        return self.is_stopped or 0 < self.train.early_stopping <= self.stale

    def attach(self, trainer: SupervisedTrainer) -> None:
        """Collect the loss of each step, and validate after every `train.validate_every` epochs."""
        trainer.add_event_handler(Events.EPOCH_STARTED, self._begin)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._follow)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._finish_epoch)

    def validate(self, trainer: SupervisedTrainer) -> None:
        """Validate now, unless these weights are already validated; record the scores and keep the best."""
        if self.validated_at == trainer.state.iteration:
            return
        self.check(trainer)
        figures = self.figures(trainer)
        start = time.monotonic()
        self.evaluator.run()
        scores: Scores = dict(self.evaluator.state.metrics["scores"])
        self.validated_at = trainer.state.iteration
        self.validations += 1
        self._record(trainer, figures | {f"val/{name}": value for name, value in scores.items()})
        if not self.best or scores["dice"] > self.best["dice"]:
            self.best = scores | {"epoch": trainer.state.epoch}
            self.stale = 0
            self.keep_best(scores)
        else:
            self.stale += 1
        if (self.validations - 1) % self.train.strips_every == 0:
            self.show(trainer.state.epoch)
        self.budget.validation_seconds = time.monotonic() - start
        decide = partial(self.hook, trainer.state.epoch, dict(scores)) if self.hook else None
        self.is_stopped = decide is not None and self.budget.processes.lead(decide)

    def check(self, trainer: SupervisedTrainer) -> None:
        """Raise `TrainingError` if a loss of this epoch is not finite. The message names the first such batch."""
        first = trainer.state.iteration - len(self._losses) + self._num_checked + 1
        check_losses(trainer, first, self._losses[self._num_checked :], self._batches[self._num_checked :])
        self._num_checked = len(self._losses)

    def _begin(self) -> None:
        self._losses, self._batches, self._num_checked = [], [], 0
        self._images, self._epoch_start = 0, time.monotonic()

    def _follow(self, trainer: SupervisedTrainer) -> None:
        self._losses.append(trainer.state.output[CommonKeys.LOSS].detach())
        self._batches.append(trainer.state.batch["index"])
        if len(self._losses) - self._num_checked >= _CHECK_EVERY:
            self.check(trainer)
        self._images += len(trainer.state.batch["index"])
        if self.validations == 0:
            # a forward pass takes about a third of a step, and a full-resolution step four times a coarse one
            seconds = (time.monotonic() - self._epoch_start) / self._images
            factor = 4 if self.budget.is_coarse(trainer) else 1
            self.budget.validation_seconds = factor * seconds / 3 * self.num_cases

    def _finish_epoch(self, trainer: SupervisedTrainer) -> None:
        if trainer.state.epoch % self.train.validate_every == 0 or trainer.state.epoch == self.train.num_epochs:
            self.validate(trainer)
        else:
            self._record(trainer, self.figures(trainer))
        if self.ends_early:
            trainer.terminate()

    def figures(self, trainer: SupervisedTrainer) -> dict[str, float]:
        """Loss, images per second and learning rate of the current epoch."""
        seconds = time.monotonic() - self._epoch_start
        loss = {"train/loss": float(torch.stack(self._losses).mean())} if self._losses else {}
        rate = {"images_per_second": self._images / seconds} if self._images else {}
        return loss | rate | {"learning_rate": trainer.optimizer.param_groups[0]["lr"]}

    def _record(self, trainer: SupervisedTrainer, figures: dict[str, float]) -> None:
        self.history.append({"epoch": float(trainer.state.epoch), **figures})
        self.record(figures, trainer.state.epoch)


def check_losses(
    trainer: SupervisedTrainer, iteration: int, losses: Sequence[Tensor], batches: Sequence[Tensor]
) -> None:
    """Raise `TrainingError` for the first of `losses` that is not finite. The message names its batch.

    `iteration` is the iteration of the first of `losses`.
    """
    if not losses:
        return
    values = torch.stack([*losses]).tolist()
    for number, (loss, batch) in enumerate(zip(values, batches, strict=True)):
        if not math.isfinite(loss):
            facts = trainer.state.dataloader.dataset.facts
            names = ", ".join(facts[int(index)].id for index in batch)
            raise TrainingError(
                f"the loss is {loss} in epoch {trainer.state.epoch}, iteration {iteration + number}, batch: {names}; "
                "try a lower optim.learning_rate or train.precision=fp32"
            )


def end_on_signal(trainer: SupervisedTrainer, pending: Pending, accumulate: int, hardware: Hardware) -> None:
    """Stop `trainer` after the step during which a signal came; at the end of an epoch, after its validation.

    A signal to any of several processes stops all of them after the same step.
    """

    def end(trainer: SupervisedTrainer) -> None:
        if agree_on_signal(pending, hardware) is not None and can_resume(trainer, accumulate):
            trainer.terminate()

    def end_epoch(trainer: SupervisedTrainer) -> None:
        if agree_on_signal(pending, hardware) is not None:
            trainer.terminate()

    trainer.add_event_handler(Events.ITERATION_COMPLETED, end)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, end_epoch)


def can_resume(trainer: SupervisedTrainer, accumulate: int) -> bool:
    """Whether training can be resumed from this step: no gradient is partly accumulated, and no validation is due."""
    within = trainer.state.iteration % trainer.state.epoch_length
    return bool(within != 0 and within % accumulate == 0)
