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


CONVOLUTIONS = {
    "Conv1d": lambda: nn.Conv1d(16, 24, 5),
    "Conv2d": lambda: nn.Conv2d(16, 24, 3),
    "Conv3d": lambda: nn.Conv3d(16, 24, 3),
    "ConvTranspose1d": lambda: nn.ConvTranspose1d(16, 24, 8, stride=4),
    "ConvTranspose2d": lambda: nn.ConvTranspose2d(16, 24, 4, stride=2, groups=2),
    "ConvTranspose3d": lambda: nn.ConvTranspose3d(16, 24, 4, stride=(2, 2, 1)),
}
FAN_IN = {
    "Conv1d": 80,
    "Conv2d": 144,
    "Conv3d": 432,
    "ConvTranspose1d": 32,
    "ConvTranspose2d": 32,
    "ConvTranspose3d": 256,
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_every_convolution_of_torch_is_drawn(name):
    """Fan-in: input channels, of a group, times the taps that meet in an output."""
    layer = CONVOLUTIONS[name]()
    nn.init.ones_(layer.bias)
    assert deviation("he", 1.0, layer) == pytest.approx(FAN_IN[name] ** -0.5, rel=0.05)
    assert not layer.bias.any()


@pytest.mark.parametrize("name", ["BatchNorm3d", "InstanceNorm1d", "RMSNorm"])
def test_normal_draws_the_scales_of_every_normalization(name):
    layer = nn.RMSNorm(512) if name == "RMSNorm" else getattr(nn, name)(512, affine=True)
    assert deviation("normal", 1.0, layer) == pytest.approx(0.02, rel=0.15)


@pytest.mark.parametrize(
    ("layer", "weights"),
    [
        (nn.LSTM(2, 3), r"1\.weight_ih_l0 \(LSTM\), 1\.weight_hh_l0 \(LSTM\)"),
        (nn.MultiheadAttention(4, 2), r"1\.in_proj_weight \(MultiheadAttention\)"),
        (nn.Bilinear(2, 2, 2), r"1\.weight \(Bilinear\)"),
    ],
)
def test_weights_of_another_kind_are_refused(layer, weights):
    """They would stay as torch draws them, in silence; tables and learnt inputs have owners that draw them."""
    with pytest.raises(ValueError, match=f"initialization=he is for linear layers and conv.*Sequential has.*{weights}"):
        initialize(nn.Sequential(nn.Linear(2, 2), layer), "he", gain=1.0)
    known = nn.Sequential(nn.Linear(2, 2), nn.Embedding(3, 2), nn.LayerNorm([2, 2]), nn.PReLU())
    table = known[1].weight.clone()
    initialize(known, "he", gain=1.0)
    assert torch.equal(known[1].weight, table)


@pytest.mark.parametrize("layer", [nn.Linear(6, 4), nn.Linear(4, 6), nn.Conv2d(3, 8, 3), nn.ConvTranspose2d(4, 2, 4)])
def test_orthogonal_weights_have_the_gain_as_every_singular_value(layer):
    initialize(layer, "orthogonal", gain=1.5)
    values = torch.linalg.svdvals(layer.weight.flatten(1))
    torch.testing.assert_close(values, torch.full_like(values, 1.5))
    assert not layer.bias.any()


def test_unknown_name_is_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"initialization must be one of normal, he, xavier, orthogonal; got 'hee'"):
        initialize(nn.Linear(2, 2), "hee", gain=1.0)
