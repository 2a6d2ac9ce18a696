"""Gated convolution by hand, and what its initialization keeps."""

import math

import pytest
import torch
from torch import nn

from gan_lab.layers.gated_convolution import GATED_GAIN, GatedConv2d
from gan_lab.layers.initialization import initialize


def test_values_times_gates_by_hand():
    """One pixel, 1x1: ELU(2 * 3) sigmoid(0) = 3 and ELU(-1 * 3) sigmoid(0.5 * 3)."""
    layer = GatedConv2d(1, 4, 1)
    with torch.no_grad():
        layer.convolution.weight[:, 0, 0, 0] = torch.tensor([2.0, -1.0, 0.0, 0.5])
        layer.convolution.bias.zero_()
    low = (math.exp(-3) - 1) / (1 + math.exp(-1.5))
    assert layer(torch.full((1, 1, 1, 1), 3.0)).flatten().tolist() == pytest.approx([3.0, low])


def test_another_activation_is_of_the_values_alone():
    layer = GatedConv2d(1, 2, 1, activation=nn.ReLU)
    with torch.no_grad():
        layer.convolution.weight.fill_(-1.0)
        layer.convolution.bias.zero_()
    assert layer(torch.tensor([2.0, -2.0]).view(2, 1, 1, 1)).flatten().tolist() == pytest.approx(
        [0, 2 / (1 + math.exp(-2))]
    )


@pytest.mark.parametrize(("stride", "dilation", "size"), [(1, 1, 12), (2, 1, 6), (1, 4, 12)])
def test_sizes(stride, dilation, size):
    assert GatedConv2d(3, 8, 3, stride=stride, dilation=dilation)(torch.zeros(2, 3, 12, 12)).shape == (2, 4, size, size)


def test_the_gain_keeps_the_mean_square():
    torch.manual_seed(0)
    layers = nn.Sequential(*(GatedConv2d(256, 512, 1) for _ in range(8)))
    initialize(layers, "he", gain=GATED_GAIN)
    assert 0.5 < layers(torch.randn(64, 256, 1, 1)).square().mean() < 2
