"""The one place where MONAI's engines are wired: what a training step and a validation step are."""

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

from medseg.data.augment import Augment
from medseg.hardware.device import AutocastInferer, Hardware
from medseg.metrics.overlap import SegmentationScores
from medseg.training.config import OptimConfig
from medseg.training.handlers import Budget, check_losses
from medseg.training.losses import MaskedLoss

Batch = Mapping[str, Any]


def build_trainer(
    network: nn.Module,
    loader: DataLoader[dict[str, Any]],
    loss: MaskedLoss,
    augment: Augment,
    budget: Budget,
    hardware: Hardware,
) -> SupervisedTrainer:
    """An Ignite engine whose step is: to the device, augment, forward, loss, backward, clip, update.

    The first `train.coarse` of the budget goes by at half the resolution. Stops with `TrainingError`, naming the batch,
    before the backward pass of a loss that is not finite; on a GPU, which a look at each loss would keep waiting,
    `Validation` and `Saving` look before anything is validated or saved.
    """
    train, optim, device = budget.train, budget.optim, hardware.device

    def prepare(batch: Batch, device: torch.device, non_blocking: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        image, label, present = _load(batch, device, non_blocking)
        image, label = augment(image, label, trainer.state.iteration)
        if budget.is_coarse(trainer):
            image, label = functional.avg_pool2d(image, 2), functional.avg_pool2d(label, 2)
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
        inferer=cast(Inferer, AutocastInferer(hardware)),
        decollate=False,
        optim_set_to_none=True,
        accumulation_steps=train.accumulate,
    )
    trainer.logger.disabled = True  # what goes wrong is raised
    if device.type == "cpu":
        trainer.add_event_handler(IterationEvents.LOSS_COMPLETED, _check_loss)
    if optim.gradient_clip:
        trainer.add_event_handler(IterationEvents.BACKWARD_COMPLETED, _clip, train.accumulate, optim.gradient_clip)
    return trainer


def build_evaluator(
    network: nn.Module,
    loader: DataLoader[dict[str, Any]],
    classes: Sequence[str],
    hardware: Hardware,
) -> SupervisedEvaluator:
    """An Ignite engine that scores `network` at its own size; `state.metrics["scores"]` holds the result."""
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

    def compared(output: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        present = evaluator.state.batch["present"].to(device)
        predicted = output[CommonKeys.PRED] >= 0  # logit 0 is probability 0.5
        if (ignored := evaluator.state.batch.get("ignored")) is not None:
            predicted &= ~ignored.to(device).bool()
        return predicted, output[CommonKeys.LABEL] >= 0.5, present

    SegmentationScores(classes, compared).attach(evaluator, "scores")
    return evaluator


def build_ema(network: nn.Module, budget: Budget, trainer: SupervisedTrainer) -> nn.Module:
    """The moving average of `network`, moved after each update; `network` itself where ema_decay=0.

    Its decay rises as (1 + step) / (10 + step), TensorFlow's rule, so that it soon forgets the weights it began with.
    """
    decay, accumulate = budget.optim.ema_decay, budget.train.accumulate
    if decay == 0:
        return network

    def set_momentum(trainer: SupervisedTrainer) -> None:  # from the step alone, so that a resume needs no state
        trainer.state.ema_momentum = max(1 - decay, 9 / (10 + trainer.state.iteration / accumulate))

    handler = EMAHandler(network, momentum=1 - decay, handle_buffers="update")
    trainer.add_event_handler(Events.ITERATION_STARTED, set_momentum)
    updated = Events.ITERATION_COMPLETED(event_filter=lambda engine, _: ends_group(engine, accumulate))
    handler.attach(trainer, name="ema_momentum", event=updated)
    average: nn.Module = handler.ema_model
    return average


def build_optimizer(network: nn.Module, optim: OptimConfig) -> torch.optim.Optimizer:
    """The optimiser that `optim` names, over all weights, in PyTorch's fused form."""
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
    """Set every random number generator, as `monai.utils.set_determinism` does."""
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
    """Whether this iteration updates the weights: every `accumulate` batches, and at the end of an epoch."""
    return bool(trainer.state.iteration % trainer.state.epoch_length % accumulate == 0)


def _load(batch: Batch, device: torch.device, non_blocking: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Images, labels and the known classes of a batch on `device`.

    Where pixels are ignored there are as many labels again, 255 there: whatever a resampling makes of such a pixel,
    however little, is above 0.
    """
    image, label, present = (_send(batch[key], device, non_blocking) for key in ("image", "label", "present"))
    if "ignored" in batch:
        label = torch.cat([label, 255 * _send(batch["ignored"], device, non_blocking)], dim=1)
    return image, label, present


def _split_target(label: Tensor, present: Tensor, *, has_ignored: bool) -> tuple[Tensor, ...]:
    """What `MaskedLoss` compares with, of labels as `_load` gives them."""
    if not has_ignored:
        return label, present
    label, ignored = label.chunk(2, dim=1)
    return label, present, ignored > 0


def _send(tensor: Tensor, device: torch.device, non_blocking: bool) -> Tensor:
    """`tensor` on `device`; to a GPU from pinned memory, or the copy would wait for all that is computed there."""
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=non_blocking)


def _clip(trainer: SupervisedTrainer, accumulate: int, norm: float) -> None:
    if ends_group(trainer, accumulate):
        nn.utils.clip_grad_norm_(trainer.network.parameters(), norm)


def _check_loss(trainer: SupervisedTrainer) -> None:
    loss = trainer.state.output[CommonKeys.LOSS].detach()
    check_losses(trainer, trainer.state.iteration, [loss], [trainer.state.batch["index"]])
