"""What the processes of one training do together at each step: gradients, batch statistics, random numbers."""

import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.utils.enums import CommonKeys
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from medseg.hardware.device import AutocastInferer, Hardware
from medseg.signals import Pending


class ConnectedInferer(AutocastInferer):
    """Runs a network so that the gradients of its weights become the mean over all processes.

    With several processes on GPUs, batch normalization sees the whole batch. PyTorch does not offer that on CPUs; there
    each process normalizes its part. The network itself stays as it is, so that nothing else has to know of this.
    """

    def __init__(self, hardware: Hardware, network: nn.Module) -> None:
        """`network` is on its device. It gets the weights of the first process."""
        super().__init__(hardware)
        self.connected = network
        if hardware.processes.size > 1:
            if hardware.device.type == "cuda":
                nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
            # buffers are not those of the first process: `attach_processes` averages them
            self.connected = DistributedDataParallel(network, forward_sync_buffers=False)

    def __call__(self, inputs: Tensor, network: nn.Module) -> Tensor:  # type: ignore[override]
        """The logits."""
        return super().__call__(inputs, self.connected)


def attach_processes(trainer: SupervisedTrainer, hardware: Hardware, seed: int) -> None:
    """Keep the networks of several processes alike after each step, and their random numbers apart.

    To be attached before handlers that use the network after a step.
    """
    processes = hardware.processes
    statistics = [buffer for buffer in trainer.network.buffers() if buffer.is_floating_point()]
    if processes.size > 1 and statistics:
        trainer.add_event_handler(Events.ITERATION_COMPLETED, _average_statistics, hardware, statistics)
    if not processes.is_first:  # else dropout would drop the same channels of each part

        def seed_step(trainer: SupervisedTrainer) -> None:
            torch.manual_seed((seed * 1_000_003 + trainer.state.iteration) * processes.size + processes.rank)

        trainer.add_event_handler(Events.ITERATION_STARTED, seed_step)


def _average_statistics(trainer: SupervisedTrainer, hardware: Hardware, statistics: list[Tensor]) -> None:
    """Give every process the mean of all running statistics, each weighted by the size of its part of the batch."""
    own = len(trainer.state.output[CommonKeys.IMAGE]) / len(trainer.state.batch["index"])
    mean = hardware.processes.add(own * torch.cat([each.flatten() for each in statistics]))
    for each, found in zip(statistics, torch.split(mean, [each.numel() for each in statistics]), strict=True):
        each.copy_(found.view_as(each))


def agree_on_signal(pending: Pending, hardware: Hardware) -> int | None:
    """The signal that came to any process, which all then know of. One that comes in the meantime counts next time."""
    return int(hardware.processes.maximum(pending.signum or 0)) or None
