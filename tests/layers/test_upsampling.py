"""Doubling with weights, by name: sizes, what a flat picture becomes, and the one that CUT's code has."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gan_lab.layers.filtered_resampling import FilteredDoubling
from gan_lab.layers.initialization import initialize
from gan_lab.layers.upsampling import UPSAMPLINGS, upsampling_layer

KINDS = [*((how, 3) for how in UPSAMPLINGS), ("transposed", 4), ("blur", 4)]


def layer(how, kernel_size=3, inputs=2, outputs=3, bias=True):
    torch.manual_seed(0)
    return upsampling_layer(how, inputs, outputs, kernel_size=kernel_size, bias=bias)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("how", "kernel_size"), KINDS)
def test_size_is_doubled_from_one_pixel_on(how, kernel_size, bias):
    made = layer(how, kernel_size, bias=bias)
    for size in [(1, 1), (2, 5), (7, 4)]:
        assert made(torch.randn(2, 2, *size)).shape == (2, 3, 2 * size[0], 2 * size[1])
    taps = kernel_size if how == "transposed" else 3
    assert sum(p.numel() for p in made.parameters()) == 2 * 3 * taps**2 + 3 * bias


@pytest.mark.parametrize("how", UPSAMPLINGS)
def test_only_the_transposed_convolution_makes_a_checkerboard_of_a_flat_picture(how):
    """Weights 1 to 9: all but that one give 45 everywhere; that one 5, 10, 10 and 20, by hand."""
    made = layer(how, inputs=1, outputs=1, bias=False)
    (weight,) = made.parameters()
    weight.data = torch.arange(1.0, 10.0).view_as(weight)
    middle = made(torch.ones(1, 1, 6, 6))[0, 0, 4:8, 4:8]
    if how == "transposed":
        cell = torch.tensor([[5.0, 4 + 6], [2 + 8, 1 + 3 + 7 + 9]])
        assert torch.equal(middle, cell.repeat(2, 2))
    else:
        torch.testing.assert_close(middle, torch.full((4, 4), 45.0))


def identity(how):
    """Its 3x3 weights hand each channel on as it is."""
    made = layer(how, inputs=3, outputs=3, bias=False)
    nn.init.dirac_(made[1].weight)
    return made


def test_nearest_repeats_pixels():
    doubled = identity("nearest")(torch.tensor([1.0, 2.0]).view(1, 1, 1, 2).repeat(1, 3, 1, 1))
    assert doubled[0, 0].tolist() == [[1.0, 1.0, 2.0, 2.0]] * 2


def test_bilinear_is_the_filter_of_cut_at_a_repeated_border():
    """CUT's code repeats the border once, puts zeros between the pixels and filters them."""
    images = torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    filtered = FilteredDoubling()(F.pad(images, (1, 1, 1, 1), mode="replicate"))[:, :, 2:-2, 2:-2]
    torch.testing.assert_close(identity("bilinear")(images), filtered)


def test_a_bias_is_not_filtered():
    made = layer("blur")
    plain = made(torch.ones(1, 2, 3, 3))
    made.bias.data += torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(
        made(torch.ones(1, 2, 3, 3)) - plain, torch.tensor([1.0, 2, 3]).view(1, 3, 1, 1).expand_as(plain)
    )


@pytest.mark.parametrize("how", UPSAMPLINGS)
def test_weights_are_of_kinds_that_initialization_knows(how):
    made = nn.Sequential(layer(how, inputs=64, outputs=64))
    initialize(made, "normal", gain=1.0)
    weight = next(p for p in made.parameters() if p.ndim == 4)
    assert weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert all((p == 0).all() for p in made.parameters() if p.ndim == 1)


def test_refusals():
    with pytest.raises(
        ValueError, match="upsampling must be one of transposed, nearest, bilinear, blur; got 'bicubic'"
    ):
        layer("bicubic")
    with pytest.raises(ValueError, match=r"kernel_size must be 3 or 4, .*; got 5"):
        layer("transposed", 5)
