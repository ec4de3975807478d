"""A session trains as the real trainer does, and knows where its time goes."""

from contextlib import ExitStack
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Events

from medseg.benchmark.recipe import BenchmarkRecipe
from medseg.benchmark.session import Session
from medseg.benchmark.training import SHARES, ArticleTraining, Diverged, measure_shares
from medseg.data.augment import Augment
from medseg.data.config import PreprocessConfig
from medseg.data.frame import whole
from medseg.data.loaders import CachedCases, CaseFacts, build_train_loader
from medseg.hardware.device import find_hardware
from medseg.model.checkpoint import ModelCard
from medseg.model.config import ModelConfig
from medseg.training.engines import build_ema, build_trainer, seed_everything
from medseg.training.handlers import Budget
from medseg.training.losses import MaskedLoss

CARD = ModelCard(
    classes=("spots",),
    model=ModelConfig(width=2, depth=2, dropout=0.3),
    preprocess=PreprocessConfig(size=(32, 32)),
)
CPU = find_hardware("cpu", "fp32")


@pytest.fixture
def cached() -> CachedCases:
    generator = torch.Generator().manual_seed(0)
    facts = [CaseFacts(f"case-{i}", "", "", None, None, None, None, None, whole((8, 8))) for i in range(6)]
    images = torch.rand(6, 1, 32, 32, generator=generator)
    return CachedCases(tuple(facts), images, (images > 0.5).byte(), torch.ones(6, 1, dtype=torch.bool))


def build_recipe(**train: object) -> BenchmarkRecipe:
    settings = {"minutes": None, "epochs": 3, "batch_size": 2, "precision": "fp32", "coarse": 0.4, **train}
    return BenchmarkRecipe.model_validate({"train": settings})


def test_step_by_step_is_the_same_training(cached):
    recipe = build_recipe()
    seed_everything(0)
    session = Session(recipe, CARD, recipe.train, cached, CPU)
    steps = 0
    while not session.is_over:
        session.step()
        steps += 1
    assert steps == 9

    seed_everything(0)
    network = CARD.build_network().to(memory_format=torch.channels_last)
    budget = Budget(recipe.train, recipe.optim)
    augment, loss = Augment(recipe.augment, recipe.seed, CPU.device), MaskedLoss(recipe.loss)
    trainer = build_trainer(network, build_train_loader(cached, 2, 0), loss, augment, budget, CPU)
    average = build_ema(network, budget, trainer)
    budget.attach(trainer)
    trainer.run()
    for ours, theirs in ((session.trainer.network, network), (session.average, average)):
        for name, weight in ours.state_dict().items():
            torch.testing.assert_close(weight, theirs.state_dict()[name], msg=name)


def test_the_clock_stands_still_between_steps(cached, monkeypatch):
    now = [0.0]
    for module in ("benchmark.session", "training.handlers"):
        monkeypatch.setattr(f"medseg.{module}.time", SimpleNamespace(monotonic=lambda: now[0]))
    recipe = build_recipe(minutes=1.0, epochs=None)
    session = Session(recipe, CARD, recipe.train, cached, CPU)
    session.trainer.add_event_handler(Events.ITERATION_STARTED, lambda: now.append(now.pop() + 2))
    for steps in (1, 2, 3):
        session.step()
        assert session.budget.seconds == 2 * steps
        assert not session.is_over
        now[0] += 1000  # more than the minute, which this does not end


def test_shares_add_up(cached):
    recipe = build_recipe(epochs=100)
    session = Session(recipe, CARD, recipe.train, cached, CPU)
    session.step()
    shares = measure_shares(session, CPU.device)
    assert tuple(shares) == SHARES
    assert sum(shares.values()) == pytest.approx(1)
    assert all(share > 0 for share in shares.values())
    assert shares["forward"] + shares["backward"] > shares["data"]


def test_an_article_loop_that_diverges_begins_anew(cached, tmp_path):
    with ExitStack() as stack:
        loop = ArticleTraining(2, cached, CPU.device, tmp_path, stack, saves=False)
        with torch.no_grad():
            loop.network.out.weight.fill_(torch.nan)
        loop.turn()
        weights = loop.network.state_dict()
        assert all(tensor.isfinite().all() for tensor in weights.values())
        assert weights["c1.layer.1.num_batches_tracked"] == 5  # the steps of a turn


def test_a_loop_that_diverges_says_so_and_other_errors_are_raised(cached, tmp_path):
    with ExitStack() as stack:
        loop = ArticleTraining(2, cached, CPU.device, tmp_path, stack)
        with torch.no_grad():
            loop.network.out.weight.fill_(torch.nan)
        with pytest.raises(Diverged):
            loop.step()
        loop = ArticleTraining(2, cached, CPU.device, tmp_path, stack)
        loop.network.out = torch.nn.Conv2d(3, 1, 1)
        with pytest.raises(RuntimeError, match="channels"):
            loop.step()
