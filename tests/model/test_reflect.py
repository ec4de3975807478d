import copy

import pytest
import torch
from torch import nn

from medseg.model.blocks import ConvBlock
from medseg.model.config import ModelConfig
from medseg.model.reflect import ReflectConv2d

MENDED = "_MendedConvolutionBackward"


def build(in_channels=3, out_channels=5, stride=1, bias=True, dtype=torch.float64):
    """The project's convolution and PyTorch's, with the same weights."""
    torch.manual_seed(1)
    options = {"padding": 1, "padding_mode": "reflect", "bias": bias, "dtype": dtype}
    ours = ReflectConv2d(in_channels, out_channels, 3, stride, **options)
    theirs = nn.Conv2d(in_channels, out_channels, 3, stride, **options)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def run(module, x, wants_x=True):
    """Output and gradients of input and weights, for a loss with a different weight for each pixel."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_(wants_x)
    output = module(x)
    torch.manual_seed(2)
    output.backward(torch.randn(output.shape, dtype=torch.float64).to(output))
    return output, {"x": x.grad, **{name: p.grad for name, p in module.named_parameters()}}


def assert_same(ours, theirs, x, wants_x=True, mended=True, **close):
    (output, gradients), (expected, wanted) = run(ours, x, wants_x), run(theirs, x, wants_x)
    assert (type(output.grad_fn).__name__ == MENDED) == mended
    torch.testing.assert_close(output, expected, **close)
    assert gradients.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(gradients[name], value, msg=lambda text, name=name: f"{name}: {text}", **close)


TIGHT = {"rtol": 1e-13, "atol": 1e-11}


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("stride", "size"), [(1, (32, 32)), (1, (33, 47)), (1, (64, 33)), (2, (32, 32)), (2, (64, 34))]
)
def test_it_is_the_convolution_with_reflected_borders_forward_and_backward(stride, size, bias, memory_format):
    x = torch.rand(2, 3, *size, dtype=torch.float64).contiguous(memory_format=memory_format)
    assert_same(*build(stride=stride, bias=bias), x, **TIGHT)


@pytest.mark.parametrize(("stride", "size"), [(1, (2, 2)), (1, (2, 3)), (2, (3, 2)), (1, (31, 64)), (2, (33, 64))])
def test_small_images_and_odd_ones_halved_are_padded(stride, size):
    assert_same(*build(stride=stride), torch.rand(1, 3, *size, dtype=torch.float64), mended=False, rtol=0, atol=0)


def test_one_channel_whose_image_wants_no_gradient():
    x = torch.rand(2, 1, 40, 36, dtype=torch.float64)
    assert_same(*build(in_channels=1), x, wants_x=False, **TIGHT)


@pytest.mark.parametrize("frozen", ["weight", "bias"])
def test_frozen_weights_get_no_gradient(frozen):
    ours, theirs = build()
    for module in (ours, theirs):
        getattr(module, frozen).requires_grad_(False)
    assert_same(ours, theirs, torch.rand(2, 3, 32, 32, dtype=torch.float64), **TIGHT)


def test_the_gradient_is_the_derivative():
    ours, _ = build(in_channels=1, out_channels=2)
    x = torch.rand(1, 1, 32, 33, dtype=torch.float64, requires_grad=True)
    arguments = (x, ours.weight, ours.bias)

    def convolve(x, weight, bias):
        return torch.func.functional_call(ours, {"weight": weight, "bias": bias}, x)

    assert torch.autograd.gradcheck(convolve, arguments, fast_mode=True)


@pytest.mark.parametrize("stride", [1, 2])
def test_under_autocast_it_is_as_near_as_bfloat16_comes(stride):
    ours, theirs = build(16, 8, stride, dtype=torch.float32)
    x = torch.rand(2, 16, 40, 36).contiguous(memory_format=torch.channels_last)
    exact, exact_gradients = run(copy.deepcopy(theirs), x)
    with torch.autocast("cpu", torch.bfloat16):
        (output, gradients), (expected, wanted) = run(ours, x), run(theirs, x)
    assert output.dtype == expected.dtype == torch.bfloat16
    assert type(output.grad_fn).__name__ == MENDED
    for found, plain, reference in [
        (output, expected, exact),
        *((gradients[name], wanted[name], exact_gradients[name]) for name in gradients),
    ]:
        assert found.dtype == plain.dtype
        error, usual = ((value.float() - reference).norm() for value in (found, plain))
        assert error <= 1.5 * usual


def test_a_trained_network_padded_before_takes_the_same_weights():
    ours, theirs = build()
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    for first, kinds in ((False, [ReflectConv2d, ReflectConv2d]), (True, [nn.Conv2d, ReflectConv2d])):
        block = ConvBlock(4, 4, ModelConfig(padding_mode="reflect"), first=first)
        convolutions = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
        assert [type(module) for module in convolutions] == kinds
        assert {module.padding_mode for module in convolutions} == {"reflect"}


def test_nothing_is_mended_where_nothing_is_learnt():
    ours, theirs = build()
    x = torch.rand(1, 3, 48, 48, dtype=torch.float64)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)


@pytest.mark.slow
def test_exported_and_traced_it_is_the_plain_convolution():
    ours, theirs = build(dtype=torch.float32)
    x = torch.rand(1, 3, 48, 48)
    exported = torch.export.export(ours, (x,))
    assert not [node for node in exported.graph.nodes if "autograd" in str(node.target)]
    traced = torch.jit.trace(ours, x)
    assert "aten::_convolution" in str(traced.inlined_graph)
    assert MENDED not in type(traced(x).grad_fn).__name__
    for module in (exported.module(), traced):
        torch.testing.assert_close(module(x), theirs(x))
