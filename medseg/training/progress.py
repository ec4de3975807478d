"""Progress display of a training."""

import logging
import math
import sys
import time

from ignite.engine import Events
from monai.engines import SupervisedTrainer
from tqdm import tqdm

from medseg.training.core_watch import CoreWatch
from medseg.training.handlers import Budget, Validation

_logger = logging.getLogger(__name__)


class TrainingProgress:
    """Shows loss, Dice, images per second and time left.

    On a terminal it is a bar. Elsewhere it is a line for each epoch, and every 30 s in a long epoch.
    """

    def __init__(self, validation: Validation, budget: Budget, cores: CoreWatch) -> None:
        """`cores` detects other programs that slow the training down."""
        self.validation = validation
        self.budget = budget
        self.cores = cores
        self.bar = tqdm(total=1000, bar_format="{percentage:3.0f}% |{bar}| {desc}") if sys.stderr.isatty() else None
        self._printed_at = time.monotonic()

    def attach(self, trainer: SupervisedTrainer) -> None:
        """Show the progress after each step and epoch."""
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._show)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._print)

    def close(self) -> None:
        """Stop updating the bar and leave it on the screen."""
        if self.bar is not None:
            self.bar.close()

    def describe(self, trainer: SupervisedTrainer) -> str:
        """One line about the current epoch, with the last Dice, and the epoch it is of if that is another one."""
        figures, epoch, length = self.validation.figures(trainer), trainer.state.epoch, trainer.state.epoch_length
        dice = [record for record in self.validation.history if "val/dice" in record][-1:]
        done = trainer.state.iteration % length
        spent = self.budget.spent(trainer, trainer.state.iteration)
        left = self.budget.seconds * (1 - spent) / spent if spent else 0
        parts = [f"epoch {epoch}" + (f" ({done / length:.0%})" if done else "")]
        parts += [f"loss {figures.get('train/loss', math.nan):.4f}"]
        for record in dice:
            of = "" if record["epoch"] == epoch else f" (epoch {record['epoch']:.0f})"
            parts.append(f"Dice {record['val/dice']:.4f}{of}")
        parts += [f"{figures.get('images_per_second', 0):.1f} images/s", f"{left // 60:.0f}:{left % 60:02.0f} left"]
        return "  ".join(filter(None, [*parts, self.cores.describe()]))

    def _show(self, trainer: SupervisedTrainer) -> None:
        if self.bar is not None and time.monotonic() - self._printed_at >= 0.5:
            self._printed_at = time.monotonic()
            self.bar.n = int(1000 * self.budget.spent(trainer, trainer.state.iteration))
            self.bar.set_description_str(self.describe(trainer))
        elif self.bar is None and time.monotonic() - self._printed_at >= 30:
            self._print(trainer)

    def _print(self, trainer: SupervisedTrainer) -> None:
        if self.bar is None:
            _logger.info(self.describe(trainer))
            self._printed_at = time.monotonic()
