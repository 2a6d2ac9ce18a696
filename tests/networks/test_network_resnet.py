"""Residual networks: sizes, the equivalences they rely on, gradients, refusals."""

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from gan_lab.networks.resnet import ResidualBlock, ResNetDiscriminator, ResNetGenerator


def generator(sample_shape, **changes):
    values = {
        "latent_dim": 5,
        "width": 4,
        "multipliers": [2, 2, 1],
        "normalization": "batch",
        "initialization": "xavier",
    }
    return ResNetGenerator(sample_shape=sample_shape, **(values | changes))


def discriminator(sample_shape, **changes):
    values = {
        "width": 4,
        "multipliers": [1, 2, 2],
        "halvings": 2,
        "stem": "block",
        "pooling": "sum",
        "normalization": "none",
        "initialization": "xavier",
    }
    return ResNetDiscriminator(sample_shape=sample_shape, **(values | changes))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(16, 16), (28, 28), (32, 32), (64, 64), (128, 128), (256, 256), (32, 64), (48, 16)])
def test_shapes(channels, size):
    shape = (channels, *size)
    with torch.device("meta"):
        made = generator(OmegaConf.create(list(shape)), multipliers=OmegaConf.create([2, 2, 1]))
        scored = discriminator(OmegaConf.create(list(shape)), multipliers=OmegaConf.create([1, 2, 2]))
        samples = made(torch.randn(2, 5))
        assert samples.shape == (2, *shape)
        assert scored(samples).shape == (2,)
    assert made.sample_shape == shape
    assert made.latent_dim == 5


@pytest.mark.parametrize("stem", ["block", "convolution"])
@pytest.mark.parametrize("pooling", ["sum", "mean", "flatten"])
def test_stems_and_poolings(stem, pooling):
    scored = discriminator((3, 8, 16), stem=stem, pooling=pooling)
    assert scored(torch.randn(2, 3, 8, 16)).shape == (2,)
    assert scored.output.in_features == 8 * (2 * 4 if pooling == "flatten" else 1)


def test_sum_pooling_is_mean_pooling_times_the_grid():
    summed, averaged = discriminator((3, 8, 16), pooling="sum"), discriminator((3, 8, 16), pooling="mean")
    averaged.load_state_dict(summed.state_dict())
    images = torch.randn(2, 3, 8, 16)
    assert torch.allclose(summed(images), averaged(images) * 2 * 4, atol=1e-4)


@pytest.mark.parametrize("resampling", ["double", "halve"])
def test_the_shortcut_at_low_resolution_equals_the_papers_order(resampling):
    """Both papers resample before a 1x1 convolution going up, and after one going down."""
    block = ResidualBlock(2, 3, 3, normalization="none", initialization="xavier", resampling=resampling, bias=True)
    features = torch.randn(2, 2, 4, 8)
    convolution = next(layer for layer in block.shortcut if isinstance(layer, nn.Conv2d))
    resample = next(layer for layer in block.shortcut if not isinstance(layer, nn.Conv2d))
    papers = convolution(resample(features)) if resampling == "double" else resample(convolution(features))
    assert torch.allclose(block.shortcut(features), papers, atol=1e-6)


def test_gains_are_sqrt_2_in_residual_branches_and_1_in_shortcuts():
    torch.manual_seed(0)
    block = ResidualBlock(64, 64, 64, normalization="none", initialization="xavier", resampling="double", bias=True)
    branch = [layer for layer in block.residual if isinstance(layer, nn.Conv2d)]
    assert [layer.weight.std().item() for layer in branch] == pytest.approx([(2 / (64 * 9)) ** 0.5] * 2, rel=0.02)
    assert block.shortcut[0].weight.std().item() == pytest.approx((1 / 64) ** 0.5, rel=0.03)


@pytest.mark.parametrize("normalization", ["none", "batch", "layer", "instance", "spectral"])
@pytest.mark.parametrize(("stem", "pooling"), [("block", "sum"), ("convolution", "flatten")])
def test_gradient_reaches_every_parameter(normalization, stem, pooling):
    torch.manual_seed(0)
    made = generator((3, 8, 16), normalization=normalization)
    scored = discriminator((3, 8, 16), normalization=normalization, stem=stem, pooling=pooling)
    samples = made(torch.randn(8, 5))
    (samples * torch.randn_like(samples)).sum().backward()
    (scored(torch.randn_like(samples)) * torch.randn(8)).sum().backward()
    for network in (made, scored):
        for name, parameter in network.named_parameters():
            assert parameter.grad.abs().max() > 1e-3, name


def test_critic_is_differentiable_twice():
    scored = discriminator((3, 8, 8), normalization="layer")
    images = torch.randn(2, 3, 8, 8, requires_grad=True)
    (slopes,) = torch.autograd.grad(scored(images).sum(), images, create_graph=True)
    slopes.square().sum().backward()
    assert scored.stem.residual[0].weight.grad.abs().max() > 0


def test_no_batch_norm_in_the_discriminator_unless_asked():
    def batch_norms(network):
        return sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())

    assert batch_norms(discriminator((3, 8, 8))) == 0
    assert batch_norms(discriminator((3, 8, 8), normalization="batch")) == 4


def test_images_lie_in_the_unit_range():
    assert generator((1, 8, 8))(torch.randn(4, 5) * 100).abs().max() <= 1


@pytest.mark.parametrize("make", [generator, discriminator])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_shape": (3, 30, 32)}, "divisible by 4, from 8 on; data.sample_shape has 30x32; set data.image_size"),
        ({"sample_shape": (3, 4, 32)}, "has 4x32"),
        ({"sample_shape": (2, 32, 32)}, "1, 3 or 4 channels; data.sample_shape has 2"),
        ({"sample_shape": (2,)}, r"data.sample_shape is \(2,\); choose network=mlp"),
        ({"width": 0}, "width must be 1 or more; got 0"),
        ({"multipliers": [1]}, r"got \[1\]"),
        ({"multipliers": [1, 0, 1]}, r"got \[1, 0, 1\]"),
        ({"normalization": "group"}, "got 'group'"),
        ({"initialization": "zeros"}, "got 'zeros'"),
    ],
)
def test_refusals_name_the_value(make, changes, message):
    arguments = {"sample_shape": (3, 32, 32)} | changes
    with pytest.raises(ValueError, match=message):
        make(**arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stem": "conv"}, "stem must be one of block, convolution; got 'conv'"),
        ({"pooling": "max"}, "pooling must be one of sum, mean, flatten; got 'max'"),
        ({"halvings": 4}, "halvings must be from 1 to 3.*got 4"),
        ({"halvings": 0}, "got 0"),
        ({"stem": "convolution", "halvings": 3}, "halvings must be from 0 to 2.*got 3"),
    ],
)
def test_refusals_of_the_discriminator(changes, message):
    with pytest.raises(ValueError, match=message):
        discriminator((3, 32, 32), **changes)
