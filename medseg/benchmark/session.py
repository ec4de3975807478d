"""A training of this project as in `train_xray`, but without files and records."""

import time
from collections.abc import Callable

from ignite.engine import Events
from torch import Tensor

from medseg.benchmark.recipe import BenchmarkRecipe
from medseg.data.appearance import Part
from medseg.data.augment import Augment
from medseg.data.loaders import CachedCases
from medseg.hardware.device import Hardware
from medseg.model.checkpoint import ModelCard
from medseg.training.batch_size import settle_batch_size
from medseg.training.config import TrainingConfig
from medseg.training.fit import wire_training


class MarkedAugment(Augment):
    """Augmentation that calls `mark("data")` when it begins and `mark("augmentation")` when it ends."""

    mark: Callable[[str], None] = staticmethod(lambda name: None)

    def __call__(
        self, images: Tensor, targets: Tensor, iteration: int, part: Part | None = None
    ) -> tuple[Tensor, Tensor]:
        """Augment as `Augment` does."""
        self.mark("data")
        changed = super().__call__(images, targets, iteration, part)
        self.mark("augmentation")
        return changed


class Session:
    """A training set up as in `fit_network` that advances step by step; its budget is paused between steps."""

    def __init__(
        self, recipe: BenchmarkRecipe, card: ModelCard, train: TrainingConfig, cached: CachedCases, hardware: Hardware
    ) -> None:
        train = settle_batch_size(train, card, len(cached), hardware, None)
        self.augment = MarkedAugment(recipe.augment, recipe.seed, hardware.device)
        recipe = recipe.model_copy(update={"train": train})
        wired = wire_training(recipe, card, cached, hardware, self.augment)
        self.trainer, self.budget, self.average = wired.trainer, wired.budget, wired.average
        self.batch_size = wired.sampler.batch_size
        self.budget.attach(self.trainer)
        self.trainer.add_event_handler(Events.ITERATION_COMPLETED, self.trainer.interrupt)
        self._paused_at: float | None = None
        self.is_over = False
        """Whether the budget is spent."""

    def step(self) -> None:
        """Train one more step."""
        if self._paused_at is not None:
            self.budget.seconds_before -= time.monotonic() - self._paused_at
        self.trainer.run()
        self._paused_at = time.monotonic()
        self.is_over = self.budget.spent(self.trainer, self.trainer.state.iteration) >= 1
