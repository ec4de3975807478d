"""Time to a given validation Dice: this project's training against the article's loop with its own network."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from medseg.benchmark.alternation import Times, Turn, timed
from medseg.benchmark.config import BenchmarkSettings
from medseg.benchmark.result import Comparison, Row
from medseg.benchmark.session import Session
from medseg.benchmark.subject import ARTICLE, MEAN, Subject
from medseg.benchmark.training import NO_NUMBER, ArticleTraining
from medseg.data.loaders import CachedCases, build_validation_loader
from medseg.training.config import TrainingConfig
from medseg.training.engines import build_evaluator

OURS = "medseg"


@dataclass
class Racer:
    """A training on its way to the Dice; only its own steps count."""

    name: str
    step: Turn
    score: Callable[[], float]
    is_over: Callable[[], bool]
    seconds: float = 0.0
    steps: int = 0
    curve: list[tuple[float, float]] = field(default_factory=list)
    """Seconds of training, and the Dice then."""
    diverged: bool = False

    def is_running(self, dice: float) -> bool:
        """Whether it may still reach the Dice."""
        return not (self.diverged or self.is_over() or self.reached(dice) is not None)

    def advance(self, seconds: float) -> None:
        """Train for about so long, at least a step, and look at the validation cases."""
        end = self.seconds + seconds
        while self.seconds < end and not self.is_over():
            try:
                self.seconds += self.step()
            except RuntimeError as error:
                if NO_NUMBER not in str(error):
                    raise
                self.diverged = True
                break
            self.steps += 1
        self.curve.append((self.seconds, self.score()))

    def reached(self, dice: float) -> float | None:
        """The seconds at which the Dice was seen, None where it was not."""
        return next((seconds for seconds, found in self.curve if found >= dice), None)


def measure_time_to_dice(subject: Subject) -> Iterator[Comparison]:
    """Both trainings, by turns, each until it has the Dice or its minutes are over."""
    settings = subject.settings
    train, validation = (subject.cache(split, subject.recipe.preprocess) for split in ("train", "validation"))
    with ExitStack() as stack:
        racers = [_enter_article(subject, train, validation, stack), _enter_ours(subject, train, validation)]
        while running := [racer for racer in racers if racer.is_running(settings.dice)]:
            for racer in running:
                racer.advance(settings.validate_seconds)
    what = f"validation Dice {settings.dice:g} ({subject.judged})"
    rows = tuple(describe_racer(racer, settings) for racer in racers)
    yield Comparison("time_to_dice", what, rows, ARTICLE, unit="training")


def _enter_article(subject: Subject, train: CachedCases, validation: CachedCases, stack: ExitStack) -> Racer:
    """The article's loop, on pictures of the size that ours has: it is slower still on its own 512 x 512."""
    settings = subject.settings
    loop = ArticleTraining(settings.article_width, train, subject.device, subject.folder, stack)
    score = _build_score(subject, nn.Sequential(loop.network, Logit()), validation)
    racer = Racer(ARTICLE, loop.step, score, lambda: racer.seconds >= 60 * settings.minutes)
    return racer


def _enter_ours(subject: Subject, train: CachedCases, validation: CachedCases) -> Racer:
    recipe, minutes = subject.recipe, subject.settings.minutes
    train_config = cap_minutes(recipe.train, minutes)
    card = subject.describe(recipe.model, recipe.preprocess.size)
    session = Session(recipe, card, train_config, train, subject.device)
    score = _build_score(subject, session.average, validation)
    step = timed(session.step, subject.device)
    racer = Racer(OURS, step, score, lambda: session.is_over or racer.seconds >= 60 * minutes)
    return racer


def cap_minutes(train: TrainingConfig, minutes: float) -> TrainingConfig:
    """`train` with a budget of at most `minutes`, so that its learning rate falls over what it gets."""
    return train.model_copy(update={"minutes": min(train.minutes or minutes, minutes)})


class Logit(nn.Module):
    """Logits of probabilities."""

    def forward(self, x: Tensor) -> Tensor:
        """The inverse of the sigmoid."""
        return torch.logit(x)


def _build_score(subject: Subject, network: nn.Module, validation: CachedCases) -> Callable[[], float]:
    """What scores `network`, which gives logits, on the validation cases."""
    train, name = subject.recipe.train, "dice" if subject.judged == MEAN else f"dice_{subject.judged}"
    loader = build_validation_loader(validation, subject.settings.batch_size)
    evaluator = build_evaluator(network, loader, subject.classes, train, subject.device)

    def score() -> float:
        evaluator.run()
        return float(evaluator.state.metrics["scores"][name])

    return score


def describe_racer(racer: Racer, settings: BenchmarkSettings) -> Row:
    """Its row: the time at which it had the Dice, or how long it tried in vain."""
    reached = racer.reached(settings.dice)
    details = {"best_dice": max(dice for _, dice in racer.curve), "steps": racer.steps, "curve": racer.curve}
    if reached is not None:
        return Row(racer.name, Times((reached,)), details=details)
    note = f"not reached in {racer.seconds / 60:.3g} minutes"
    if racer.diverged:
        note += f": its probabilities were no numbers after {racer.steps} steps"
    return Row(racer.name, note=note, at_least=racer.seconds, details=details)
