"""Preparation of a trained network for prediction: layers of the training are removed, and bfloat16 loses less."""

import copy
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from medseg.model.unet import UNet

_LEVELS = 1024


def fold(network: UNet) -> UNet:
    """A copy of `network` in evaluation mode, without dropout, with batch normalization fused into the convolutions."""
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
    """A copy of a folded `network` for the output of `split_images`, so that bfloat16 loses nothing of the image.

    A radiograph is bright everywhere and has little contrast. bfloat16 keeps 8 bits, so the first convolution causes
    most of the difference between bfloat16 and float32 masks. Here weights, bias and image are each a sum of two
    bfloat16 numbers, and all products that matter are computed.
    """
    split = copy.deepcopy(network)
    layer = cast(nn.Sequential, split.encoder[0].layer)
    conv = cast(nn.Conv2d, layer[0])
    high, low = split_bits(conv.weight.detach())
    square = network.config.patch**2
    constant = torch.zeros(conv.out_channels, 2 * square, 3, 3)
    if conv.bias is not None:
        constant[:, :2, 1, 1] = torch.stack(split_bits(conv.bias.detach()), dim=1)
    weight = torch.cat([high, high, low, constant], dim=1)
    padding, mode = network.config.padding, network.config.padding_mode
    shape = weight.shape[1], conv.out_channels, 3
    with torch.random.fork_rng(devices=[]):  # the first weights are random, and thrown away
        layer[0] = nn.Conv2d(*shape, padding=padding, padding_mode=mode, bias=False)
    layer[0].weight = nn.Parameter(weight)
    split.in_channels = weight.shape[1] // square
    return split


def split_images(images: Tensor) -> Tensor:
    """Images `(batch, channel, rows, columns)` as `(batch, 3 * channel + 2, rows, columns)`, all exact in bfloat16.

    Gray values are rounded to 1/1024. The same image read from another file format may differ in the last bits of
    float32. Without rounding, such a bit could change a bfloat16 value, which is a larger difference.
    """
    high, low = split_bits((images * _LEVELS).round() / _LEVELS)
    ones = images.new_ones(len(images), 2, *images.shape[2:])
    return torch.cat([high, low, high, ones], dim=1)


def split_bits(values: Tensor) -> tuple[Tensor, Tensor]:
    """Two tensors that are exact in bfloat16. Their sum keeps 16 of the 24 bits of `values`."""
    high = values.bfloat16().to(values.dtype)
    return high, (values - high).bfloat16().to(values.dtype)
