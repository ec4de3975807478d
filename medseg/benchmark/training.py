"""Training: the time of a step per image in the article's loop and in this project's, and its parts."""

import copy
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.engines.utils import IterationEvents

from medseg.benchmark import article
from medseg.benchmark.bench import Bench, load_pairs
from medseg.benchmark.contest import ARTICLE, UNSAVED, Contest, Contestant, Details, compete, synchronize, timed
from medseg.benchmark.limit import enter_products
from medseg.benchmark.networks import article_config
from medseg.benchmark.session import Session
from medseg.data.loaders import CachedCases
from medseg.model.config import ModelConfig
from medseg.model.operations import count_gflop

SHARES = ("data", "augmentation", "forward", "backward", "optimiser", "other")
_ARTICLE_STEPS = 10  # in a turn, since the article saves its weights every ten steps
_UNSAVED_STEPS = 5  # in a turn, since the article prints every five steps
_SHARE_STEPS = 2
_ENDS = (
    (Events.GET_BATCH_STARTED, "other"),
    (Events.GET_BATCH_COMPLETED, "data"),
    (Events.ITERATION_STARTED, "other"),
    (IterationEvents.FORWARD_COMPLETED, "forward"),
    (IterationEvents.LOSS_COMPLETED, "forward"),
    (IterationEvents.MODEL_COMPLETED, "optimiser"),
    (Events.ITERATION_COMPLETED, "optimiser"),
)


def measure_training(bench: Bench) -> Iterator[Contest]:
    """One contest for each width: the article's loop with and without saving, and medseg with reflect and zero padding.

    For medseg only the step is timed, without validation and saving.
    """
    for width in bench.training_widths:
        yield _hold(bench, width, (bench.settings.training_size, bench.settings.training_size))


def _hold(bench: Bench, width: int, size: tuple[int, int]) -> Contest:
    cached, products = bench.cases("train", size), enter_products(bench)
    with ExitStack() as stack:
        build_loop = partial(ArticleTraining, width, cached, bench.device, bench.folder, stack)
        loop, unsaved = build_loop(), build_loop(saves=False)
        gflop = count_gflop(loop.network, (1, *size), training=True)
        entered = [
            loop.enter(ARTICLE, gflop, "saves an image at each step and its weights at every tenth"),
            unsaved.enter(UNSAVED, gflop),
            enter_ours("medseg, reflect padding", bench, article_config(width), cached, gflop),
            enter_ours("medseg, zero padding", bench, article_config(width, "zeros"), cached, gflop),
        ]
        found = compete([*products, *entered], bench.settings.turns, bench.settings.seconds)
    title = f"width {width}, {size[0]} x {size[1]}"
    return Contest("training", title, found[len(products) :], products=found[: len(products)])


def enter_ours(name: str, bench: Bench, model: ModelConfig, cached: CachedCases, gflop: float) -> Contestant:
    """A contestant that takes one step of medseg per turn; its times are seconds per image."""
    changes = {"batch_size": bench.settings.batch_size, "coarse": 0.0, "epochs": 10**6, "minutes": None, "tflop": None}
    rows, columns = cached.images.shape[-2:]
    card, train = bench.describe(model, (rows, columns)), bench.recipe.train.model_copy(update=changes)
    session = Session(bench.recipe, card, train, cached, bench.hardware)
    step = timed(session.step, bench.device)

    def tell(medians: Mapping[str, float]) -> Details:
        ratio, shares = medians[UNSAVED] / medians[name], measure_shares(session, bench.device)
        return {"batch_size": session.batch_size, "ratio_to_nothing_saved": ratio, "shares": shares}

    return Contestant(name, gflop, turn=lambda: step() / session.batch_size, warm_up=step, tell=tell)


class Diverged(Exception):  # noqa: N818
    """The article's training diverged: its BCELoss received NaN."""


class ArticleTraining:
    """The article's training loop, run a few steps at a time."""

    def __init__(
        self, width: int, cached: CachedCases, device: torch.device, folder: Path, stack: ExitStack, saves: bool = True
    ) -> None:
        """Files go to a temporary folder below `folder`, which is deleted when `stack` closes."""
        self._steps = _ARTICLE_STEPS if saves else _UNSAVED_STEPS
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        log = stack.enter_context((scratch / "log.txt").open("w"))
        self.network = article.UNet(1, cached.labels.shape[1], width).to(device)
        self._first = copy.deepcopy(self.network.state_dict())
        self._train = partial(article.train, self.network, load_pairs(cached), device, scratch if saves else None, log)
        self._running = self._train()
        self._timed = timed(lambda: next(self._running), device)

    def enter(self, name: str, gflop: float, note: str = "") -> Contestant:
        """A contestant that takes a few steps per turn. After one warm-up step, each turn of ten saves weights once."""
        return Contestant(name, gflop, note, turn=self.turn, warm_up=self.step, tell=lambda _: {"batch_size": 1})

    def turn(self) -> float:
        """Seconds per image. A training that diverges starts again, which does not change the time of a step."""
        seconds: list[float] = []
        while len(seconds) < self._steps:
            try:
                seconds.append(self.step())
            except Diverged:
                self.network.load_state_dict(self._first)
                self._running = self._train()
        return sum(seconds) / self._steps

    def step(self) -> float:
        """Take one step and return its seconds. Raises `Diverged`."""
        try:
            return self._timed()
        except RuntimeError as error:
            if "between 0 and 1" not in str(error):  # the message of BCELoss for NaN on a CPU
                raise
            raise Diverged from error


def measure_shares(session: Session, device: torch.device) -> dict[str, float]:
    """The share of each of `SHARES` in a step's time; the sum is 1.

    Measured between events of the trainer: each interval is named after the event that ends it. `data`: loading the
    batch and moving it to the device; `optimiser`: clipping, update, moving average; `other`: the engine's own work.
    On a GPU each interval waits for the device, so that these steps are slower than others.
    """
    seconds, at = dict.fromkeys(SHARES, 0.0), time.perf_counter()

    def mark(name: str) -> None:
        nonlocal at
        synchronize(device)
        now = time.perf_counter()
        seconds[name] += now - at
        at = now

    session.augment.mark = mark
    last: Any = next(session.trainer.network.parameters())  # the last parameter to get its gradient
    last.register_post_accumulate_grad_hook(lambda _: mark("backward"))
    for event, name in _ENDS:
        session.trainer.add_event_handler(event, mark, name)
    for _ in range(_SHARE_STEPS):
        session.step()
    total = sum(seconds.values())
    return {name: spent / total for name, spent in seconds.items()}
