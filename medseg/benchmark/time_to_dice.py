"""Time to a given validation Dice: this project's training compared with the article's network and loop."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from medseg.benchmark.bench import MEAN, Bench
from medseg.benchmark.contest import ARTICLE, Contest, Contestant, Details, Turn, timed
from medseg.benchmark.session import Session
from medseg.benchmark.training import ArticleTraining, Diverged
from medseg.data.loaders import CachedCases, build_validation_loader
from medseg.training.config import TrainingConfig
from medseg.training.engines import build_evaluator


@dataclass
class Racer:
    """A training on its way to the Dice; only its own steps are timed."""

    name: str
    step: Turn
    score: Callable[[], float]
    minutes: float
    is_over: Callable[[], bool] = lambda: False
    """Whether the training has ended by itself before `minutes` are over."""
    seconds: float = 0.0
    steps: int = 0
    curve: list[tuple[float, float]] = field(default_factory=list)
    """Seconds of training, and the Dice at that time."""
    diverged: bool = False

    def may_reach(self, dice: float) -> bool:
        """Whether the training can still reach the Dice."""
        return not self._has_ended and self.reached(dice) is None

    @property
    def _has_ended(self) -> bool:
        return self.diverged or self.is_over() or self.seconds >= 60 * self.minutes

    def advance(self, seconds: float) -> None:
        """Train for about `seconds`, at least one step, then validate."""
        end = self.seconds + seconds
        while self.seconds < end and not self._has_ended:
            try:
                self.seconds += self.step()
                self.steps += 1
            except Diverged:
                self.diverged = True
        self.curve.append((self.seconds, self.score()))

    def reached(self, dice: float) -> float | None:
        """The seconds of training until a validation reached the Dice; None if none did."""
        return next((seconds for seconds, found in self.curve if found >= dice), None)

    def describe(self, dice: float) -> Contestant:
        """The result: the time until the Dice was reached, or the time spent without reaching it."""
        reached, best = self.reached(dice), max(found for _, found in self.curve)
        details: Details = {"best_dice": best, "steps": self.steps, "curve": self.curve}
        if reached is not None:
            return Contestant(self.name, turns=(reached,), details=details)
        note = f"not reached in {self.seconds / 60:.3g} minutes"
        if self.diverged:
            note += f": its probabilities became NaN after {self.steps} steps"
        return Contestant(self.name, note=note, at_least=self.seconds, details=details)


def measure_time_to_dice(bench: Bench) -> Iterator[Contest]:
    """Both trainings in turns, each until it reaches the Dice or its time limit.

    The article's loop gets images of medseg's size; it would be even slower at its own 512 x 512.
    """
    recipe, settings, device = bench.recipe, bench.settings, bench.device
    train, validation = (bench.cache(split, recipe.preprocess) for split in ("train", "validation"))
    with ExitStack() as stack:
        loop = ArticleTraining(settings.article_width, train, device, bench.folder, stack)
        theirs = _build_score(bench, nn.Sequential(loop.network, Logit()), validation)
        card = bench.describe(recipe.model, recipe.preprocess.size)
        session = Session(recipe, card, cap_minutes(recipe.train, settings.minutes), train, bench.hardware)
        ours = _build_score(bench, session.average, validation)
        racers = [
            Racer(ARTICLE, loop.step, theirs, settings.minutes),
            Racer("medseg", timed(session.step, device), ours, settings.minutes, lambda: session.is_over),
        ]
        while running := [racer for racer in racers if racer.may_reach(settings.dice)]:
            for racer in running:
                racer.advance(settings.validate_seconds)
    found = [racer.describe(settings.dice) for racer in racers]
    yield Contest("time_to_dice", f"validation Dice {settings.dice:g} ({bench.judged})", found, unit="training")


def cap_minutes(train: TrainingConfig, minutes: float) -> TrainingConfig:
    """`train` with a budget of at most `minutes`, so that the learning rate falls over the time actually available."""
    return train.model_copy(update={"minutes": min(train.minutes or minutes, minutes)})


class Logit(nn.Module):
    """Converts probabilities to logits."""

    def forward(self, x: Tensor) -> Tensor:
        """The inverse of the sigmoid."""
        return torch.logit(x)


def _build_score(bench: Bench, network: nn.Module, validation: CachedCases) -> Callable[[], float]:
    """A function that gives the validation Dice of `network`, whose output is logits."""
    name = "dice" if bench.judged == MEAN else f"dice_{bench.judged}"
    loader = build_validation_loader(validation, bench.settings.batch_size)
    evaluator = build_evaluator(network, loader, bench.classes, bench.hardware)

    def score() -> float:
        evaluator.run()
        return float(evaluator.state.metrics["scores"][name])

    return score
