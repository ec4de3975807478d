import copy

import pytest
import torch
from torch import nn

from medseg.inference.prepare import fold, split_bits, split_first, split_images
from medseg.model.config import ModelConfig
from medseg.model.unet import UNet, build_unet

VARIANTS = (
    ModelConfig(width=4, depth=2, dropout=0.3),
    ModelConfig(width=4, depth=2, padding_mode="reflect", dropout=0.3),
    ModelConfig(width=4, depth=2, patch=2, dropout=0.3),
    ModelConfig(width=4, depth=2, bias=True, downsample="max_pool", upsample="transposed", activation="relu"),
    ModelConfig(width=4, depth=2, batch_norm=False, bias=True, padding=0, mirror_input=True, output_kernel=1),
)


def trained(config: ModelConfig, channels: int = 1) -> UNet:
    """A network whose batch normalizations have seen some data."""
    torch.manual_seed(3)
    network = build_unet(config, channels, 2)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 2)
                module.bias.normal_()
        network.train()
        for _ in range(20):
            network(0.5 + 0.1 * torch.rand(2, channels, 32, 32))
    return network.eval()


@pytest.mark.slow
@pytest.mark.parametrize("config", VARIANTS)
def test_a_folded_network_computes_the_same(config: ModelConfig) -> None:
    network = trained(config).double()
    before = copy.deepcopy(network.state_dict())
    folded, images = fold(network), torch.rand(2, 1, 48, 40).double()
    torch.testing.assert_close(folded(images), network(images), rtol=1e-10, atol=1e-10)
    assert not any(isinstance(module, nn.BatchNorm2d | nn.Dropout2d) for module in folded.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("config", VARIANTS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_split_network_computes_the_same_of_split_images(config: ModelConfig, channels: int) -> None:
    folded = fold(trained(config, channels)).double()
    images = torch.randint(1025, (2, channels, 48, 40)).double() / 1024
    found = split_first(folded)(split_images(images))
    torch.testing.assert_close(found, folded(images), rtol=1e-3, atol=1e-3)


def test_the_last_bits_of_an_image_decide_nothing() -> None:
    images = torch.randint(1025, (2, 1, 8, 8)) / 1024
    assert torch.equal(split_images(images + 1e-6), split_images(images))


def test_what_is_split_is_exact_in_bfloat16_and_has_twice_its_bits() -> None:
    values = torch.rand(1000)
    high, low = split_bits(values)
    assert torch.equal(high, high.bfloat16().float())
    assert torch.equal(low, low.bfloat16().float())
    assert ((high + low - values).abs() <= values * 2**-16).all()
    assert ((high - values).abs() > values * 2**-10).any()


def test_the_first_convolution_of_a_bright_image_of_little_contrast_survives_bfloat16() -> None:
    images = torch.randint(920, 941, (1, 1, 64, 64)) / 1024
    network = build_unet(VARIANTS[1], 1, 2)
    statistics = network.encoder[0].layer[1]
    with torch.no_grad():
        seen = network.encoder[0].layer[0](images)
        statistics.running_mean.copy_(seen.mean(dim=(0, 2, 3)))
        statistics.running_var.copy_(seen.var(dim=(0, 2, 3)))
    folded = fold(network.eval())
    first, split = folded.encoder[0].layer[0], split_first(folded).encoder[0].layer[0]
    wanted = first(images)
    plain = (copy.deepcopy(first).bfloat16()(images.bfloat16()).float() - wanted).abs().mean()
    exact = (split.bfloat16()(split_images(images).bfloat16()).float() - wanted).abs().mean()
    assert exact < 0.01 * wanted.std()
    assert exact < plain / 10
