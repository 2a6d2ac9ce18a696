"""Networks that enlarge, and their discriminator: published parameter counts, sizes, what begins as what, refusals."""

import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate, mse_loss

from gan_lab.networks.enlargers import RRDB, SRResNet
from gan_lab.networks.vgg_discriminator import VGGDiscriminator

COMMON = {"masked": False, "width": 4, "blocks": 2, "initialization": "he"}


def shapes(factor, size=(8, 12), channels=3, source_channels=3):
    height, width = size
    return {
        "sample_shape": (channels, factor * height, factor * width),
        "condition_shape": (source_channels, height, width),
    }


def srresnet(factor=2, size=(8, 12), **changes):
    torch.manual_seed(0)
    return SRResNet(**(COMMON | shapes(factor, size) | changes))


def rrdb(factor=2, size=(8, 12), **changes):
    torch.manual_seed(0)
    return RRDB(**(COMMON | {"growth": 3, "residual_scale": 0.2} | shapes(factor, size) | changes))


def discriminator(**changes):
    settings = {"depth": 5, "width": 64, "hidden": 100, "normalization": "batch", "initialization": "he"}
    return VGGDiscriminator(**({"sample_shape": (3, 128, 128)} | settings | changes))


BOTH = pytest.mark.parametrize("make", [srresnet, rrdb])


def pictures(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("factor", "count"), [(2, 1_369_859), (4, 1_517_571)])
def test_parameter_counts_of_msrresnet(factor, count):
    """BasicSR's MSRResNet: first 3*64*9 + 64; blocks 16*2*(64*64*9 + 64); a shuffle 64*256*9 + 256; 64*64*9 + 64."""
    with torch.device("meta"):
        made = srresnet(factor, width=64, blocks=16)
    assert parameters(made) == 1_792 + 16 * 2 * 36_928 + (factor // 2) * 147_712 + 36_928 + 1_731 == count


@pytest.mark.parametrize(("factor", "count"), [(2, 16_661_059), (4, 16_697_987)])
def test_parameter_counts_of_rrdb(factor, count):
    """BasicSR's RRDBNet: a dense block has 9*32*(64 + 96 + 128 + 160) + 4*32 and 9*192*64 + 64."""
    with torch.device("meta"):
        made = rrdb(factor, width=64, blocks=23, growth=32)
    dense = 9 * 32 * (64 + 96 + 128 + 160) + 4 * 32 + 9 * 192 * 64 + 64
    assert parameters(made) == 1_792 + 23 * 3 * dense + (2 + factor // 2) * 36_928 + 1_731 == count


@pytest.mark.parametrize(
    ("size", "count"), [((128, 128), 14_499_401), ((64, 256), 14_499_401), ((96, 96), 14_499_401 - 7 * 51_200)]
)
def test_parameter_count_of_the_discriminator(size, count):
    """BasicSR's VGGStyleDiscriminator, of 128x128; at another size the dense layer has other positions."""
    with torch.device("meta"):
        judge = discriminator(sample_shape=(3, *size))
        assert judge(torch.randn(2, 3, *size)).shape == (2,)
    assert parameters(judge) == count


@pytest.mark.parametrize(("channels", "source_channels"), [(3, 3), (3, 1), (1, 1)])
@pytest.mark.parametrize("factor", [2, 4, 8])
@BOTH
def test_a_source_of_any_size_is_enlarged(make, factor, channels, source_channels):
    made = make(factor, sample_shape=(channels, 8 * factor, 12 * factor), condition_shape=(source_channels, 8, 12))
    assert (made.factor, made.size_multiple) == (factor, 1)
    for size in [(8, 12), (1, 1), (5, 3)]:
        output = made(pictures(2, source_channels, *size))
        assert output.shape == (2, channels, factor * size[0], factor * size[1])


def test_srresnet_begins_near_the_bilinear_picture_and_adds_to_it():
    made, source = srresnet(4, width=16), pictures(2, 3, 8, 12)
    bilinear = interpolate(source, size=(32, 48), mode="bilinear")
    assert mse_loss(made(source), bilinear) < 1e-6 * bilinear.square().mean()
    made.output[-1].bias.data.fill_(3.0)
    torch.testing.assert_close(made(source), bilinear + 3, atol=1e-2, rtol=0)


def test_dense_blocks_by_hand():
    """With all weights of the middle taps w = 1/2 and one channel each, at one pixel of value x > 0: the four that grow
    give x/2, (3/4)x, (9/8)x, (27/16)x, and the fifth half of their sum with x, (81/32)x."""
    made = rrdb(width=1, growth=1, blocks=1, residual_scale=0.5)
    for layer in made.blocks.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data.zero_()
            layer.weight.data[:, :, 1, 1] = 0.5
    x = torch.full((1, 1, 1, 1), 32.0)
    (block,) = made.blocks
    once = 1 + 0.5 * 81 / 32
    assert block.dense[0](x).item() == pytest.approx(32 * once)
    assert made.blocks(x).item() == pytest.approx(32 * (1 + 0.5 * once**3))


@BOTH
def test_gradient_reaches_every_parameter_and_no_picture_depends_on_its_batch(make):
    made, source = make(4).double(), pictures(3, 3, 8, 12).double()
    output = made(source)
    (output * pictures(*output.shape)).sum().backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad.abs().max() > 1e-8, name
    torch.testing.assert_close(made.eval()(source[1:2])[0], output[1], atol=1e-12, rtol=0)


@pytest.mark.parametrize("normalization", ["none", "batch", "instance", "spectral"])
def test_gradient_reaches_every_parameter_of_the_discriminator(normalization):
    judge = discriminator(sample_shape=(3, 16, 24), depth=3, width=4, normalization=normalization)
    (judge(pictures(4, 3, 16, 24)) * torch.arange(4)).sum().backward()
    assert judge.judgement == "logits"
    for name, parameter in judge.named_parameters():
        assert parameter.grad.abs().max() > 1e-8, name


@BOTH
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masked": True}, "enlarges, and a mask is as large as the sample"),
        ({"condition_shape": None}, "data.condition_shape is null; choose data that has a source"),
        (
            {"condition_shape": (3, 16, 24)},
            "a source 2, 4 or 8 times; data.condition_shape has 16x24 and data.sample_shape 16x24; choose such data",
        ),
        ({"condition_shape": (3, 8, 6)}, "has 8x6 and data.sample_shape 16x24"),
        ({"blocks": 0}, "blocks must be 1 or more; got 0"),
        ({"width": 0}, "width must be 1 or more; got 0"),
        ({"initialization": "zeros"}, "got 'zeros'"),
    ],
)
def test_refusals_name_the_value(make, changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (srresnet, {"condition_shape": (4, 8, 12)}, "has 4 channels and data.sample_shape 3; .* or network=rrdb"),
        (rrdb, {"growth": 0}, "growth must be 1 or more; got 0"),
        (rrdb, {"residual_scale": 0.0}, "more than 0 and at most 1; got 0.0"),
        (discriminator, {"sample_shape": (3, 32, 32)}, r"5 times \(discriminator.depth\).* from 64 on; .* has 32x32"),
        (discriminator, {"depth": 0}, "discriminator.depth must be 1 or more; got 0"),
        (discriminator, {"hidden": 0}, "hidden must be 1 or more; got 0"),
    ],
)
def test_refusals_of_each(make, changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)
