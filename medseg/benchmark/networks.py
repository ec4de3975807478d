"""The article's network and this project's: their differences, and conversion of weights."""

from typing import Any

from medseg.benchmark import article
from medseg.model.config import ModelConfig
from medseg.model.unet import UNet, build_unet


def stand_beside(own: UNet, size: tuple[int, int]) -> tuple[article.UNet, tuple[int, int], str]:
    """The article's network at the width of `own` (on the CPU, in evaluation mode), the size of its images, and a note.

    The network has the weights of `own` if both have the same architecture. The note lists differences; it is empty if
    both networks compute the same.
    """
    fitting, departures = fit_article(size), list_departures(own)
    notes = [] if fitting == size else [f"on {fitting[0]} x {fitting[1]} pixels"]
    if departures:
        notes = ["untrained", *notes, f"since the model has {', '.join(departures)}"]
    network = article.UNet(1, own.out_channels, own.config.width).eval() if departures else build_article(own)
    return network, fitting, ", ".join(notes)


def article_config(width: int, padding_mode: str = "reflect") -> ModelConfig:
    """The article's network as settings of this project."""
    return ModelConfig.model_validate({"width": width, "depth": 4, "padding_mode": padding_mode, "dropout": 0.3})


def list_departures(network: UNet) -> list[str]:
    """The settings in which a network differs from the article's, without dropout, which prediction does not use."""
    found, wanted = (dict(config) for config in (network.config, article_config(network.config.width)))
    departures = [f"model.{k}={found[k]}" for k in wanted if k != "dropout" and found[k] != wanted[k]]
    return departures + ([f"{network.in_channels} channels"] if network.in_channels != 1 else [])


def fit_article(size: tuple[int, int]) -> tuple[int, int]:
    """The smallest size, at least `size`, that the article's network accepts with its four downsampling steps."""
    rows, columns = (max(-(-side // 16) * 16, 32) for side in size)
    return rows, columns


def build_article(network: UNet) -> article.UNet:
    """The article's network with the weights of `network`, which must have the same blocks; on the CPU."""
    found = article.UNet(network.in_channels, network.out_channels, network.config.width)
    blocks = [*network.encoder, network.bottom, *network.decoder]
    others = {f"c{level}": block for level, block in enumerate(blocks, 1)} | {"out": network.out}
    others |= {f"d{level}": block for level, block in enumerate(network.down, 1)}
    others |= {f"u{level}": block for level, block in enumerate(network.up, 1)}
    for name, block in others.items():
        found.get_submodule(name).load_state_dict(block.state_dict())
    return found.train(network.training)


def widen(network: UNet, factor: int) -> UNet:
    """A network `factor` times as wide that computes the same: each channel is repeated `factor` times.

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
