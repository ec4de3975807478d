"""The state that a training is resumed from, random number generators included: saving and loading."""

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from torch import Tensor, nn

from medseg.data.loaders import EpochSampler
from medseg.errors import CheckpointError
from medseg.training.config import TrainingConfig
from medseg.training.handlers import Budget, Validation, can_resume


class Saving:
    """Saves the state to resume from, after epochs and within long epochs."""

    def __init__(
        self,
        save: Callable[[dict[str, Any]], None],
        train: TrainingConfig,
        ema: nn.Module,
        sampler: EpochSampler,
        validation: Validation,
        budget: Budget,
    ) -> None:
        self.save = save
        self.train = train
        self.ema = ema
        self.sampler = sampler
        self.validation = validation
        self.budget = budget
        self._saved_at = time.monotonic()
        self._took = 0.0

    def attach(self, trainer: SupervisedTrainer) -> None:
        """Save after each epoch if that takes little time, and whenever `train.save_seconds` have passed."""
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._save_after_epoch)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._save_within_epoch)

    def save_now(self, trainer: SupervisedTrainer) -> None:
        """Save the current state. Raises `TrainingError` if a loss of this epoch was not finite."""
        self.validation.check(trainer)
        start = time.monotonic()
        self.save(self.state(trainer))
        self._saved_at, self._took = time.monotonic(), time.monotonic() - start

    def state(self, trainer: SupervisedTrainer) -> dict[str, Any]:
        """Everything that the next step depends on, except the averaged weights, which are in the model file itself."""
        return {
            "network": trainer.network.state_dict(),
            "optimizer": trainer.optimizer.state_dict(),
            "optim": self.budget.optim.name,
            "iteration": trainer.state.iteration,
            "epoch_length": trainer.state.epoch_length,
            "batch_size": self.sampler.batch_size,
            "seconds": self.budget.seconds,
            "gflop": None if self.budget.train.tflop is None else self.budget.gflop,
            "history": self.validation.history,
            "best": self.validation.best,
            "validations": self.validation.validations,
            "stale": self.validation.stale,
            "validated_at": self.validation.validated_at,
            "random": read_random_state(),
        }

    def load(self, trainer: SupervisedTrainer, weights: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Resume from `state`. The random state is set when the training starts. Raises `CheckpointError`."""
        if state["epoch_length"] != trainer.state.epoch_length:
            raise CheckpointError(
                f"cannot resume: an epoch has {state['epoch_length']} batches in the checkpoint, but "
                f"{trainer.state.epoch_length} now; the training cases or train.batch_size changed"
            )
        if state["optim"] != self.budget.optim.name:
            raise CheckpointError(
                f"cannot resume: optim.name is {state['optim']} in the checkpoint, but {self.budget.optim.name} now"
            )
        trainer.network.load_state_dict(state["network"])
        self.ema.load_state_dict(weights)
        wanted = [{k: v for k, v in group.items() if k != "params"} for group in trainer.optimizer.param_groups]
        trainer.optimizer.load_state_dict(state["optimizer"])
        for group, settings in zip(trainer.optimizer.param_groups, wanted, strict=True):
            group.update(settings)  # settings come from this configuration, not from the file
        trainer.state.iteration = self.sampler.iteration = state["iteration"]
        trainer.state.epoch = state["iteration"] // state["epoch_length"]
        gflop = state.get("gflop") or 0.0
        if self.budget.train.tflop is not None and state["iteration"] and not gflop:
            raise CheckpointError(
                "cannot resume: the operations of the training so far were not counted; set train.minutes or "
                "train.epochs in place of train.tflop"
            )
        self.budget.seconds_before, self.budget.gflop = state["seconds"], gflop
        self.validation.history = list(state["history"])
        self.validation.best = dict(state["best"])
        self.validation.validations, self.validation.stale = state["validations"], state["stale"]
        self.validation.validated_at = state["validated_at"]
        trainer.add_event_handler(Events.STARTED, lambda: write_random_state(state["random"]))

    def _save_after_epoch(self, trainer: SupervisedTrainer) -> None:
        if time.monotonic() - self._saved_at >= min(50 * self._took, self.train.save_seconds):
            self.save_now(trainer)

    def _save_within_epoch(self, trainer: SupervisedTrainer) -> None:
        if can_resume(trainer, self.train.accumulate) and time.monotonic() - self._saved_at >= self.train.save_seconds:
            self.save_now(trainer)


def read_random_state() -> dict[str, Any]:
    """The states of all random number generators that a training may use, as plain values."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [name, np.asarray(keys).tolist(), *rest],
        "python": random.getstate(),
    }


def write_random_state(state: Mapping[str, Any]) -> None:
    """Restore the states that `read_random_state` returned."""
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]][: torch.cuda.device_count()])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), *rest))
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
