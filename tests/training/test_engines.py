from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from medseg.data.augment import Augment
from medseg.data.config import AugmentConfig
from medseg.data.frame import whole
from medseg.data.loaders import CachedCases, CaseFacts, build_train_loader, build_validation_loader
from medseg.errors import TrainingError
from medseg.hardware.device import AutocastInferer, Hardware, find_hardware
from medseg.training.config import LossConfig, OptimConfig, TrainingConfig
from medseg.training.engines import build_ema, build_evaluator, build_optimizer, build_trainer
from medseg.training.handlers import Budget
from medseg.training.losses import MaskedLoss

CPU = find_hardware("cpu", "fp32")


def cases(num: int = 8) -> CachedCases:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(num, 1, 16, 16, generator=generator)
    facts = tuple(CaseFacts(f"case{i}", "", "", None, None, None, None, None, whole((8, 8))) for i in range(num))
    return CachedCases(facts, images, (images > 0.5).to(torch.uint8), torch.ones(num, 1, dtype=torch.bool))


def trainer_of(network: nn.Module, cached: CachedCases, optim: OptimConfig, hardware: Hardware = CPU, **train: object):
    config = TrainingConfig(**{"epochs": 1, "batch_size": 2, "coarse": 0, **train})  # type: ignore[arg-type]
    augment = Augment(AugmentConfig(probability=0), 0, hardware.device)
    return build_trainer(
        network, build_train_loader(cached, 2, 0), MaskedLoss(LossConfig()), augment, Budget(config, optim), hardware
    )


def test_training_lowers_the_loss() -> None:
    torch.manual_seed(0)
    network = nn.Conv2d(1, 1, 1)
    cached = cases()
    loss = MaskedLoss(LossConfig())

    def value() -> float:
        with torch.no_grad():
            return loss(network(cached.images), (cached.labels.float(), cached.present)).item()

    before = value()
    trainer_of(network, cached, OptimConfig(learning_rate=0.1)).run()
    assert value() < before


def test_nan_loss_stops_with_the_batch_named_and_the_weights_untouched() -> None:
    cached = cases()
    cached.images[3] = torch.nan
    network = nn.Conv2d(1, 1, 1)
    with pytest.raises(TrainingError, match="case3") as caught:
        trainer_of(network, cached, OptimConfig()).run()
    assert "nan" in str(caught.value)
    assert all(parameter.isfinite().all() for parameter in network.parameters())


def test_gradient_is_clipped() -> None:
    network = nn.Conv2d(1, 1, 1)
    with torch.no_grad():
        network.weight.fill_(100.0)
    before = network.weight.clone()
    optim = OptimConfig(name="sgd", momentum=0, weight_decay=0, learning_rate=1.0, gradient_clip=1e-3)
    trainer_of(network, cases(2), optim).run()
    change = torch.cat([(network.weight - before).flatten()])
    assert 0 < change.norm() <= 1.001e-3


def test_accumulated_batches_step_as_one_large_batch() -> None:
    results = []
    for size, accumulate in ((4, 1), (2, 2), (2, 3)):  # at the end of an epoch, a group may be smaller
        torch.manual_seed(0)
        network = nn.Conv2d(1, 1, 3, padding=1)
        optim = OptimConfig(name="sgd", momentum=0, weight_decay=0, learning_rate=0.1, gradient_clip=0)
        config = TrainingConfig(epochs=1, batch_size=size, accumulate=accumulate, coarse=0)
        augment = Augment(AugmentConfig(probability=0), 0, CPU.device)
        loader = build_train_loader(cases(4), size, 0)
        build_trainer(network, loader, MaskedLoss(LossConfig()), augment, Budget(config, optim), CPU).run()
        results.append(network.weight.detach())
    for result in results[1:]:
        torch.testing.assert_close(result, results[0])


def test_moving_average_follows_by_hand() -> None:
    network = nn.Conv2d(1, 1, 1)
    trainer = trainer_of(network, cases(2), OptimConfig())
    start = network.weight.item()
    average = build_ema(network, Budget(TrainingConfig(), OptimConfig(ema_decay=0.5)), trainer)
    trainer.run()  # one step: decay min(0.5, 2 / 11)
    after = network.weight.item()
    assert after != start
    assert average.weight.item() == pytest.approx(start * 2 / 11 + after * 9 / 11)  # type: ignore[union-attr, operator]


def test_no_moving_average_is_the_network_itself() -> None:
    network = nn.Conv2d(1, 1, 1)
    budget = Budget(TrainingConfig(), OptimConfig(ema_decay=0))
    assert build_ema(network, budget, trainer_of(network, cases(2), OptimConfig())) is network


def test_evaluator_scores_by_class_and_leaves_out_unknown_ones() -> None:
    class Known(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x - 0.5  # logit 0 where the label changes

    cached = cases(5)
    evaluator = build_evaluator(Known(), build_validation_loader(cached, 2), ["bright"], CPU)
    evaluator.run()
    assert evaluator.state.metrics["scores"]["dice_bright"] > 0.99
    cached.labels[4] = 1 - cached.labels[4]
    cached.present[4] = False
    evaluator.run()
    assert evaluator.state.metrics["scores"]["dice_bright"] > 0.99


def test_autocast_runs_in_bfloat16_and_returns_float32() -> None:
    seen = SimpleNamespace(kind=None)

    class Spy(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = super().forward(x)
            seen.kind = y.dtype
            return y

    out = AutocastInferer(find_hardware("cpu", "bf16"))(torch.rand(1, 1, 8, 8), Spy(1, 1, 1))
    assert (seen.kind, out.dtype) == (torch.bfloat16, torch.float32)


@pytest.mark.parametrize(("name", "kind"), [("adam", "Adam"), ("adamw", "AdamW"), ("sgd", "SGD")])
def test_optimizers(name: str, kind: str) -> None:
    optimizer = build_optimizer(nn.Conv2d(1, 1, 1), OptimConfig(name=name, learning_rate=0.3))  # type: ignore[arg-type]
    assert type(optimizer).__name__ == kind
    assert optimizer.param_groups[0]["lr"] == 0.3


def test_first_part_of_the_budget_is_coarse() -> None:
    sizes = []

    class Spy(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            sizes.append(tuple(x.shape[-2:]))
            return super().forward(x)

    trainer_of(Spy(1, 1, 1), cases(8), OptimConfig(), coarse=0.5).run()
    assert sizes == [(8, 8), (8, 8), (16, 16), (16, 16)]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_step_equals_that_of_the_cpu() -> None:
    results = []
    for name in ("cpu", "cuda"):
        torch.manual_seed(0)
        network = nn.Conv2d(1, 1, 3, padding=1).to(name)
        trainer_of(network, cases(2), OptimConfig(), torch.device(name)).run()
        results.append(network.weight.detach().cpu())
    torch.testing.assert_close(*results, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("settings", [{}, {"coarse": 0.99}, {"probability": 1.0}])
def test_what_ignored_pixels_are_labelled_changes_nothing(settings: dict[str, float]) -> None:
    """This includes pixels that are partly ignored after resampling."""
    results = []
    for fill in (0, 1):
        torch.manual_seed(0)
        cached = cases()
        ignored = torch.zeros_like(cached.labels)
        ignored[:, :, :7, 3:] = 1
        cached = replace(cached, ignored=ignored, labels=torch.where(ignored.bool(), fill, cached.labels).byte())
        network = nn.Conv2d(1, 1, 3, padding=1)
        config = TrainingConfig(epochs=1, batch_size=2, coarse=settings.get("coarse", 0))
        augment = Augment(AugmentConfig(probability=settings.get("probability", 0)), 0, CPU.device)
        loader, budget = build_train_loader(cached, 2, 0), Budget(config, OptimConfig())
        build_trainer(network, loader, MaskedLoss(LossConfig()), augment, budget, CPU).run()
        results.append(network.weight.detach())
    assert torch.equal(*results)


def test_ignored_pixels_do_not_count_in_validation() -> None:
    cached = cases(2)
    right = torch.zeros_like(cached.labels)
    right[..., 8:] = 1
    cached = replace(cached, labels=cached.labels * (1 - right), ignored=right)
    network = nn.Conv2d(1, 1, 1)
    with torch.no_grad():
        network.weight.fill_(1.0)
        network.bias.fill_(-0.5)  # type: ignore[union-attr]
    evaluator = build_evaluator(network, build_validation_loader(cached, 2), ("a",), CPU)
    evaluator.run()
    assert evaluator.state.metrics["scores"]["dice"] == 1
    with torch.no_grad():
        network.weight.fill_(0.0)  # all foreground
        network.bias.fill_(1.0)  # type: ignore[union-attr]
    evaluator.run()
    counted = cached.labels[..., :8].double().mean().item()
    assert evaluator.state.metrics["scores"]["miou"] == pytest.approx(counted / 2)
