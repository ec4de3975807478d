"""The U-Net, and the image sizes that it accepts.

Without padding (Ronneberger et al., arXiv:1505.04597) every block removes 4 pixels from a side. With depth d, inputs of
k * 2^d - 4 pixels can be halved evenly at every level. The output is 12 * 2^d - 8 pixels smaller: 572 -> 388 for d = 4.
"""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from medseg.errors import ConfigError
from medseg.model.blocks import ConvBlock, DownSample, UpSample
from medseg.model.config import ModelConfig


class UNet(nn.Module):
    """The article's network, for any depth.

    In the article's names: c1 d1 c2 d2 c3 d3 c4 d4 c5 u1 c6 u2 c7 u3 c8 u4 c9 out. `encoder` holds c1 to c4, `down` d1
    to d4, `bottom` is c5, `up` holds u1 to u4, `decoder` c6 to c9. The channels start at `width` and double at each
    level: 64, 128, 256, 512, 1024 in the article. With `patch=2` the blocks see squares of 2 x 2 pixels as channels
    (pixel unshuffle), and `out` returns as many channels for each class, which become pixels again (Shi et al.,
    arXiv:1609.05158).
    """

    def __init__(self, config: ModelConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.config, self.in_channels, self.out_channels = config, in_channels, out_channels
        widths = [config.width * 2**level for level in range(config.depth + 1)]
        square = config.patch**2
        joined = 2 if config.skip == "concatenate" else 1
        self.encoder = nn.ModuleList(
            ConvBlock(i, o, config, first=level == 0)
            for level, (i, o) in enumerate(pairwise([in_channels * square, *widths[:-1]]))
        )
        self.down = nn.ModuleList(DownSample(channels, config) for channels in widths[:-1])
        self.bottom = ConvBlock(widths[-2], widths[-1], config)
        self.up = nn.ModuleList(UpSample(channels, config) for channels in widths[:0:-1])
        self.decoder = nn.ModuleList(ConvBlock(joined * channels, channels, config) for channels in widths[-2::-1])
        kernel = config.output_kernel
        self.out = nn.Conv2d(config.width, out_channels * square, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """The logits, without the article's final sigmoid.

        The article's BCELoss is `binary_cross_entropy_with_logits` here.
        `(batch, in_channels, rows, columns)` -> `(batch, out_channels, rows, columns)`, with the rows and columns of
        `output_size`. Raises the `ConfigError` of `margins`.
        """
        rows, columns = (output_size(side, self.config) for side in x.shape[-2:])
        around = (*margins(x.shape[-1], self.config), *margins(x.shape[-2], self.config))
        if any(around):
            x = F.pad(x, around, mode="reflect" if self.config.mirror_input else "replicate")
        patch = self.config.patch
        if patch == 1:
            return self._through_levels(x)[..., :rows, :columns]
        return F.pixel_shuffle(self._through_levels(F.pixel_unshuffle(x, patch)), patch)[..., :rows, :columns]

    def _through_levels(self, x: Tensor) -> Tensor:
        feature_maps = []
        for block, down in zip(self.encoder, self.down, strict=True):
            feature_maps.append(block(x))
            x = down(feature_maps[-1])
        x = self.bottom(x)
        for up, block in zip(self.up, self.decoder, strict=True):
            x = block(up(x, feature_maps.pop()))
        return self.out(x)  # type: ignore[no-any-return]


def build_unet(config: ModelConfig, in_channels: int, out_channels: int) -> UNet:
    """A new network with PyTorch's default initial weights, as in the article."""
    return UNet(config, in_channels, out_channels)


def check_size(size: tuple[int, int], config: ModelConfig) -> None:
    """Raise `ConfigError` if a network of `config` cannot process images of `size`, `(rows, columns)`."""
    for side in size:
        margins(side, config)


def output_size(side: int, config: ModelConfig) -> int:
    """Number of output rows (or columns) for `side` input rows (or columns)."""
    return side if config.padding or config.mirror_input else side - _lost(config)


def margins(side: int, config: ModelConfig) -> tuple[int, int]:
    """Number of pixels to add before and after a side so that it can be halved evenly at every level.

    `padding=1`: up to the next multiple of patch * 2^depth. `mirror_input`: as many as unpadded convolutions remove,
    and up to the next size that fits. `padding=0` alone: none. Raises `ConfigError` if a side is too small or does not
    fit; the message gives sizes that fit.
    """
    if side < (smallest := smallest_size(config)):
        patch = f" with model.patch={config.patch}" if config.patch > 1 else ""
        raise ConfigError(
            f"model.depth={config.depth}{patch} needs images of at least {smallest} x {smallest} pixels, found a side"
            f" of {side}; use larger images or a smaller model.depth"
        )
    before = _lost(config) // 2 if config.mirror_input else 0
    fitting = fitting_size(side + 2 * before, config)
    if config.padding == 0 and not config.mirror_input and side != fitting:
        raise ConfigError(
            f"an image side of {side} pixels does not fit model.padding=0 with model.depth={config.depth};"
            f" nearest sizes that fit: {fitting - _step(config)}, {fitting}; model.mirror_input=true fits any size"
        )
    return before, fitting - side - before


def fitting_size(at_least: int, config: ModelConfig) -> int:
    """The smallest side of `at_least` pixels or more that can be halved evenly at every level."""
    step, offset = _step(config), 0 if config.padding else 4
    return -(-(at_least + offset) // step) * step - offset


def smallest_size(config: ModelConfig) -> int:
    """The smallest accepted side of an image, in pixels.

    `padding=1`: the deepest level keeps 2 pixels, as reflection and batch normalization need. `padding=0`: the output
    has at least one pixel. `mirror_input`: the mirrored margin must be smaller than the image.
    """
    if config.padding:
        return _step(config) + 1
    return _lost(config) // 2 + _step(config) if config.mirror_input else fitting_size(_lost(config) + 1, config)


def _lost(config: ModelConfig) -> int:
    """Number of pixels that unpadded convolutions remove from a side."""
    return 12 * _step(config) - 8


def _step(config: ModelConfig) -> int:
    """Number of image pixels along a side for each pixel of the deepest level."""
    return config.patch << config.depth
