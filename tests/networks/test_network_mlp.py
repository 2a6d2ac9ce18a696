"""Fully connected networks: shapes, ranges, gradients, refusals."""

import math

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from gan_lab.networks.mlp import MLPDiscriminator, MLPGenerator

SHAPES = [(2,), (1, 8, 8), (3, 4, 8), (4, 8, 4)]


def generator(sample_shape, **changes):
    values = {"latent_dim": 3, "width": 16, "depth": 2, "normalization": "none", "initialization": "he"} | changes
    return MLPGenerator(sample_shape=sample_shape, **values)


def discriminator(sample_shape, **changes):
    values = {"width": 16, "depth": 2, "normalization": "none", "initialization": "he"} | changes
    return MLPDiscriminator(sample_shape=sample_shape, **values)


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_of_points_and_images(shape):
    networks = generator(OmegaConf.create(list(shape))), discriminator(OmegaConf.create(list(shape)))
    samples = networks[0](torch.randn(5, 3))
    assert networks[0].sample_shape == shape
    assert networks[0].latent_dim == 3
    assert samples.shape == (5, *shape)
    assert networks[1](samples).shape == (5,)


def test_images_are_bounded_and_points_are_not():
    latents = torch.randn(64, 3) * 100
    assert generator((1, 2, 2))(latents).abs().max() <= 1
    assert generator((2,))(latents).abs().max() > 1


@pytest.mark.parametrize("normalization", ["none", "batch", "layer", "spectral"])
@pytest.mark.parametrize("shape", [(2,), (3, 4, 8)])
def test_gradient_reaches_every_parameter(normalization, shape):
    torch.manual_seed(0)
    made = generator(shape, normalization=normalization)
    scored = discriminator(shape, normalization=normalization)
    samples = made(torch.randn(16, 3))
    (samples * torch.randn_like(samples)).sum().backward()
    (scored(torch.randn_like(samples)) * torch.randn(16)).sum().backward()
    for network in (made, scored):
        for name, parameter in network.named_parameters():
            assert parameter.grad.abs().max() > 1e-3, name


def test_parameter_count_grows_by_depth():
    """(2*16 + 16) + (16*16 + 16) + (16 + 1) weights and biases; batch normalization swaps a bias for scale, offset."""
    assert sum(p.numel() for p in discriminator((2,)).parameters()) == 48 + 272 + 17
    assert sum(p.numel() for p in discriminator((2,), normalization="batch").parameters()) == 48 + 272 + 17 + 32
    assert sum(p.numel() for p in discriminator((2,), depth=3).parameters()) == 48 + 2 * 272 + 17


@pytest.mark.parametrize(("name", "below_zero"), [("relu", 0.0), ("leaky_relu", -0.2), ("tanh", -math.tanh(1.0))])
def test_activation_by_name(name, below_zero):
    """One unit after another, all weights 1: G(z) is the activation of z, and so is what D's linear unit sees."""
    ones = {"width": 1, "depth": 1, "activation": name}
    networks = generator((1,), latent_dim=1, **ones), discriminator((1,), **ones)
    for network in networks:
        for parameter in network.parameters():
            nn.init.constant_(parameter, 1.0 if parameter.dim() == 2 else 0.0)
        assert network(torch.tensor([[-1.0]])).item() == pytest.approx(below_zero)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "width must be 1 or more; got 0"),
        ({"depth": 0}, "depth must be 1 or more; got 0"),
        ({"normalization": "instance"}, "got 'instance'"),
        ({"initialization": "zeros"}, "got 'zeros'"),
        ({"activation": "gelu"}, "activation must be one of relu, leaky_relu, tanh; got 'gelu'"),
        ({"sample_shape": (8, 8)}, r"data.sample_shape is \(8, 8\)"),
    ],
)
def test_refusals_name_the_value(changes, message):
    arguments = {"sample_shape": (2,)} | changes
    with pytest.raises(ValueError, match=message):
        generator(**arguments)
    with pytest.raises(ValueError, match=message):
        discriminator(**arguments)


def test_latent_dim_is_checked():
    with pytest.raises(ValueError, match="latent_dim must be 1 or more; got 0"):
        generator((2,), latent_dim=0)
