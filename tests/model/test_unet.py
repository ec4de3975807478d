from copy import deepcopy
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from medseg.benchmark.article import UNet as ArticleUNet
from medseg.errors import ConfigError
from medseg.model.config import ModelConfig
from medseg.model.unet import UNet, build_unet, fitting_size, margins, output_size, smallest_size

ARTICLE = {"padding_mode": "reflect", "dropout": 0.3}
PAPER = {
    "padding": 0,
    "dropout": 0,
    "activation": "relu",
    "downsample": "max_pool",
    "upsample": "transposed",
    "output_kernel": 1,
    "bias": True,
    "batch_norm": False,
}
SMALL = {"width": 4, "depth": 2}


class PaperUNet(nn.Module):
    """Figure 1 of arXiv:1505.04597, written out; `w` is 64 there."""

    def __init__(self, w):
        super().__init__()
        ins, outs = [1, w, 2 * w, 4 * w, 8 * w], [w, 2 * w, 4 * w, 8 * w, 16 * w]
        self.left = nn.ModuleList(map(self.two_convs, ins, outs))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * c, c, 2, 2) for c in reversed(ins[1:]))
        self.right = nn.ModuleList(self.two_convs(2 * c, c) for c in reversed(ins[1:]))
        self.out = nn.Conv2d(w, 2, 1)

    @staticmethod
    def two_convs(i, o):
        return nn.Sequential(nn.Conv2d(i, o, 3), nn.ReLU(), nn.Conv2d(o, o, 3), nn.ReLU())

    def forward(self, x):
        kept = []
        for convs in self.left[:-1]:
            kept.append(convs(x))
            x = F.max_pool2d(kept[-1], 2)
        x = self.left[-1](x)
        for up, convs, crop in zip(self.ups, self.right, (4, 16, 40, 88), strict=True):
            x = convs(torch.cat([up(x), F.pad(kept.pop(), [-crop] * 4)], dim=1))
        return self.out(x)


def article_names(network):
    """The blocks of the network, by the article's names."""
    levels = {"c": [*network.encoder, network.bottom, *network.decoder], "d": network.down, "u": network.up}
    named = {f"{letter}{i}": block for letter, blocks in levels.items() for i, block in enumerate(blocks, 1)}
    return {**named, "out": network.out}


def on_meta(config, i, o):
    with torch.device("meta"):
        return build_unet(config, i, o)


def shapes(network, x):
    """The output shape (channels, rows, columns) of each block."""
    seen = {}
    for name, block in article_names(network).items():
        block.register_forward_hook(lambda _m, _i, y, name=name: seen.__setitem__(name, tuple(y.shape[1:])))
    network(x)
    return seen


def pass_input_through(network):
    """Weights with which the network returns its input, through the skip connection of the first level only."""
    width = network.config.width
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        first = [m for m in network.encoder[0].modules() if isinstance(m, nn.Conv2d)]
        last = [m for m in network.decoder[-1].modules() if isinstance(m, nn.Conv2d)]
        first[0].weight[0, 0, 1, 1] = first[1].weight[0, 0, 1, 1] = 1
        last[0].weight[0, width, 1, 1] = last[1].weight[0, 0, 1, 1] = 1
        middle = network.config.output_kernel // 2
        network.out.weight[0, 0, middle, middle] = 1
    return network


def seeded(config, i=1, o=1, seed=0):
    torch.manual_seed(seed)
    return build_unet(config, i, o)


# The article's network


@pytest.mark.slow
@pytest.mark.parametrize(
    ("channels", "total"),
    [
        # c1..c5 + d1..d4 + u1..u4 + c6..c9 + out, each worked out in test_blocks
        (
            1,
            (37_696 + 221_696 + 885_760 + 3_540_992 + 14_159_872)
            + (36_992 + 147_712 + 590_336 + 2_360_320)
            + (524_800 + 131_328 + 32_896 + 8_256)
            + (7_079_936 + 1_770_496 + 442_880 + 110_848)
            + 577,
        ),
        (3, 32_083_393 + 2 * 576 + 2 * 577),
    ],
)
def test_article_network_has_its_number_of_parameters(channels, total):
    network = on_meta(ModelConfig(width=64, **ARTICLE), channels, channels)
    assert sum(p.numel() for p in network.parameters()) == total
    assert sum(p.numel() for p in ArticleUNet(channels, channels, 64).to("meta").parameters()) == total


@pytest.mark.slow
def test_article_network_has_its_shape_at_every_level():
    network = on_meta(ModelConfig(width=64, **ARTICLE), 1, 1)
    assert shapes(network, torch.zeros(2, 1, 512, 512, device="meta")) == {
        "c1": (64, 512, 512),
        "d1": (64, 256, 256),
        "c2": (128, 256, 256),
        "d2": (128, 128, 128),
        "c3": (256, 128, 128),
        "d3": (256, 64, 64),
        "c4": (512, 64, 64),
        "d4": (512, 32, 32),
        "c5": (1024, 32, 32),
        "u1": (1024, 64, 64),
        "c6": (512, 64, 64),
        "u2": (512, 128, 128),
        "c7": (256, 128, 128),
        "u3": (256, 256, 256),
        "c8": (128, 256, 256),
        "u4": (128, 512, 512),
        "c9": (64, 512, 512),
        "out": (1, 512, 512),
    }


@pytest.mark.slow
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_network_is_the_articles_in_output_and_gradients(train, channels):
    network = seeded(ModelConfig(width=4, **ARTICLE), channels, channels).train(train).double()
    article = ArticleUNet(channels, channels, 4).train(train).double()
    for name, block in article_names(network).items():
        getattr(article, name).load_state_dict(block.state_dict())
    x = torch.rand(2, channels, 48, 64, dtype=torch.float64)
    target = (x > 0.5).double()

    torch.manual_seed(1)
    logits = network(x)
    loss = F.binary_cross_entropy_with_logits(logits, target)
    torch.manual_seed(1)
    probabilities = article(x)
    article_loss = F.binary_cross_entropy(probabilities, target)
    loss.backward()
    article_loss.backward()

    torch.testing.assert_close(logits.sigmoid(), probabilities, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(loss, article_loss)
    for name, block in article_names(network).items():
        for ours, theirs in zip(block.parameters(), getattr(article, name).parameters(), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-12)


# The paper's network


def test_paper_network_has_its_number_of_parameters():
    network = on_meta(ModelConfig(width=64, **PAPER), 1, 2)
    # 9 in out + out a 3x3 convolution, 4 in out + out an up-convolution, 64 x 2 + 2 at the end
    left = 640 + 36_928 + 73_856 + 147_584 + 295_168 + 590_080 + 1_180_160 + 2_359_808 + 4_719_616 + 9_438_208
    ups = 2_097_664 + 524_544 + 131_200 + 32_832
    right = 4_719_104 + 2_359_808 + 1_179_904 + 590_080 + 295_040 + 147_584 + 73_792 + 36_928
    assert sum(p.numel() for p in network.parameters()) == left + ups + right + 130


def test_paper_network_has_the_sizes_of_its_figure():
    network = on_meta(ModelConfig(width=64, **PAPER), 1, 2)
    seen = shapes(network, torch.zeros(1, 1, 572, 572, device="meta"))
    assert {name: shape[-1] for name, shape in seen.items()} == {
        **{"c1": 568, "d1": 284, "c2": 280, "d2": 140, "c3": 136, "d3": 68, "c4": 64, "d4": 32, "c5": 28},
        **{"u1": 56, "c6": 52, "u2": 104, "c7": 100, "u3": 200, "c8": 196, "u4": 392, "c9": 388, "out": 388},
    }
    assert seen["out"] == (2, 388, 388)


def test_network_is_the_papers():
    network, paper = seeded(ModelConfig(width=4, **PAPER), 1, 2), PaperUNet(4)
    groups = [
        ([*network.encoder, network.bottom], paper.left),
        (network.up, paper.ups),
        (network.decoder, paper.right),
        ([network.out], [paper.out]),
    ]
    with torch.no_grad():
        for ours, theirs in groups:
            for block, literal in zip(ours, theirs, strict=True):
                for p, q in zip(block.parameters(), literal.parameters(), strict=True):
                    q.copy_(p)
    x = torch.randn(1, 1, 188, 204)
    assert network(x).shape == (1, 2, 4, 20)
    torch.testing.assert_close(network(x), paper(x))


# Sizes


@pytest.mark.parametrize(("depth", "side", "out"), [(4, 572, 388), (4, 188, 4), (1, 18, 2), (1, 20, 4), (2, 44, 4)])
def test_unpadded_output_size(depth, side, out):
    config = ModelConfig(depth=depth, padding=0, width=1)
    assert output_size(side, config) == out
    assert margins(side, config) == (0, 0)
    assert build_unet(config, 1, 1)(torch.zeros(1, 1, side, side)).shape == (1, 1, out, out)


@pytest.mark.parametrize(
    ("padding", "at_least", "fitting"), [(1, 512, 512), (1, 513, 528), (0, 571, 572), (0, 572, 572), (0, 573, 588)]
)
def test_fitting_size(padding, at_least, fitting):
    assert fitting_size(at_least, ModelConfig(padding=padding)) == fitting


def test_margins_of_a_padded_network_lead_to_the_next_multiple():
    assert margins(512, ModelConfig()) == (0, 0)
    assert margins(97, ModelConfig()) == (0, 15)


def test_margins_of_a_mirrored_network_are_what_the_convolutions_take_and_what_is_left_to_fit():
    config = ModelConfig(padding=0, mirror_input=True)
    assert margins(388, config) == (92, 92)
    assert margins(512, config) == (92, 96)  # 700 = 44 * 16 - 4


@pytest.mark.parametrize(
    ("options", "smallest"),
    [({}, 17), ({"padding": 0}, 188), ({"padding": 0, "mirror_input": True}, 108), ({"padding": 0, "depth": 1}, 18)],
)
def test_smallest_size(options, smallest):
    assert smallest_size(ModelConfig(**options)) == smallest


@pytest.mark.parametrize("options", [{}, {"padding_mode": "reflect"}, {"padding": 0}, PAPER | {"mirror_input": True}])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_smallest_size_trains_and_one_below_is_refused(options, depth):
    config = ModelConfig(**{"width": 2, "depth": depth, **options})
    side = smallest_size(config)
    build_unet(config, 1, 1)(torch.randn(1, 1, side, side)).sum().backward()
    for shape in ((side - 1, side), (side, side - 1)):
        with pytest.raises(ConfigError, match=f"at least {side} x {side} pixels, found a side of {side - 1};"):
            build_unet(config, 1, 1)(torch.randn(1, 1, *shape))


@pytest.mark.parametrize(("side", "near"), [(570, "556, 572"), (573, "572, 588"), (190, "188, 204")])
def test_a_size_that_does_not_fit_names_the_nearest_that_do(side, near):
    config = ModelConfig(width=1, padding=0)
    with pytest.raises(ConfigError, match=f"{side} pixels does not fit .* nearest sizes that fit: {near};"):
        build_unet(config, 1, 1)(torch.zeros(1, 1, 572, side))
    for fitting in map(int, near.split(", ")):
        assert margins(fitting, config) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"padding_mode": "reflect"}, PAPER | {"mirror_input": True}])
@pytest.mark.parametrize("size", [(97, 131), (160, 112), (109, 256)])
def test_any_size_keeps_its_size(options, size):
    network = on_meta(ModelConfig(width=4, depth=3, **options), 1, 3)
    assert network(torch.zeros(2, 1, *size, device="meta")).shape == (2, 3, *size)


@pytest.mark.parametrize("size", [(45, 61), (56, 48)])
@pytest.mark.parametrize("mirror", [{}, {"padding": 0, "mirror_input": True}])
@pytest.mark.parametrize("output_kernel", [1, 3])
def test_output_lies_on_the_input(size, mirror, output_kernel):
    network = build_unet(ModelConfig(**SMALL, batch_norm=False, dropout=0, output_kernel=output_kernel, **mirror), 1, 1)
    x = torch.rand(1, 1, *size)
    torch.testing.assert_close(pass_input_through(network)(x), x)


def test_unpadded_output_lies_on_the_center_of_the_input():
    network = build_unet(ModelConfig(**SMALL, batch_norm=False, dropout=0, padding=0), 1, 1)
    x = torch.rand(1, 1, 52, 60)
    torch.testing.assert_close(pass_input_through(network)(x), x[..., 20:32, 20:40])


def test_mirrored_network_is_the_unpadded_one_on_a_mirrored_image():
    plain = ModelConfig(**SMALL, padding=0)
    network = seeded(plain.model_copy(update={"mirror_input": True})).eval()
    unpadded = build_unet(plain, 1, 1).eval()
    unpadded.load_state_dict(network.state_dict())
    x = torch.randn(1, 1, 45, 48)
    mirrored = np.pad(x.numpy(), [(0, 0), (0, 0), (20, 23), (20, 20)], mode="reflect")
    torch.testing.assert_close(network(x), unpadded(torch.from_numpy(mirrored))[..., :45, :48])


def test_sizes_that_do_not_fit_are_padded_by_repeating_the_border():
    network = seeded(ModelConfig(**SMALL)).eval()
    x = torch.randn(1, 1, 17, 22)
    padded = np.pad(x.numpy(), [(0, 0), (0, 0), (0, 3), (0, 2)], mode="edge")
    torch.testing.assert_close(network(x), network(torch.from_numpy(padded))[..., :17, :22])


# Options


@pytest.mark.slow
@pytest.mark.parametrize(
    ("padding", "downsample", "upsample", "skip", "output_kernel"),
    [*product([0, 1], ["conv", "max_pool"], ["nearest", "bilinear", "transposed"], ["concatenate", "add"], [1, 3])],
)
def test_every_combination_of_ways_fits_together(padding, downsample, upsample, skip, output_kernel):
    ways = {"padding": padding, "downsample": downsample, "upsample": upsample, "skip": skip}
    network = on_meta(ModelConfig(**SMALL, **ways, output_kernel=output_kernel), 3, 2)
    side = 60 if padding else 20
    assert network(torch.zeros(2, 3, 60, 60, device="meta")).shape == (2, 2, side, side)


@pytest.mark.slow
@pytest.mark.parametrize(
    "option",
    [
        {},
        ARTICLE,
        PAPER | {"mirror_input": True},
        {"padding": 0},
        {"padding_mode": "reflect"},
        {"dropout": 0},
        {"activation": "relu"},
        {"downsample": "max_pool"},
        {"upsample": "bilinear"},
        {"upsample": "transposed"},
        {"skip": "add"},
        {"output_kernel": 1},
        {"bias": True},
        {"batch_norm": False},
        {"batch_norm": False, "dropout": 0.3, "activation": "relu"},
    ],
)
def test_in_place_operations_leave_the_gradients_right(option):
    in_place = seeded(ModelConfig(**{**SMALL, **option}), 2, 3)
    apart = deepcopy(in_place)
    changed = [module for module in apart.modules() if getattr(module, "inplace", False)]
    for module in changed:
        module.inplace = False
    assert changed
    x = torch.randn(2, 2, 60, 76)
    for network in (in_place, apart):
        torch.manual_seed(1)
        network(x).square().mean().backward()
    for ours, theirs in zip(in_place.parameters(), apart.parameters(), strict=True):
        assert ours.grad is not None
        assert ours.grad.isfinite().all()
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize(
    "option", [{"width": 8}, {"depth": 3}, {"upsample": "transposed"}, {"skip": "add"}, {"bias": True}]
)
def test_weights_of_another_architecture_do_not_load(option):
    weights = build_unet(ModelConfig(**SMALL), 1, 1).state_dict()
    with pytest.raises(RuntimeError, match="state_dict"):
        build_unet(ModelConfig(**{**SMALL, **option}), 1, 1).load_state_dict(weights)


# How it is run


@pytest.mark.slow
@pytest.mark.parametrize("option", [{}, ARTICLE, {"upsample": "bilinear"}, PAPER | {"mirror_input": True}])
def test_channels_last_and_bfloat16_stay_close_to_plain(option):
    network = seeded(ModelConfig(**{**SMALL, **option})).eval()
    x = torch.randn(2, 1, 53, 66)
    plain = network(x)
    network, x = network.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(network(x), plain, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        fast = network.train()(x)
    assert fast.dtype == torch.bfloat16
    fast.float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert (seeded(network.config).eval()(x).float() - plain).abs().max() < 0.05 * (1 + plain.abs().max())


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 48), (53, 66)])
def test_exports_with_any_batch(size):
    network = seeded(ModelConfig(**SMALL)).eval()
    batch = {0: torch.export.Dim("batch")}
    exported = torch.export.export(network, (torch.randn(2, 1, *size),), dynamic_shapes=(batch,)).module()
    x = torch.randn(5, 1, *size)
    torch.testing.assert_close(exported(x), network(x))


@pytest.mark.slow
def test_compiles_as_one_graph():
    network = seeded(ModelConfig(**SMALL))
    x = torch.randn(2, 1, 53, 66)
    compiled = torch.compile(network.eval(), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), network(x))


def test_is_a_unet_initialised_by_the_seed():
    first, second, other = (seeded(ModelConfig(**SMALL), seed=seed) for seed in (5, 5, 6))
    assert isinstance(first, UNet)
    assert torch.equal(first.out.weight, second.out.weight)
    assert not torch.equal(first.out.weight, other.out.weight)


def test_a_patch_is_squares_of_pixels_as_channels():
    """The same blocks, on an image whose 2 x 2 pixels are channels; the output pixels come from channels again."""
    torch.manual_seed(0)
    patched = build_unet(ModelConfig(**SMALL, patch=2, dropout=0), 1, 3)
    plain = build_unet(ModelConfig(**SMALL, dropout=0), 4, 12)
    plain.load_state_dict(patched.state_dict())
    images = torch.rand(2, 1, 48, 32)
    squares = torch.stack([images[:, 0, i::2, j::2] for i in (0, 1) for j in (0, 1)], dim=1)
    expected, found = plain(squares), patched(images)
    assert found.shape == (2, 3, 48, 32)
    for i, j in product((0, 1), repeat=2):
        assert torch.equal(found[:, :, i::2, j::2], expected[:, 2 * i + j :: 4])


@pytest.mark.parametrize("size", [(33, 50), (40, 47)])
def test_a_patch_takes_any_size(size):
    network = build_unet(ModelConfig(**SMALL, patch=4), 1, 2)
    assert network(torch.rand(2, 1, *size)).shape == (2, 2, *size)
    assert smallest_size(network.config) == 17


def test_a_patch_needs_padding():
    with pytest.raises(ValueError, match=r"needs padding=1"):
        ModelConfig(patch=2, padding=0)
