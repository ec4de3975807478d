"""How much work a network is."""

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_gflop(network: nn.Module, shape: tuple[int, int, int], *, training: bool = False) -> float:
    """The work of a network on an image `(channel, rows, columns)`, 1e9 operations; `training` adds backpropagation."""
    network = copy.deepcopy(network).to("meta")
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(training):
        found = network(torch.empty(1, *shape, device="meta"))
        if training:
            found.sum().backward()
    return float(counter.get_total_flops() / 1e9)
