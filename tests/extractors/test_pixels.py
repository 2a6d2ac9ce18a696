"""Resizing as others do it, beside implementations that are not ours."""

import pytest
import torch
from torch.nn import functional as F

from gan_lab.extractors.pixels import (
    pillow_bicubic_float,
    pillow_bicubic_uint8,
    standardized,
    tensorflow1_bilinear,
    to_channels,
)

SIZES = [(20, 30, 50), (50, 40, 20), (17, 17, 17)]  # height, width, wanted


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_tensorflow1_bilinear_equals_torch_fidelity(height, width, size):
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    images = noise(2, 3, height, width).float()
    expected = interpolate_bilinear_2d_like_tensorflow1x(images, size=(size, size), align_corners=False)
    assert torch.equal(tensorflow1_bilinear(images, size), expected)


@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_pillow_bicubic_equals_torchs_antialiased_one(height, width, size):
    images = noise(2, 3, height, width)
    expected = F.interpolate(images.double(), (size, size), mode="bicubic", antialias=True).clamp(0, 255)
    floats = pillow_bicubic_float(images, size)
    assert floats.dtype == torch.float32
    torch.testing.assert_close(floats.double(), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_pillow_bicubic_of_pictures_is_rounded(height, width, size):
    images = 64 + noise(2, 3, height, width) // 2  # no overshoot, which Pillow clips after each direction
    expected = F.interpolate(images.double(), (size, size), mode="bicubic", antialias=True)
    rounded = pillow_bicubic_uint8(images, size)
    assert rounded.dtype == torch.uint8
    assert (rounded.double() - expected).abs().max() < 1.25  # it rounds after each direction, too


def test_the_own_size_is_left_alone():
    images = noise(2, 3, 24, 24)
    assert torch.equal(pillow_bicubic_float(images, 24), images.float())
    assert torch.equal(pillow_bicubic_uint8(images, 24), images)
    assert torch.equal(tensorflow1_bilinear(images.float(), 24), images.float())


def test_overshoot_is_clamped():
    edge = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    edge[..., 4:] = 255
    resized = pillow_bicubic_float(edge, 32)
    assert (resized.min(), resized.max()) == (0, 255)


def test_channels():
    colour = torch.tensor([10, 20, 31], dtype=torch.uint8).view(1, 3, 1, 1)
    assert to_channels(colour, 1).flatten().tolist() == [20]  # 61 / 3
    assert to_channels(colour, 3) is colour
    assert to_channels(colour, 4).flatten().tolist() == [10, 20, 31, 255]
    half = torch.tensor([100, 0, 200, 51], dtype=torch.uint8).view(1, 4, 1, 1)  # a fifth of the colour, over white
    assert to_channels(half, 3).flatten().tolist() == [224, 204, 244]
    assert to_channels(half, 1).flatten().tolist() == [224]
    assert to_channels(half, 4) is half
    grey = torch.tensor([7], dtype=torch.uint8).view(1, 1, 1, 1)
    assert to_channels(grey, 3).flatten().tolist() == [7, 7, 7]


def test_standardized():
    values = standardized(torch.tensor([0.5, 1.0]).view(1, 2, 1, 1), (0.25, 0.5), (0.5, 0.25))
    assert values.flatten().tolist() == [0.5, 2.0]
