"""The one place where MONAI's engines are wired: what a training step and a validation step are."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Events
from ignite.handlers import EMAHandler
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.inferers import Inferer
from monai.utils import set_determinism
from monai.utils.enums import CommonKeys
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from medseg.data.augment import Augment
from medseg.errors import TrainingError
from medseg.training.config import OptimConfig, TrainingConfig
from medseg.training.handlers import Budget
from medseg.training.losses import MaskedLoss
from medseg.training.metrics import SegmentationScores

Batch = Mapping[str, Any]


class AutocastInferer(Inferer):
    """Runs a network under bfloat16 autocast on any device (MONAI's own is for CUDA alone); float32 comes out."""

    def __init__(self, *, enabled: bool, channels_last: bool) -> None:
        super().__init__()
        self.enabled = enabled
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Logits, float32."""
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.enabled):
            return network(inputs.contiguous(memory_format=self.memory_format), *args, **kwargs).float()


def build_trainer(
    network: nn.Module,
    loader: DataLoader[dict[str, Any]],
    loss: MaskedLoss,
    augment: Augment,
    budget: Budget,
    device: torch.device,
) -> SupervisedTrainer:
    """An Ignite engine whose step is: to the device, augment, forward, loss, backward, clip, update.

    The first `train.coarse` of the budget goes by at half the resolution. Stops with `TrainingError` before the backward
    pass of a loss that is not finite, naming the batch.
    """
    train, optim = budget.train, budget.optim

    def prepare(batch: Batch, device: torch.device, non_blocking: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        image, label = (batch[key].to(device, non_blocking=non_blocking) for key in ("image", "label"))
        image, label = augment(image, label, trainer.state.iteration)
        if budget.spent(trainer, trainer.state.iteration - 1) < train.coarse:
            image, label = functional.avg_pool2d(image, 2), functional.avg_pool2d(label, 2)
        return image, (label, batch["present"].to(device, non_blocking=non_blocking))

    trainer = SupervisedTrainer(
        device=device,
        max_epochs=train.num_epochs or 10**9,
        train_data_loader=loader,
        network=network,
        optimizer=build_optimizer(network, optim),
        loss_function=loss,
        prepare_batch=prepare,
        non_blocking=True,
        inferer=build_inferer(train, device),
        decollate=False,
        optim_set_to_none=True,
        accumulation_steps=train.accumulate,
    )
    trainer.logger.disabled = True  # what goes wrong is raised
    trainer.add_event_handler(IterationEvents.LOSS_COMPLETED, _check_loss, loader.dataset)
    if optim.gradient_clip:
        trainer.add_event_handler(
            IterationEvents.BACKWARD_COMPLETED,
            lambda: nn.utils.clip_grad_norm_(network.parameters(), optim.gradient_clip),
        )
    return trainer


def build_evaluator(
    network: nn.Module,
    loader: DataLoader[dict[str, Any]],
    classes: Sequence[str],
    train: TrainingConfig,
    device: torch.device,
) -> SupervisedEvaluator:
    """An Ignite engine that scores `network` at its own size; `state.metrics["scores"]` holds the result."""

    def prepare(batch: Batch, device: torch.device, non_blocking: bool) -> tuple[Tensor, Tensor]:
        return batch["image"].to(device, non_blocking=non_blocking), batch["label"].to(
            device, non_blocking=non_blocking
        )

    evaluator = SupervisedEvaluator(
        device=device,
        val_data_loader=loader,
        network=network,
        prepare_batch=prepare,
        non_blocking=True,
        inferer=build_inferer(train, device),
        decollate=False,
    )
    evaluator.logger.disabled = True

    def compared(output: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        present = evaluator.state.batch["present"].to(device)
        return output[CommonKeys.PRED] >= 0, output[CommonKeys.LABEL] >= 0.5, present  # logit 0 is probability 0.5

    SegmentationScores(classes, compared).attach(evaluator, "scores")
    return evaluator


def build_ema(network: nn.Module, optim: OptimConfig, trainer: SupervisedTrainer) -> nn.Module:
    """The moving average of `network`, updated after each step; `network` itself where ema_decay=0.

    Its decay rises as (1 + step) / (10 + step), TensorFlow's rule, so that it soon forgets the weights it began with.
    """
    if optim.ema_decay == 0:
        return network

    def set_momentum(trainer: SupervisedTrainer) -> None:  # from the step alone, so that a resume needs no state
        trainer.state.ema_momentum = max(1 - optim.ema_decay, 9 / (10 + trainer.state.iteration))

    handler = EMAHandler(network, momentum=1 - optim.ema_decay, handle_buffers="update")
    trainer.add_event_handler(Events.ITERATION_STARTED, set_momentum)
    handler.attach(trainer, name="ema_momentum")
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


def build_inferer(train: TrainingConfig, device: torch.device) -> AutocastInferer:
    """The forward pass in the precision that `train` asks for and `device` has."""
    enabled = train.precision == "bf16" or (train.precision == "auto" and has_bf16(device))
    return AutocastInferer(enabled=enabled, channels_last=train.channels_last)


def seed_everything(seed: int) -> None:
    """Set every random number generator, as `monai.utils.set_determinism` does."""
    set_determinism(seed)


def choose_device(train: TrainingConfig) -> torch.device:
    """The device that `train.device` names; auto takes a GPU where there is one."""
    if train.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(train.device)


def has_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _check_loss(trainer: SupervisedTrainer, cached: Any) -> None:
    loss = trainer.state.output[CommonKeys.LOSS].item()
    if not math.isfinite(loss):
        names = ", ".join(cached.facts[int(index)].id for index in trainer.state.batch["index"])
        raise TrainingError(
            f"the loss is {loss} in epoch {trainer.state.epoch}, iteration {trainer.state.iteration}, batch: {names}; "
            "a lower optim.learning_rate or train.precision=fp32 may help"
        )
