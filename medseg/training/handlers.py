"""Ignite handlers: the budget and its schedule, validation, saving, progress. Each has `attach(trainer)`."""

import math
import random
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.utils.enums import CommonKeys
from torch import Tensor, nn
from tqdm import tqdm

from medseg.errors import CheckpointError
from medseg.training.config import OptimConfig, TrainingConfig
from medseg.training.interrupt import Pending

Scores = dict[str, float]


class Budget:
    """Epochs and minutes: how much is spent, what the learning rate is at that, and when training ends."""

    def __init__(self, train: TrainingConfig, optim: OptimConfig) -> None:
        self.train = train
        self.optim = optim
        self.seconds_before = 0.0
        self.validation_seconds = 0.0
        """What the last validation took, or is expected to take: kept back from the minutes for the one at the end."""
        self._start: float | None = None

    def attach(self, trainer: SupervisedTrainer) -> None:
        """Start the clock, set the learning rate before each step, end training after the last."""
        trainer.add_event_handler(Events.STARTED, self._start_clock)
        trainer.add_event_handler(Events.ITERATION_STARTED, self._set_learning_rate)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._end)

    @property
    def seconds(self) -> float:
        """Seconds of training so far, those before a resume included."""
        return self.seconds_before + (0 if self._start is None else time.monotonic() - self._start)

    def spent(self, trainer: SupervisedTrainer, iteration: int) -> float:
        """The share of the budget that is spent after `iteration` steps, 0 to 1."""
        shares = [0.0]
        if self.train.num_epochs is not None:
            shares.append(iteration / (self.train.num_epochs * trainer.state.epoch_length))
        if self.train.minutes is not None:
            seconds = 60 * self.train.minutes
            shares.append(self.seconds / max(seconds - self.validation_seconds, seconds / 2))
        return min(max(shares), 1.0)

    def learning_rate(self, spent: float) -> float:
        """The learning rate where that share of the budget is spent."""
        peak, warmup = self.optim.learning_rate, self.optim.warmup
        if spent < warmup:
            return peak * (0.01 + 0.99 * spent / warmup)
        rest = (spent - warmup) / (1 - warmup)
        return peak * {
            "polynomial": (1 - rest) ** 0.9, "cosine": (1 + math.cos(math.pi * rest)) / 2, "constant": 1.0
        }[self.optim.decay]

    def _start_clock(self) -> None:
        self._start = time.monotonic()

    def _set_learning_rate(self, trainer: SupervisedTrainer) -> None:
        rate = self.learning_rate(self.spent(trainer, trainer.state.iteration - 1))
        for group in trainer.optimizer.param_groups:
            group["lr"] = rate

    def _end(self, trainer: SupervisedTrainer) -> None:
        if self.train.minutes is not None and self.spent(trainer, 0) >= 1:
            trainer.terminate()


class Validation:
    """Scores after epochs, their history, and the best of them."""

    def __init__(
        self,
        evaluator: SupervisedEvaluator,
        train: TrainingConfig,
        budget: Budget,
        record: Callable[[Scores, int], None],
        keep_best: Callable[[Scores], None],
        show: Callable[[int], None],
    ) -> None:
        """`record` takes an epoch's figures, `keep_best` the best scores so far, `show` an epoch worth a picture."""
        self.evaluator = evaluator
        self.train = train
        self.budget = budget
        self.record = record
        self.keep_best = keep_best
        self.show = show
        self.history: list[dict[str, float]] = []
        self.best: dict[str, float] = {}
        self.num_cases = len(evaluator.data_loader.dataset)
        self.validations = 0
        self.stale = 0
        self._losses: list[Tensor] = []
        self._images = 0
        self._epoch_start = 0.0
        self._validated_at = -1

    def attach(self, trainer: SupervisedTrainer) -> None:
        """Follow each step's loss; validate after every n-th epoch."""
        trainer.add_event_handler(Events.EPOCH_STARTED, self._begin)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._follow)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._finish_epoch)

    def validate(self, trainer: SupervisedTrainer) -> None:
        """Validate now, unless these weights were; record, keep the best, count towards early stopping."""
        if self._validated_at == trainer.state.iteration:
            return
        figures = self._figures(trainer)
        start = time.monotonic()
        self.evaluator.run()
        scores: Scores = dict(self.evaluator.state.metrics["scores"])
        self._validated_at = trainer.state.iteration
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

    def _begin(self) -> None:
        self._losses, self._images, self._epoch_start = [], 0, time.monotonic()

    def _follow(self, trainer: SupervisedTrainer) -> None:
        self._losses.append(trainer.state.output[CommonKeys.LOSS].detach())
        self._images += len(trainer.state.output[CommonKeys.IMAGE])
        if self.validations == 0:  # a forward pass is about a third of a step
            seconds = (time.monotonic() - self._epoch_start) / self._images
            self.budget.validation_seconds = seconds / 3 * self.num_cases

    def _finish_epoch(self, trainer: SupervisedTrainer) -> None:
        if trainer.state.epoch % self.train.validate_every == 0 or trainer.state.epoch == self.train.num_epochs:
            self.validate(trainer)
        else:
            self._record(trainer, self._figures(trainer))
        if self.train.early_stopping and self.stale >= self.train.early_stopping:
            trainer.terminate()

    def _figures(self, trainer: SupervisedTrainer) -> dict[str, float]:
        seconds = time.monotonic() - self._epoch_start
        loss = {"train/loss": float(torch.stack(self._losses).mean())} if self._losses else {}
        rate = {"images_per_second": self._images / seconds} if self._images else {}
        return loss | rate | {"learning_rate": trainer.optimizer.param_groups[0]["lr"]}

    def _record(self, trainer: SupervisedTrainer, figures: dict[str, float]) -> None:
        self.history.append({"epoch": float(trainer.state.epoch), **figures})
        self.record(figures, trainer.state.epoch)


class Saving:
    """Writes the state to go on from: after epochs, and within a long one."""

    def __init__(self, save: Callable[[dict[str, Any]], None], train: TrainingConfig, ema: nn.Module,
                 validation: Validation, budget: Budget) -> None:
        self.save = save
        self.train = train
        self.ema = ema
        self.validation = validation
        self.budget = budget
        self._saved_at = time.monotonic()
        self._took = 0.0

    def attach(self, trainer: SupervisedTrainer) -> None:
        """Save after an epoch where that costs little, and whenever `train.save_seconds` have passed."""
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._save_after_epoch)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._save_within_epoch)

    def save_now(self, trainer: SupervisedTrainer) -> None:
        """Write the state of this moment."""
        start = time.monotonic()
        self.save(self.state(trainer))
        self._saved_at, self._took = time.monotonic(), time.monotonic() - start

    def state(self, trainer: SupervisedTrainer) -> dict[str, Any]:
        """All that the next step depends on; the averaged weights stand in the model file itself."""
        return {
            "network": trainer.network.state_dict(),
            "optimizer": trainer.optimizer.state_dict(),
            "iteration": trainer.state.iteration,
            "epoch_length": trainer.state.epoch_length,
            "seconds": self.budget.seconds,
            "history": self.validation.history,
            "best": self.validation.best,
            "validations": self.validation.validations,
            "stale": self.validation.stale,
            "random": read_random_state(),
        }

    def load(self, trainer: SupervisedTrainer, weights: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Go on from `state`; the random state is set when training starts. Raises `CheckpointError`."""
        if state["epoch_length"] != trainer.state.epoch_length:
            raise CheckpointError(
                f"cannot resume: an epoch had {state['epoch_length']} batches in the file and has "
                f"{trainer.state.epoch_length} now; training cases or train.batch_size changed"
            )
        trainer.network.load_state_dict(state["network"])
        self.ema.load_state_dict(weights)
        trainer.optimizer.load_state_dict(state["optimizer"])
        trainer.state.iteration = trainer.data_loader.sampler.iteration = state["iteration"]
        trainer.state.epoch = state["iteration"] // state["epoch_length"]
        self.budget.seconds_before = state["seconds"]
        self.validation.history = list(state["history"])
        self.validation.best = dict(state["best"])
        self.validation.validations, self.validation.stale = state["validations"], state["stale"]
        trainer.add_event_handler(Events.STARTED, lambda: write_random_state(state["random"]))

    def _save_after_epoch(self, trainer: SupervisedTrainer) -> None:
        if time.monotonic() - self._saved_at >= min(50 * self._took, self.train.save_seconds):
            self.save_now(trainer)

    def _save_within_epoch(self, trainer: SupervisedTrainer) -> None:
        ends_epoch = trainer.state.iteration % trainer.state.epoch_length == 0  # validated first, then saved
        if not ends_epoch and time.monotonic() - self._saved_at >= self.train.save_seconds:
            self.save_now(trainer)


class Progress:
    """A bar with loss, Dice, images/s and time left on a terminal; elsewhere a line an epoch."""

    def __init__(self, validation: Validation, budget: Budget) -> None:
        self.validation = validation
        self.budget = budget
        self.bar: tqdm[Any] | None = None

    def attach(self, trainer: SupervisedTrainer) -> None:
        """Show what `validation` records."""
        if sys.stderr.isatty():
            trainer.add_event_handler(Events.STARTED, self._open)
            trainer.add_event_handler(Events.ITERATION_COMPLETED, self._move)
            trainer.add_event_handler(Events.COMPLETED, self._close)
        else:
            trainer.add_event_handler(Events.EPOCH_COMPLETED, self._print)

    def describe(self, trainer: SupervisedTrainer) -> str:
        """One line on the last epoch."""
        figures = self.validation.history[-1] if self.validation.history else {}
        spent = self.budget.spent(trainer, trainer.state.iteration)
        left = self.budget.seconds * (1 - spent) / spent if spent else 0
        parts = [f"epoch {trainer.state.epoch}"]
        parts += [f"loss {figures['train/loss']:.4f}"] if "train/loss" in figures else []
        parts += [f"Dice {figures['val/dice']:.4f}"] if "val/dice" in figures else []
        parts += [f"{figures['images_per_second']:.1f} images/s"] if "images_per_second" in figures else []
        return "  ".join([*parts, f"{left // 60:.0f}:{left % 60:02.0f} left"])

    def _print(self, trainer: SupervisedTrainer) -> None:
        print(self.describe(trainer), file=sys.stderr, flush=True)

    def _open(self) -> None:
        self.bar = tqdm(total=1000, bar_format="{percentage:3.0f}% |{bar}| {desc}", leave=True)

    def _move(self, trainer: SupervisedTrainer) -> None:
        if self.bar is not None:
            self.bar.n = int(1000 * self.budget.spent(trainer, trainer.state.iteration))
            self.bar.set_description_str(self.describe(trainer))

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def end_on_signal(trainer: SupervisedTrainer, pending: Pending) -> None:
    """Let `trainer` stop after the step during which a signal came."""
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda: trainer.terminate() if pending.signum is not None else None
    )


def read_random_state() -> dict[str, Any]:
    """The state of every random number generator a training may draw from, as plain values."""
    numpy_state = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [numpy_state[0], [int(v) for v in numpy_state[1]], *numpy_state[2:]],
        "python": random.getstate(),
    }


def write_random_state(state: Mapping[str, Any]) -> None:
    """Set what `read_random_state` gave."""
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), *rest))
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
