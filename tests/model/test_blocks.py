import pytest
import torch
import torch.nn.functional as F
from torch import nn

from medseg.model.blocks import ConvBlock, DownSample, UpSample, crop_center
from medseg.model.config import ModelConfig

ARTICLE = ModelConfig(width=64, padding_mode="reflect", dropout=0.3)


def article_conv_block(i, o):
    return nn.Sequential(
        nn.Conv2d(i, o, 3, 1, 1, padding_mode="reflect", bias=False),
        nn.BatchNorm2d(o),
        nn.Dropout2d(0.3),
        nn.LeakyReLU(),
        nn.Conv2d(o, o, 3, 1, 1, padding_mode="reflect", bias=False),
        nn.BatchNorm2d(o),
        nn.Dropout2d(0.3),
        nn.LeakyReLU(),
    )


def article_down_sample(c):
    return nn.Sequential(
        nn.Conv2d(c, c, 3, 2, 1, padding_mode="reflect", bias=False), nn.BatchNorm2d(c), nn.LeakyReLU()
    )


def section_2_conv_block(i, o):
    return nn.Sequential(
        nn.Conv2d(i, o, 3),
        nn.BatchNorm2d(o),
        nn.ReLU(inplace=True),
        nn.Conv2d(o, o, 3),
        nn.BatchNorm2d(o),
        nn.ReLU(inplace=True),
    )


def copy_weights(block, literal):
    """Copy the weights of `block` into `literal` by order, not by name."""
    with torch.no_grad():
        for ours, theirs in zip(block.parameters(), literal.parameters(), strict=True):
            theirs.copy_(ours)


def assert_same(block, literal, x, train):
    """Equal outputs, gradients of the input and of every weight, bit for bit."""
    results = []
    for module in (block.train(train), literal.train(train)):
        torch.manual_seed(3)
        picture = x.clone().requires_grad_()
        output = module(picture)
        output.square().sum().backward()
        results.append([output, picture.grad, *(p.grad for p in module.parameters())])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("i", "o", "expected"),
    [
        # 9 in out + 9 out^2 for the convolutions, 2 x (out + out) for the normalizations
        (1, 64, 576 + 36864 + 256),
        (64, 128, 73728 + 147456 + 512),
        (512, 1024, 4718592 + 9437184 + 4096),
        (1024, 512, 4718592 + 2359296 + 2048),
        (128, 64, 73728 + 36864 + 256),
    ],
)
def test_conv_block_has_the_articles_number_of_parameters(i, o, expected):
    assert count(ConvBlock(i, o, ARTICLE)) == expected


@pytest.mark.parametrize(("channels", "expected"), [(64, 36864 + 128), (512, 2359296 + 1024)])
def test_down_sample_has_the_articles_number_of_parameters(channels, expected):
    assert count(DownSample(channels, ARTICLE)) == expected


@pytest.mark.parametrize(("channels", "expected"), [(1024, 524288 + 512), (128, 8192 + 64)])
def test_up_sample_has_the_articles_number_of_parameters(channels, expected):
    assert count(UpSample(channels, ARTICLE)) == expected


@pytest.mark.parametrize("train", [False, True])
def test_conv_block_is_the_articles(train):
    block, literal = ConvBlock(3, 8, ARTICLE), article_conv_block(3, 8)
    literal.load_state_dict(block.layer.state_dict())
    assert_same(block, literal, torch.randn(2, 3, 9, 12), train)


@pytest.mark.parametrize("train", [False, True])
def test_down_sample_is_the_articles(train):
    block, literal = DownSample(6, ARTICLE), article_down_sample(6)
    literal.load_state_dict(block.layer.state_dict())
    assert_same(block, literal, torch.randn(2, 6, 12, 8), train)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_up_sample_is_the_articles(mode):
    block = UpSample(8, ARTICLE.model_copy(update={"upsample": mode}))
    x, feature_map = torch.randn(2, 8, 5, 6), torch.randn(2, 4, 10, 12)
    up = F.interpolate(x, scale_factor=2, mode=mode)
    out = F.conv2d(up, block.layer.weight, block.layer.bias)
    expected = torch.cat((out, feature_map), dim=1)
    convolved = []
    block.layer.register_forward_hook(lambda _, given, out: convolved.append(out.shape[2:]))
    torch.testing.assert_close(block(x, feature_map), expected, rtol=0, atol=1e-5)
    assert convolved == [(5, 6)]  # before the doubling, where it costs a quarter


@pytest.mark.parametrize("train", [False, True])
def test_conv_block_of_section_2(train):
    section_2 = ModelConfig(padding=0, activation="relu", bias=True, dropout=0)
    block, literal = ConvBlock(3, 8, section_2), section_2_conv_block(3, 8)
    copy_weights(block, literal)
    assert block(torch.zeros(2, 3, 9, 12)).shape == (2, 8, 5, 8)
    literal(torch.zeros(2, 3, 9, 12))  # both have now seen one batch
    assert_same(block, literal, torch.randn(2, 3, 9, 12), train)


def test_zero_padding_sees_zeros_beyond_the_border():
    block = ConvBlock(1, 1, ModelConfig(batch_norm=False, dropout=0)).eval()
    for conv in (block.layer[0], block.layer[3]):
        nn.init.ones_(conv.weight)
    # ones summed over 3x3 neighborhoods: 4 in corners, 6 on edges, 9 inside; then once more
    expected = torch.tensor([[25.0, 35, 25], [35, 49, 35], [25, 35, 25]])
    torch.testing.assert_close(block(torch.ones(1, 1, 3, 3))[0, 0], expected)


def test_max_pool_keeps_the_largest_of_four():
    pooled = DownSample(1, ModelConfig(downsample="max_pool"))(torch.arange(16.0).reshape(1, 1, 4, 4))
    assert pooled.tolist() == [[[[5, 7], [13, 15]]]]


@pytest.mark.parametrize("padding", [0, 1])
def test_down_sample_halves_an_even_size_with_and_without_padding(padding):
    assert DownSample(2, ModelConfig(padding=padding))(torch.zeros(1, 2, 8, 6)).shape == (1, 2, 4, 3)


def up_sampled(mode):
    """The article's 2x2 source, upsampled to 4x4 by an `UpSample` whose 1x1 convolution keeps channel 0."""
    block = UpSample(2, ModelConfig(upsample=mode))
    nn.init.zeros_(block.layer.bias)
    with torch.no_grad():
        block.layer.weight.copy_(torch.tensor([1.0, 0]).reshape(1, 2, 1, 1))
    source = torch.tensor([[10.0, 20], [30, 40]]).expand(1, 2, 2, 2)
    return block(source, torch.zeros(1, 1, 4, 4))[0, 0]


def test_bilinear_is_the_articles_example():
    target = up_sampled("bilinear")
    assert target[0, 1].item() == 12.5  # P2
    # by the article's formula at the inner target points: (1-u)(1-v) 10 + (1-u) v 20 + u (1-v) 30 + u v 40
    assert target[1, 1].item() == 0.5625 * 10 + 0.1875 * 20 + 0.1875 * 30 + 0.0625 * 40
    assert target[0, 0].item() == 10


def test_nearest_repeats_each_value():
    assert up_sampled("nearest").tolist() == [[10, 10, 20, 20], [10, 10, 20, 20], [30, 30, 40, 40], [30, 30, 40, 40]]


def test_transposed_convolution_spreads_each_value_over_two_by_two():
    block = UpSample(2, ModelConfig(upsample="transposed"))
    nn.init.zeros_(block.layer.bias)
    with torch.no_grad():
        block.layer.weight.copy_(torch.tensor([[[[1.0, 2], [3, 4]]], [[[0, 0], [0, 0]]]]))
    out = block(torch.tensor([[5.0, 7]]).expand(1, 2, 1, 2), torch.zeros(1, 1, 2, 4))[0, 0]
    assert out.tolist() == [[5, 10, 7, 14], [15, 20, 21, 28]]


def test_skip_by_addition_sums_channel_by_channel():
    block = UpSample(4, ModelConfig(skip="add"))
    nn.init.ones_(block.layer.weight)
    nn.init.zeros_(block.layer.bias)
    joined = block(torch.ones(1, 4, 1, 1), torch.tensor([10.0, 20]).reshape(1, 2, 1, 1).expand(1, 2, 2, 2))
    assert joined[0, :, 1, 1].tolist() == [14, 24]


def test_a_larger_feature_map_is_cropped_at_its_center():
    feature_map = torch.arange(36.0).reshape(1, 1, 6, 6)
    block = UpSample(2, ModelConfig(padding=0))
    joined = block(torch.zeros(1, 2, 1, 2), feature_map)
    assert joined[0, 1].tolist() == [[13, 14, 15, 16], [19, 20, 21, 22]]


def test_crop_center_of_unequal_sides():
    assert crop_center(torch.arange(12.0).reshape(1, 1, 2, 6), torch.zeros(1, 1, 2, 2)).tolist() == [[[[2, 3], [8, 9]]]]


def test_dropout_takes_whole_channels_while_training_only():
    block = ConvBlock(1, 64, ModelConfig(dropout=0.5))
    nn.init.constant_(block.layer[5].bias, 100)  # keeps what is not dropped away from zero
    torch.manual_seed(0)
    dropped = (block(torch.randn(2, 1, 8, 8)) == 0).flatten(2)
    assert (dropped.all(dim=2) == dropped.any(dim=2)).all()
    assert 0.3 < dropped.float().mean() < 0.7
    assert not (block.eval()(torch.randn(2, 1, 8, 8)) == 0).any()
