"""A trained network made ready to predict: what training needed is gone, what bfloat16 would lose is kept."""

import copy
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from medseg.model.unet import UNet

_LEVELS = 1024


def fold(network: UNet) -> UNet:
    """A copy of `network` for evaluation: dropout is gone, convolutions do what batch normalisation did after them."""
    folded = copy.deepcopy(network).eval()
    for module in list(folded.modules()):
        for name, following in pairwise(list(module._modules)):
            first, second = module._modules[name], module._modules[following]
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                module._modules[name] = fuse_conv_bn_eval(first, second)
                module._modules[following] = nn.Identity()
        for name, child in module._modules.items():
            if isinstance(child, nn.Dropout2d):
                module._modules[name] = nn.Identity()
    return folded


def split_first(network: UNet) -> UNet:
    """A copy of a folded `network` that takes what `split_images` makes, and loses nothing of it in bfloat16.

    A radiograph is bright all over and its contrast small, so that the 8 bits of its first convolution in bfloat16 are
    what most of the difference between masks in bfloat16 and float32 comes from. Here weights, bias and picture are
    each the sum of two bfloat16 numbers, and the products that matter are all made.
    """
    split = copy.deepcopy(network)
    layer = cast(nn.Sequential, split.encoder[0].layer)
    conv = cast(nn.Conv2d, layer[0])
    high, low = split_bits(conv.weight.detach())
    constant = torch.zeros(conv.out_channels, 2, 3, 3)
    if conv.bias is not None:
        bias = torch.stack(split_bits(conv.bias.detach()), dim=1)
        constant[:, :, 1, 1] = bias
    weight = torch.cat([high, high, low, constant], dim=1)
    padding, mode = network.config.padding, network.config.padding_mode
    shape = weight.shape[1], conv.out_channels, 3
    with torch.random.fork_rng(devices=[]):  # the first weights are random, and thrown away
        layer[0] = nn.Conv2d(*shape, padding=padding, padding_mode=mode, bias=False)
    layer[0].weight = nn.Parameter(weight)
    split.in_channels = weight.shape[1]
    return split


def split_images(images: Tensor) -> Tensor:
    """Images `(batch, channel, rows, columns)` as `(batch, 3 * channel + 2, rows, columns)`, each exact in bfloat16.

    Grey values are rounded to 1/1024: the last bits of float32, in which a picture may differ from itself in another
    format, would else be magnified by every bfloat16 that they round to the other side.
    """
    high, low = split_bits((images * _LEVELS).round() / _LEVELS)
    ones = images.new_ones(len(images), 2, *images.shape[2:])
    return torch.cat([high, low, high, ones], dim=1)


def split_bits(values: Tensor) -> tuple[Tensor, Tensor]:
    """Two tensors of numbers that bfloat16 holds exactly; their sum has 16 of the 24 bits of `values`."""
    high = values.bfloat16().to(values.dtype)
    return high, (values - high).bfloat16().to(values.dtype)
