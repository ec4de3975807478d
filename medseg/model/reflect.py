"""A 3x3 convolution with reflected borders, without the cost of padding the whole image.

The image is convolved with zero padding, which libraries do fastest, and then the borders are corrected. Reflection
puts row 1 above row 0. So the first output row lacks the product of kernel row 0 with row 1, which is added; the other
three sides are alike. In the forward and the backward pass this takes one or two small matrix products.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import Function, once_differentiable

_SMALLEST = 32
"""Number of rows and columns below which padding is faster than correcting the borders. At 16 x 16 almost a quarter
of the pixels lie on a border."""


class ReflectConv2d(nn.Conv2d):
    """`nn.Conv2d` with a 3x3 kernel, `padding=1`, `padding_mode="reflect"` and stride 1 or 2, faster in training.

    The original `nn.Conv2d` code runs without gradients, on small images, and under `torch.compile`, `torch.export` and
    `torch.jit.trace`, which cannot follow the custom function.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The convolved image, `(batch, channels, rows, columns)`."""
        rows, columns = input.shape[2:]
        untraced = not (torch.compiler.is_compiling() or torch.jit.is_tracing())  # type: ignore[attr-defined,no-untyped-call]
        even = self.stride[0] == 1 or rows % 2 == columns % 2 == 0
        if not (untraced and even and min(rows, columns) >= _SMALLEST and torch.is_grad_enabled()):
            return super().forward(input)
        weight, bias = self.weight, self.bias
        kind = input.device.type
        if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
            input, weight = input.to(dtype), weight.to(dtype)
            bias = None if bias is None else bias.to(dtype)
        convolved: Tensor = _MendedConvolution.apply(input, weight, bias, self.stride[0])  # type: ignore[no-untyped-call]
        return convolved


class _MendedConvolution(Function):
    """A convolution with zero padding, then corrected at the borders.

    The first and last rows and columns are corrected together. With stride 2 and an even size, only the first row and
    column need it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
        out = F.conv2d(x, weight, bias, stride, padding=1)
        saved = []
        for axes in _group_axes(x):
            taps = _gather(x, stride, axes)
            kernels = torch.cat([_to_front(_outer(weight, stride, axis), axis).flatten(2) for axis in axes])
            _add_outer(out, taps @ kernels.transpose(1, 2), stride, axes)
            saved += [taps, kernels]
        ctx.save_for_backward(x, weight, *saved)
        ctx.stride = stride
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight, *saved = ctx.saved_tensors
        stride, wanted = ctx.stride, list(ctx.needs_input_grad[:3])
        to_x, to_weight, to_bias = torch.ops.aten.convolution_backward(
            gradient, x, weight, [len(weight)], [stride] * 2, [1, 1], [1, 1], False, [0, 0], 1, wanted
        )
        for axes, taps, kernels in zip(_group_axes(x), saved[::2], saved[1::2], strict=True):
            borders = torch.cat([_to_front(_outer(gradient, stride, axis), axis).flatten(1, 2) for axis in axes])
            if wanted[1]:
                _add_outer(to_weight, borders.transpose(1, 2) @ taps, stride, axes)
            if wanted[0]:
                _scatter(to_x, borders @ kernels, stride, axes)
        return to_x, to_weight, to_bias, None


def _group_axes(x: Tensor) -> Sequence[tuple[int, ...]]:
    """The axes to correct together: rows and columns in one matrix product if they have the same length."""
    return [(2, 3)] if x.shape[2] == x.shape[3] else [(2,), (3,)]


def _outer(x: Tensor, stride: int, axis: int) -> Tensor:
    """The first and the last row (`axis` 2) or column (`axis` 3). With stride 2 only the first."""
    return x.narrow(axis, 0, 1) if stride == 2 else _every(x, axis, 0, x.shape[axis] - 1)


def _inner(x: Tensor, stride: int, axis: int) -> Tensor:
    """The rows or columns next to those of `_outer`. Reflection puts them outside the border."""
    return x.narrow(axis, 1, 1) if stride == 2 else _every(x, axis, 1, x.shape[axis] - 3)


def _every(x: Tensor, axis: int, first: int, step: int) -> Tensor:
    lines = slice(first, first + step + 1, step)
    return x[:, :, lines] if axis == 2 else x[:, :, :, lines]


def _to_front(x: Tensor, axis: int) -> Tensor:
    """`(line, batch, position in the line, channel)` from `(batch, channel, rows, columns)`."""
    return x.permute((2, 0, 3, 1) if axis == 2 else (3, 0, 2, 1))


def _add_outer(target: Tensor, found: Tensor, stride: int, axes: tuple[int, ...]) -> None:
    for axis, own in zip(axes, found.chunk(len(axes)), strict=True):
        lines = _to_front(_outer(target, stride, axis), axis)
        lines += own.view(lines.shape)


def _gather(x: Tensor, stride: int, axes: tuple[int, ...]) -> Tensor:
    """The values outside the borders that the kernels need: `(line, batch * position, 3 * channel)`.

    Each position has three neighbors in its line.
    """
    inner = [_to_front(_inner(x, stride, axis), axis) for axis in axes]
    num_lines, batch, length, channels = inner[0].shape
    padded = x.new_empty(len(axes), num_lines, batch, length + 2, channels)
    for axis, lines, own in zip(axes, inner, padded, strict=True):
        own[:, :, 1:-1] = lines
        # each corner must count once: reflected in the rows, zero in the columns
        own[:, :, :: length + 1] = lines[:, :, 1 : length - 1 : length - 3] if axis == 2 else 0
    return padded.flatten(0, 1).unfold(2, 3, stride).transpose(3, 4).flatten(3).flatten(1, 2)


def _scatter(to_x: Tensor, found: Tensor, stride: int, axes: tuple[int, ...]) -> None:
    """Add `found`, the gradient of what `_gather` gave, to `to_x`, the gradient of the image."""
    targets = [_to_front(_inner(to_x, stride, axis), axis) for axis in axes]
    num_lines, batch, length, channels = targets[0].shape
    taps = found.view(len(axes), num_lines, batch, -1, 3, channels)
    padded = taps.new_zeros(len(axes), num_lines, batch, length + 2, channels)
    for tap in range(3):
        padded[..., tap : tap + length : stride, :] += taps[..., tap, :]
    for axis, target, own in zip(axes, targets, padded, strict=True):
        if axis == 2:
            own[:, :, 2] += own[:, :, 0]
            own[:, :, -3] += own[:, :, -1]
        target += own[:, :, 1:-1]
