"""Initializations by name: the deviations that the papers ask for."""

import pytest
import torch
from torch import nn

from gan_lab.layers.initialization import RELU_GAIN, initialize


def deviation(name, gain, layer):
    torch.manual_seed(0)
    initialize(layer, name, gain=gain)
    return layer.weight.std().item()


@pytest.mark.parametrize(
    ("name", "gain", "expected"),
    [
        ("normal", 1.0, 0.02),
        ("normal", RELU_GAIN, 0.02),
        ("he", RELU_GAIN, (2 / (32 * 9)) ** 0.5),
        ("he", 1.0, (1 / (32 * 9)) ** 0.5),
        ("xavier", RELU_GAIN, (4 / (32 * 9 + 64 * 9)) ** 0.5),
        ("xavier", 1.0, (2 / (32 * 9 + 64 * 9)) ** 0.5),
    ],
)
def test_deviation_of_a_convolution(name, gain, expected):
    assert deviation(name, gain, nn.Conv2d(32, 64, 3)) == pytest.approx(expected, rel=0.03)


def test_he_keeps_the_variance_through_a_transposed_convolution():
    """At stride 2, 4 of the 16 taps of a 4x4 kernel meet in a pixel: the fan in is 4 times the input channels."""
    layer = nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1)
    assert deviation("he", 1.0, layer) == pytest.approx((1 / (64 * 4)) ** 0.5, rel=0.03)
    outputs = layer(torch.randn(8, 64, 16, 16))[..., 2:-2, 2:-2]
    assert outputs.std().item() == pytest.approx(1, rel=0.05)


def test_biases_begin_at_zero_and_normal_draws_scales_around_one():
    network = nn.Sequential(nn.Linear(8, 512), nn.BatchNorm1d(512))
    torch.manual_seed(0)
    initialize(network, "normal", gain=1.0)
    assert not network[0].bias.any()
    assert not network[1].bias.any()
    assert network[1].weight.mean().item() == pytest.approx(1, abs=0.005)
    assert network[1].weight.std().item() == pytest.approx(0.02, rel=0.15)


@pytest.mark.parametrize("layer", [nn.Linear(6, 4), nn.Linear(4, 6), nn.Conv2d(3, 8, 3), nn.ConvTranspose2d(4, 2, 4)])
def test_orthogonal_weights_have_the_gain_as_every_singular_value(layer):
    initialize(layer, "orthogonal", gain=1.5)
    values = torch.linalg.svdvals(layer.weight.flatten(1))
    torch.testing.assert_close(values, torch.full_like(values, 1.5))
    assert not layer.bias.any()


def test_unknown_name_is_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"initialization must be one of normal, he, xavier, orthogonal; got 'hee'"):
        initialize(nn.Linear(2, 2), "hee", gain=1.0)
