"""Training: the time that a step takes for a picture, in the article's loop and in this project's, and on what."""

import copy
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.engines.utils import IterationEvents

from medseg.benchmark import article
from medseg.benchmark.alternation import Turn, alternate, synchronize, timed
from medseg.benchmark.limit import Products
from medseg.benchmark.networks import article_config, count_gflop
from medseg.benchmark.result import Comparison, Row, find_limit
from medseg.benchmark.session import Session
from medseg.benchmark.subject import ARTICLE, Subject, load_pairs
from medseg.data.loaders import CachedCases

NO_NUMBER = "between 0 and 1"
"""What BCELoss says, on a CPU, of probabilities that are NaN."""
SHARES = ("data", "augmentation", "forward", "backward", "optimiser", "other")
UNSAVED = f"{ARTICLE}, nothing saved"
"""The row of the article's loop without its pictures and weights, as ours is measured."""
UNSAVED_RATIO = "ratio_to_nothing_saved"
_SAVES = "writes a picture each step, its weights every ten"
_ARTICLE_STEPS = 10  # in a turn: it saves its weights every ten
_UNSAVED_STEPS = 5  # in a turn: it prints every five
_SHARE_STEPS = 2


def measure_training(subject: Subject) -> Iterator[Comparison]:
    """One comparison for each width: the article's loop, saving or not, ours with its reflect padding or with zeros.

    Ours is the step alone, without validation and saving.
    """
    for width in subject.training_widths:
        yield _compare(subject, width)


def _compare(subject: Subject, width: int) -> Comparison:
    settings, device = subject.settings, subject.device
    size = settings.training_size, settings.training_size
    cached = subject.pictures("train", size)
    gflop = count_gflop(width, settings.training_size, len(subject.classes), training=True)
    products = Products(device, settings.product_seconds)
    train = subject.recipe.train.model_copy(
        update={"batch_size": settings.batch_size, "coarse": 0.0, "epochs": 10**6, "minutes": None}
    )
    sessions = {
        f"medseg, {name} padding": Session(
            subject.recipe, subject.describe(article_config(width, mode), size), train, cached, device
        )
        for name, mode in (("reflect", "reflect"), ("zero", "zeros"))
    }
    with ExitStack() as stack:
        loop = ArticleTraining(width, cached, device, subject.folder, stack)
        unsaved = ArticleTraining(width, cached, device, subject.folder, stack, saves=False)
        turns: dict[str, Turn] = {**products.turns, ARTICLE: loop.turn, UNSAVED: unsaved.turn}
        turns |= {name: partial(_time_step, session, device) for name, session in sessions.items()}
        ours = [session.step for session in sessions.values()]
        for step in (*products.turns.values(), loop.step, unsaved.step, *ours):
            step()  # so that turns need no warming; of ten steps of the article's loop one will save
        times = alternate(turns, settings.turns, settings.seconds, warm=False)
    details: dict[str, dict[str, Any]] = {name: {"batch_size": 1} for name in (ARTICLE, UNSAVED)}
    for name, session in sessions.items():
        ratio = times[UNSAVED].median / times[name].median
        shares = measure_shares(session, device)
        details[name] = {"batch_size": session.batch_size, UNSAVED_RATIO: ratio, "shares": shares}
    notes = {ARTICLE: _SAVES}
    rows = [Row(name, times[name], gflop, note=notes.get(name, ""), details=shown) for name, shown in details.items()]
    title = f"width {width}, {settings.training_size} x {settings.training_size}"
    measured = products.describe(times)
    return Comparison("training", title, tuple(rows), ARTICLE, find_limit(measured), products=measured)


def _time_step(session: Session, device: torch.device) -> float:
    """Seconds a picture."""
    return timed(session.step, device)() / session.batch_size


class ArticleTraining:
    """The article's training loop, some steps at a time."""

    def __init__(
        self,
        width: int,
        cached: CachedCases,
        device: torch.device,
        folder: Path,
        stack: ExitStack,
        *,
        saves: bool = True,
    ) -> None:
        """Its files lie in a temporary folder below `folder`, which goes with `stack`."""
        self._steps = _ARTICLE_STEPS if saves else _UNSAVED_STEPS
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        log = stack.enter_context((scratch / "log.txt").open("w"))
        self.network = article.UNet(1, cached.labels.shape[1], width).to(device)
        self._first = copy.deepcopy(self.network.state_dict())
        self._train = partial(article.train, self.network, load_pairs(cached), device, scratch if saves else None, log)
        self._running = self._train()
        self.step = timed(lambda: next(self._running), device)

    def turn(self) -> float:
        """Seconds a picture. A training whose loss is no number begins anew: its steps take as long."""
        return sum(self._go_on() for _ in range(self._steps)) / self._steps

    def _go_on(self) -> float:
        try:
            return self.step()
        except RuntimeError as error:
            if NO_NUMBER not in str(error):
                raise
        self.network.load_state_dict(self._first)
        self._running = self._train()
        return self.step()


def measure_shares(session: Session, device: torch.device) -> dict[str, float]:
    """The share of a step's time that goes into each of `SHARES`; the sum is 1."""
    watch = Stopwatch(session, device)
    for _ in range(_SHARE_STEPS):
        session.step()
    return watch.shares


class Stopwatch:
    """Follows the events of a trainer; each stretch of time has the name of what ends it.

    `data`: the batch, and its way to the device; `optimiser`: clipping, update, moving average; `other`: the engine's
    own work. On a GPU each stretch is waited for, so that such steps are slower than others.
    """

    def __init__(self, session: Session, device: torch.device) -> None:
        self._device = device
        self._seconds = dict.fromkeys(SHARES, 0.0)
        self._at = time.perf_counter()
        trainer, session.augment.mark = session.trainer, self._mark
        last: Any = next(trainer.network.parameters())  # to get its gradient
        last.register_post_accumulate_grad_hook(lambda _: self._mark("backward"))
        for event, name in (
            (Events.GET_BATCH_STARTED, "other"),
            (Events.GET_BATCH_COMPLETED, "data"),
            (Events.ITERATION_STARTED, "other"),
            (IterationEvents.FORWARD_COMPLETED, "forward"),
            (IterationEvents.LOSS_COMPLETED, "forward"),
            (IterationEvents.MODEL_COMPLETED, "optimiser"),
            (Events.ITERATION_COMPLETED, "optimiser"),
        ):
            trainer.add_event_handler(event, self._mark, name)

    @property
    def shares(self) -> dict[str, float]:
        """By name."""
        total = sum(self._seconds.values())
        return {name: self._seconds[name] / total for name in SHARES}

    def _mark(self, name: str) -> None:
        synchronize(self._device)
        now = time.perf_counter()
        self._seconds[name] += now - self._at
        self._at = now
