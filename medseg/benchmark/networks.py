"""The article's network and this project's: what tells them apart, weights from one to the other, their work."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from medseg.benchmark import article
from medseg.model.config import ModelConfig
from medseg.model.unet import UNet, build_unet


def article_config(width: int, padding_mode: str = "reflect") -> ModelConfig:
    """The article's network in this project's words."""
    return ModelConfig.model_validate({"width": width, "depth": 4, "padding_mode": padding_mode, "dropout": 0.3})


def list_departures(network: UNet) -> list[str]:
    """In which settings a network of this project is not the article's; dropout, which prediction has not, is none."""
    found, wanted = network.config.model_dump(), article_config(network.config.width).model_dump()
    departures = [f"model.{k}={found[k]}" for k in wanted if k != "dropout" and found[k] != wanted[k]]
    return departures + ([f"{network.in_channels} channels"] if network.in_channels != 1 else [])


def fit_article(size: tuple[int, int]) -> tuple[int, int]:
    """The smallest rows and columns, at least `size`, that the article's network takes: it halves them four times."""
    rows, columns = (max(-(-side // 16) * 16, 32) for side in size)
    return rows, columns


def build_article(network: UNet) -> article.UNet:
    """The article's network with the weights of this project's, of the same blocks; on the CPU."""
    found = article.UNet(network.in_channels, network.out_channels, network.config.width)
    parts: list[tuple[nn.Module, nn.Module]] = [(found.c5, network.bottom), (found.out, network.out)]
    parts += zip((found.c1, found.c2, found.c3, found.c4), network.encoder, strict=True)
    parts += zip((found.d1, found.d2, found.d3, found.d4), network.down, strict=True)
    parts += zip((found.u1, found.u2, found.u3, found.u4), network.up, strict=True)
    parts += zip((found.c6, found.c7, found.c8, found.c9), network.decoder, strict=True)
    for own, other in parts:
        own.load_state_dict(other.state_dict())
    return found.train(network.training)


def widen(network: UNet, factor: int) -> UNet:
    """A network `factor` times as wide that computes the same: each channel stands there that often (Net2Net).

    Chen, Goodfellow, Shlens: Net2Net, arXiv:1511.05641, section 2.3.
    """
    config = network.config.model_copy(update={"width": network.config.width * factor})
    wide = build_unet(config, network.in_channels, network.out_channels)
    shapes = wide.state_dict()
    weights: dict[str, Any] = {}
    for name, tensor in network.state_dict().items():
        for axis, (length, wanted) in enumerate(zip(tensor.shape, shapes[name].shape, strict=True)):
            if wanted != length:
                tensor = tensor.repeat_interleave(factor, axis) / (factor if axis else 1)
        weights[name] = tensor
    wide.load_state_dict(weights)
    return wide.train(network.training)


def count_gflop(width: int, size: int, num_classes: int, *, training: bool) -> float:
    """The work of the article's network on one square image, in 1e9 operations; `training` adds the backward pass."""
    return _count(lambda: article.UNet(1, num_classes, width), (1, 1, size, size), training)


def count_own_gflop(network: UNet, size: tuple[int, int]) -> float:
    """The work of a network of this project on one image of `size`, `(rows, columns)`, in 1e9 operations."""
    config, channels = network.config, network.in_channels
    return _count(lambda: build_unet(config, channels, network.out_channels), (1, channels, *size), training=False)


def _count(build: Callable[[], nn.Module], shape: tuple[int, ...], training: bool) -> float:
    with torch.device("meta"):
        network, picture = build(), torch.empty(shape)
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(training):
        found = network(picture)
        if training:
            found.sum().backward()
    return float(counter.get_total_flops() / 1e9)
