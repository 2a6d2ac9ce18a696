"""Equalized learning rate: what the layers compute, and how far a step of Adam moves them."""

import math

import pytest
import torch
from torch.nn import functional as F

from gan_lab.layers.equalized import EqualizedConv2d, EqualizedLinear
from gan_lab.layers.filtered_resampling import Blur


def test_linear_by_hand():
    """Weights (1, 2, 3, 4) and bias 5, at 4 inputs: gain * lr / sqrt(4) of the weights and gain * lr of the bias."""
    layer = EqualizedLinear(4, 1, gain=3.0, lr_multiplier=0.1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2, 3, 4]]))
        layer.bias.fill_(5.0)
    assert layer(torch.ones(1, 4)).item() == pytest.approx(3 * 0.1 * 10 / 2 + 3 * 0.1 * 5)


@pytest.mark.parametrize("multiplier", [1.0, 0.01])
def test_at_the_beginning_outputs_are_as_large_as_inputs(multiplier):
    torch.manual_seed(0)
    layer = EqualizedLinear(256, 256, lr_multiplier=multiplier, bias_init=1.0)
    assert layer.weight.std().item() == pytest.approx(1 / multiplier, rel=0.02)
    outputs = layer(torch.randn(512, 256))
    assert outputs.std().item() == pytest.approx(1.0, rel=0.05)
    assert outputs.mean().item() == pytest.approx(1.0, rel=0.05), "bias_init"
    convolution = EqualizedConv2d(64, 64, 3)
    assert convolution(torch.randn(8, 64, 16, 16))[..., 1:-1, 1:-1].std().item() == pytest.approx(1.0, rel=0.05)


def test_a_step_of_adam_moves_all_layers_alike():
    """Adam's first step is lr in each weight; what the layer multiplies by moves by lr * multiplier / sqrt(fan-in)."""
    for inputs, multiplier in ((4, 1.0), (64, 1.0), (64, 0.01)):
        layer = EqualizedLinear(inputs, 1, lr_multiplier=multiplier)
        before = layer(torch.eye(inputs)) - layer.bias * multiplier
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
        layer(torch.ones(1, inputs)).sum().backward()
        optimizer.step()
        moved = before - (layer(torch.eye(inputs)) - layer.bias * multiplier)
        assert moved.flatten().tolist() == pytest.approx([0.1 * multiplier / math.sqrt(inputs)] * inputs, rel=1e-3)


def test_convolution_is_torchs_with_scaled_weights():
    layer, values = EqualizedConv2d(3, 5, 3, gain=2.0), torch.randn(2, 3, 6, 8)
    with torch.no_grad():
        layer.bias.normal_()
    expected = F.conv2d(values, layer.weight * 2 / math.sqrt(27), layer.bias * 2, padding=1)
    torch.testing.assert_close(layer(values), expected)
    assert EqualizedConv2d(3, 5, 1, bias=False).bias is None


def test_halving_filters_first():
    layer, values = EqualizedConv2d(3, 5, 3, halving=True), torch.randn(2, 3, 6, 8)
    blurred = Blur(2)(values)
    assert blurred.shape == (2, 3, 7, 9)
    expected = F.conv2d(blurred, layer.weight / math.sqrt(27), layer.bias, stride=2)
    assert expected.shape == (2, 5, 3, 4)
    torch.testing.assert_close(layer(values), expected)


def test_linear_leaves_autocast_aside():
    layer, values = EqualizedLinear(8, 8), torch.randn(4, 8)
    expected = layer(values)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(values), expected)
        assert layer(values.bfloat16()).dtype == torch.float32
        assert EqualizedConv2d(1, 1, 3)(torch.randn(1, 1, 4, 4)).dtype == torch.bfloat16
