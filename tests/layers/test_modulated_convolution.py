"""Modulated convolution, against the paper's equations with weights of each sample's own."""

import pytest
import torch
from scipy.signal import upfirdn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from gan_lab.layers.modulated_convolution import ModulatedConv2d


def layer_of(kernel_size=3, **changes):
    torch.manual_seed(0)
    return ModulatedConv2d(3, 4, kernel_size, **{"demodulate": True, "gain": 1.0, "doubling": False} | changes).double()


def by_equations(layer, features, styles):
    """Equations 1 and 3, sample by sample; doubling by inserted zeros, then a convolution, then SciPy's filter."""
    outputs = []
    for sample, style in zip(features, styles, strict=True):
        weight = layer.weight.detach() * (style[None, :, None, None] / layer.weight[0].numel() ** 0.5)
        if layer.demodulate:
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        weight = weight * layer.gain
        if not layer.doubling:
            outputs.append(F.conv2d(sample[None], weight, padding=weight.shape[-1] // 2))
            continue
        height, width = sample.shape[1:]
        spread = torch.zeros(1, len(sample), 2 * height - 1, 2 * width - 1, dtype=torch.float64)
        spread[0, :, ::2, ::2] = sample
        made = F.conv2d(F.pad(spread, (2, 2, 2, 2)), weight.flip(2, 3))
        for axis, side in ((2, 2 * height), (3, 2 * width)):
            taps = [0.25, 0.75, 0.75, 0.25]
            made = torch.from_numpy(upfirdn(taps, made.numpy(), axis=axis)).narrow(axis, 2, side)
        outputs.append(made)
    return torch.cat(outputs)


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("doubling", [True, False])
def test_equals_weights_of_each_samples_own(kernel_size, demodulate, doubling):
    if doubling and kernel_size == 1:
        return
    layer = layer_of(kernel_size, demodulate=demodulate, gain=1.5, doubling=doubling)
    features, styles = torch.randn(2, 3, 5, 7).double(), torch.randn(2, 3).double()
    made = layer(features, styles)
    assert made.shape == ((2, 4, 10, 14) if doubling else (2, 4, 5, 7))
    torch.testing.assert_close(made, by_equations(layer, features, styles))


def test_by_hand():
    """w = (3, 4): demodulated (0.6, 0.8); with the style (2, 0), which leaves the first channel alone, (1, 0)."""
    layer = ModulatedConv2d(2, 1, 1, demodulate=True, gain=1.0, doubling=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([3.0, 4.0]).view(1, 2, 1, 1))
    pixels = torch.tensor([10.0, 100.0]).view(1, 2, 1, 1)
    assert layer(pixels, torch.tensor([[1.0, 1.0]])).item() == pytest.approx(0.6 * 10 + 0.8 * 100)
    assert layer(pixels, torch.tensor([[2.0, 0.0]])).item() == pytest.approx(10)


@pytest.mark.parametrize("size", [0.01, 1.0, 100.0])
def test_demodulated_outputs_have_unit_deviation_whatever_the_styles(size):
    torch.manual_seed(0)
    layer = ModulatedConv2d(64, 64, 3, demodulate=True, gain=1.0, doubling=False)
    made = layer(torch.randn(8, 64, 16, 16), size * torch.randn(8, 64))
    assert made[..., 1:-1, 1:-1].std().item() == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("doubling", [True, False])
def test_derivatives_of_both_orders(doubling):
    layer = ModulatedConv2d(2, 2, 3, demodulate=True, gain=1.0, doubling=doubling).double()
    features, styles = torch.randn(2, 2, 3, 3).double().requires_grad_(), torch.randn(2, 2).double().requires_grad_()
    assert gradcheck(layer, (features, styles))
    assert gradgradcheck(layer, (features, styles))


def test_under_autocast():
    """Outputs of half precision; the root that scales them is taken in full."""
    layer = layer_of().float()
    features, styles = torch.randn(2, 3, 8, 8), 100 * torch.randn(2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = layer(features, styles)
    assert made.dtype == torch.bfloat16
    torch.testing.assert_close(made.float(), layer(features, styles), rtol=0.05, atol=0.05)
