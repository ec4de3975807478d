"""The article's blocks: ConvBlock, DownSample, UpSample.

With `padding_mode="reflect"` and `dropout=0.3` the layers are exactly those of the article. The other options of
`ModelConfig` come from the article's section 2 and the 2015 paper (Ronneberger et al., arXiv:1505.04597).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.model.config import ModelConfig
from medseg.model.reflect import ReflectConv2d


class ConvBlock(nn.Module):
    """Two 3x3 convolutions, each followed by batch normalization, channel dropout and the activation.

    `(batch, in_channels, rows, columns)` -> `(batch, out_channels, rows, columns)`. With `padding=0` the output has 4
    rows and columns fewer. The `first` block takes the image: padding so few channels costs almost nothing, and the
    borders are more exact in bfloat16 than with `ReflectConv2d`.
    """

    def __init__(self, in_channels: int, out_channels: int, config: ModelConfig, *, first: bool = False) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            _conv(in_channels, out_channels, config, padding=config.padding, plain=first),
            *_normalize(out_channels, config),
            nn.Dropout2d(config.dropout, inplace=True),
            _activate(config),
            _conv(out_channels, out_channels, config, padding=config.padding),
            *_normalize(out_channels, config),
            nn.Dropout2d(config.dropout, inplace=True),
            _activate(config),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The features, at the same level."""
        return self.layer(x)  # type: ignore[no-any-return]


class DownSample(nn.Module):
    """Halves the rows and columns.

    A 3x3 convolution of stride 2 with batch normalization and activation does it, or 2x2 max pooling. The convolution
    is padded by 1 even if the blocks are not padded, so that both ways halve an even size exactly.
    """

    def __init__(self, channels: int, config: ModelConfig) -> None:
        super().__init__()
        self.layer = (
            nn.MaxPool2d(kernel_size=2, stride=2)
            if config.downsample == "max_pool"
            else nn.Sequential(
                _conv(channels, channels, config, padding=1, stride=2),
                *_normalize(channels, config),
                _activate(config),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, channels, rows / 2, columns / 2)`."""
        return self.layer(x)  # type: ignore[no-any-return]


class UpSample(nn.Module):
    """Doubles the rows and columns, halves the channels, and joins the encoder features of the same level.

    With `nearest` and `bilinear`, a 1x1 convolution halves the channels before the rows and columns are doubled. The
    article doubles first: the features are the same, since each pixel is convolved alone and the weights of the
    interpolation sum to 1, but the convolution has four times the operations.

    The inputs are `(batch, channels, rows, columns)` and a feature map of `channels / 2`, which is cropped to its
    center if it is larger (`padding=0`). The output is `(batch, channels, 2 rows, 2 columns)`; it has `channels / 2` if
    the two are added (FCN).
    """

    def __init__(self, channels: int, config: ModelConfig) -> None:
        super().__init__()
        self.mode, self.skip = config.upsample, config.skip
        self.layer: nn.Module = (
            nn.ConvTranspose2d(channels, channels // 2, kernel_size=2, stride=2)
            if config.upsample == "transposed"
            else nn.Conv2d(channels, channels // 2, kernel_size=1)
        )

    def forward(self, x: Tensor, feature_map: Tensor) -> Tensor:
        """The joined features: first the upsampled ones, then `feature_map`."""
        out = self.layer(x)
        if self.mode != "transposed":
            out = F.interpolate(out, scale_factor=2, mode=self.mode)
        feature_map = crop_center(feature_map, out)
        return out + feature_map if self.skip == "add" else torch.cat((out, feature_map), dim=1)


def crop_center(x: Tensor, like: Tensor) -> Tensor:
    """The center of `x`, with as many rows and columns as `like`."""
    rows, columns = like.shape[-2:]
    top, left = (x.shape[-2] - rows) // 2, (x.shape[-1] - columns) // 2
    return x[..., top : top + rows, left : left + columns]


def _conv(
    in_channels: int, out_channels: int, config: ModelConfig, padding: int, stride: int = 1, *, plain: bool = False
) -> nn.Conv2d:
    mode = config.padding_mode if padding else "zeros"
    kind = ReflectConv2d if mode == "reflect" and not plain else nn.Conv2d
    return kind(in_channels, out_channels, 3, stride, padding, padding_mode=mode, bias=config.bias)


def _normalize(channels: int, config: ModelConfig) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels)] if config.batch_norm else []


def _activate(config: ModelConfig) -> nn.Module:
    return nn.ReLU(inplace=True) if config.activation == "relu" else nn.LeakyReLU(inplace=True)
