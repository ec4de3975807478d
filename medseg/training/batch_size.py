"""The batch size of a training, if the settings do not give it."""

import logging

import torch
from torch import Tensor, nn

from medseg.hardware.cores import count_free_memory
from medseg.hardware.device import Hardware
from medseg.model.checkpoint import ModelCard
from medseg.training.config import TrainingConfig
from medseg.training.resume import Resumed

_logger = logging.getLogger(__name__)
_PROCESSOR = 4  # larger batches are hardly faster on a CPU and give an epoch fewer steps
_GPU = 64
_STEPS = 16  # a larger batch must leave at least this many steps in an epoch
_SHARE = 0.5  # share of the free memory that a training may use
_STATES = 4  # weights, gradients and two optimizer moments, all float32
_PASSES = 3  # activations for the backward pass, their gradients, and the workspace of the convolutions


def settle_batch_size(
    train: TrainingConfig, card: ModelCard, num_cases: int, hardware: Hardware, resumed: Resumed | None
) -> TrainingConfig:
    """`train` with its batch size set.

    The batch size is the one in the settings, else that of the `resumed` checkpoint, else one chosen for this hardware.
    Several processes share a batch, and the memory of their machine unless they have GPUs.
    """
    if train.batch_size is not None:
        return train
    if resumed is not None:
        return train.model_copy(update={"batch_size": resumed.training.get("batch_size", _PROCESSOR)})
    device, processes = hardware.device, hardware.processes
    is_gpu = device.type == "cuda"
    free = torch.cuda.mem_get_info(device)[0] if is_gpu else count_free_memory() / processes.local_size
    fitting = (_SHARE * free - _count_bytes(card)) / count_image_bytes(card, hardware)
    size = max(processes.size, _choose(device.type, num_cases, fitting * processes.size))
    _logger.info("train.batch_size=%d (chosen automatically for %s)", size, device.type)
    return train.model_copy(update={"batch_size": size})


def count_image_bytes(card: ModelCard, hardware: Hardware) -> int:
    """Estimate of the memory for one image in a training step: a multiple of the outputs of all layers."""
    with torch.device("meta"):
        network = card.build_network()
        image = torch.empty(1, network.in_channels, *card.preprocess.size)
    numbers = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal numbers
        numbers += output.numel()

    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(count)
    network.eval()(image)
    return _PASSES * numbers * (2 if hardware.precision == "bf16" else 4)


def _count_bytes(card: ModelCard) -> int:
    """The memory of weights and optimizer, which does not depend on the batch size."""
    with torch.device("meta"):
        return sum(4 * _STATES * parameter.numel() for parameter in card.build_network().parameters())


def _choose(kind: str, num_cases: int, fitting: float) -> int:
    """A power of two, at most `fitting`: 4 on a CPU; on a GPU up to 64, if an epoch keeps enough steps."""
    wanted = _PROCESSOR if kind == "cpu" else min(_GPU, max(_PROCESSOR, num_cases // _STEPS))
    size = 1
    while 2 * size <= min(wanted, fitting):
        size *= 2
    return size
