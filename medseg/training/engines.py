"""The MONAI engines of a training: the training step and the validation step."""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from ignite.engine import Events
from ignite.handlers import EMAHandler
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.inferers.inferer import Inferer
from monai.utils import get_seed, set_determinism
from monai.utils.enums import CommonKeys
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from medseg.data.appearance import Part
from medseg.data.augment import Augment
from medseg.hardware.device import AutocastInferer, Hardware
from medseg.metrics.overlap import SegmentationScores
from medseg.training.config import OptimConfig
from medseg.training.handlers import Budget, check_losses
from medseg.training.losses import MaskedLoss
from medseg.training.parallel import ConnectedInferer

Batch = Mapping[str, Any]


def build_trainer(
    network: nn.Module,
    loader: DataLoader[dict[str, Any]],
    loss: MaskedLoss,
    augment: Augment,
    budget: Budget,
    hardware: Hardware,
) -> SupervisedTrainer:
    """An Ignite engine for training.

    A step augments the batch, then runs forward pass, loss, backward pass, gradient clipping and update; the first
    `train.coarse` of the budget at half the resolution. On the CPU a loss that is not finite raises `TrainingError`
    with the batch before the backward pass. On a GPU each check would wait; there `Validation` and `Saving` check.
    """
    train, optim, device = budget.train, budget.optim, hardware.device

    def prepare(batch: Batch, device: torch.device, non_blocking: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        image, label, present = _load(batch, device, non_blocking)
        if budget.is_coarse(trainer):
            image, label = functional.avg_pool2d(image, 2), _halve(label)
        count = len(batch["index"])
        part = Part.of(count, hardware.processes.share(count))
        image, label = augment(image, label, trainer.state.iteration, part)
        return image, _split_target(label, present, has_ignored="ignored" in batch)

    trainer = SupervisedTrainer(
        device=device,
        max_epochs=train.num_epochs or 10**9,
        train_data_loader=loader,
        network=network,
        optimizer=build_optimizer(network, optim),
        loss_function=loss,
        prepare_batch=prepare,
        non_blocking=True,
        inferer=cast(Inferer, ConnectedInferer(hardware, network)),
        decollate=False,
        optim_set_to_none=True,
        accumulation_steps=train.accumulate,
    )
    trainer.logger.disabled = True  # errors are raised, so they need not be logged too
    if device.type == "cpu":
        trainer.add_event_handler(IterationEvents.LOSS_COMPLETED, _check_loss)
    trainer.add_event_handler(IterationEvents.BACKWARD_COMPLETED, _end_group, train.accumulate, optim.gradient_clip)
    return trainer


def build_evaluator(
    network: nn.Module,
    loader: DataLoader[dict[str, Any]],
    classes: Sequence[str],
    hardware: Hardware,
) -> SupervisedEvaluator:
    """An Ignite engine that scores `network` at the network's image size. The scores are `state.metrics["scores"]`.

    Each of several processes has a share of the cases in its `loader`; the scores are of all cases.
    """
    device = hardware.device

    def prepare(batch: Batch, device: torch.device, non_blocking: bool) -> tuple[Tensor, Tensor]:
        return _send(batch["image"], device, non_blocking), _send(batch["label"], device, non_blocking)

    evaluator = SupervisedEvaluator(
        device=device,
        val_data_loader=loader,
        network=network,
        prepare_batch=prepare,
        non_blocking=True,
        inferer=cast(Inferer, AutocastInferer(hardware)),
        decollate=False,
    )
    evaluator.logger.disabled = True

    def compared(output: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        batch = evaluator.state.batch
        known = [batch[key].to(device).bool() for key in ("present", "ignored") if key in batch]
        return output[CommonKeys.PRED] >= 0, output[CommonKeys.LABEL] >= 0.5, *known  # logit 0 is probability 0.5

    scores = SegmentationScores(classes, compared)
    evaluator.add_event_handler(Events.EPOCH_COMPLETED, lambda: scores.gather(hardware.processes))
    scores.attach(evaluator, "scores")
    return evaluator


def build_ema(network: nn.Module, budget: Budget, trainer: SupervisedTrainer) -> nn.Module:
    """The moving average of the weights, updated after each step; `network` itself if `ema_decay=0`.

    The decay rises as (1 + step) / (10 + step), as in TensorFlow, so that the average soon forgets the initial weights.
    """
    decay, accumulate = budget.optim.ema_decay, budget.train.accumulate
    if decay == 0:
        return network

    def set_momentum(trainer: SupervisedTrainer) -> None:  # depends only on the step, so that resuming needs no state
        trainer.state.ema_momentum = max(1 - decay, 9 / (10 + trainer.state.iteration / accumulate))

    handler = EMAHandler(network, momentum=1 - decay, handle_buffers="update")
    trainer.add_event_handler(Events.ITERATION_STARTED, set_momentum)
    updated = Events.ITERATION_COMPLETED(event_filter=lambda engine, _: ends_group(engine, accumulate))
    handler.attach(trainer, name="ema_momentum", event=updated)
    average: nn.Module = handler.ema_model
    return average


def build_optimizer(network: nn.Module, optim: OptimConfig) -> torch.optim.Optimizer:
    """The optimizer of `optim` for all weights, in PyTorch's fused form."""
    parameters = list(network.parameters())
    if optim.name == "sgd":
        return torch.optim.SGD(
            parameters,
            optim.learning_rate,
            optim.momentum,
            weight_decay=optim.weight_decay,
            nesterov=optim.momentum > 0,
            fused=True,
        )
    kind = torch.optim.Adam if optim.name == "adam" else torch.optim.AdamW
    return kind(parameters, optim.learning_rate, weight_decay=optim.weight_decay, fused=True)


def seed_everything(seed: int) -> None:
    """Seed every random number generator with `monai.utils.set_determinism`."""
    set_determinism(seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within the block every random number generator starts from `seed`; after it, each is where it was before."""
    cudnn, earlier = torch.backends.cudnn, get_seed()
    python, numbers, flags = random.getstate(), np.random.get_state(), (cudnn.deterministic, cudnn.benchmark)
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        seed_everything(seed)
        try:
            yield
        finally:
            set_determinism(earlier)
            random.setstate(python)
            np.random.set_state(numbers)
            cudnn.deterministic, cudnn.benchmark = flags


def ends_group(trainer: SupervisedTrainer, accumulate: int) -> bool:
    """Whether this iteration updates the weights: after every `accumulate` batches, and at the end of an epoch."""
    return bool(trainer.state.iteration % trainer.state.epoch_length % accumulate == 0)


def _load(batch: Batch, device: torch.device, non_blocking: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Images, labels and the known classes of a batch on `device`.

    If pixels are ignored, a second set of labels follows, with 255 in these pixels. After resampling, any pixel with
    even a small part of an ignored one is then above 0.
    """
    image, label, present = (_send(batch[key], device, non_blocking) for key in ("image", "label", "present"))
    if "ignored" in batch:
        label = torch.cat([label, 255 * _send(batch["ignored"], device, non_blocking)], dim=1)
    return image, label, present


def _split_target(label: Tensor, present: Tensor, *, has_ignored: bool) -> tuple[Tensor, ...]:
    """The target of `MaskedLoss`, from labels of `_load`."""
    if not has_ignored:
        return label, present
    label, ignored = label.chunk(2, dim=1)
    return label, present, ignored > 0


def _halve(label: Tensor) -> Tensor:
    """Labels at half the resolution. Masks (uint8) are rounded; a quarter of an ignored pixel stays far above 0."""
    halved = functional.avg_pool2d(label.float(), 2)
    return halved if label.is_floating_point() else (halved + 0.5).to(label.dtype)


def _send(tensor: Tensor, device: torch.device, non_blocking: bool) -> Tensor:
    """`tensor` on `device`. Copies to a GPU use pinned memory; otherwise they would wait for its running work."""
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=non_blocking)


def _end_group(trainer: SupervisedTrainer, accumulate: int, norm: float) -> None:
    """Before an update, make the gradients an average over the batches of the group, and clip them.

    MONAI divides the loss by `accumulate`, but the last group of an epoch may have fewer batches.
    """
    if not ends_group(trainer, accumulate):
        return
    state, weights = trainer.state, list(trainer.network.parameters())
    if (batches := state.epoch_length % accumulate) and state.iteration % state.epoch_length == 0:
        for gradient in (each.grad for each in weights if each.grad is not None):
            gradient *= accumulate / batches
    if norm:
        nn.utils.clip_grad_norm_(weights, norm)


def _check_loss(trainer: SupervisedTrainer) -> None:
    loss = trainer.state.output[CommonKeys.LOSS].detach()
    check_losses(trainer, trainer.state.iteration, [loss], [trainer.state.batch["index"]])
