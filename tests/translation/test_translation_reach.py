"""How far pixels reach: worked by hand, held against gradients, and refused where it is the whole picture."""

import pytest
import torch
from hand_translators import RESNET, UNET
from hydra.utils import instantiate
from torch import nn

from gan_lab.translation.reach import layers_of_the_whole, reach

SHAPES = {"sample_shape": [3, 32, 32], "condition_shape": [3, 32, 32], "masked": False}


class Layers(nn.Sequential):
    """Layers as a translator."""

    def __init__(self, *layers, multiple=1, smallest=4):
        super().__init__(*layers)
        self.size_multiple, self.smallest_size = multiple, smallest

    def forward(self, condition, mask=None):
        return super().forward(condition if mask is None else torch.cat([condition, mask], dim=1))


@pytest.mark.parametrize(
    ("network", "factor", "expected"),
    [
        (Layers(nn.Conv2d(1, 1, 1)), 1, 0),
        (Layers(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU(), nn.Conv2d(1, 1, 5, padding=2), nn.Tanh()), 1, 3),
        (Layers(nn.ReflectionPad2d(3), nn.Conv2d(1, 1, 7)), 1, 3),
        (Layers(nn.Conv2d(1, 1, 3, padding=4, dilation=4)), 1, 4),
        # Pixels 0 and 1 go into cells -1, 0 and 1; cell j comes out at 2j - 1 .. 2j + 2: from -3 to 4.
        (Layers(nn.Conv2d(1, 1, 4, 2, 1), nn.ConvTranspose2d(1, 1, 4, 2, 1), multiple=2), 1, 3),
        # A pixel reaches one pixel of its own size to either side before it is doubled.
        (Layers(nn.Conv2d(1, 4, 3, padding=1), nn.PixelShuffle(2)), 2, 1),
        # Of 7 pixels twice as fine, 3 lie on either side: 2 of the source's, as a half counts.
        (Layers(nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 7, padding=3)), 2, 2),
    ],
)
def test_by_hand(network, factor, expected):
    assert reach(network, 1, masked=False, factor=factor) == expected


def test_a_mask_reaches_as_far_as_what_it_masks():
    assert reach(Layers(nn.Conv2d(2, 1, 7, padding=3)), 1, masked=True) == 3


class Pasting(nn.Conv2d):
    """Fills holes by what is around them, of which nothing can be seen where all is hole."""

    def forward(self, condition, mask):
        known = condition.masked_fill(mask > 0.5, 0)
        return torch.where(mask > 0.5, super().forward(known), condition)


def test_what_decides_by_its_mask_what_it_sees_is_not_measured():
    """A block that is known, or of which nothing is said, comes out where it is, and nowhere else."""
    assert reach(Pasting(1, 1, 5, padding=2), 1, masked=True) is None


@pytest.mark.parametrize("settings", [RESNET, RESNET | {"upsampling": "blur"}, UNET, UNET | {"upsampling": "blur"}])
def test_no_gradient_comes_from_farther(settings):
    """And for some pixel it comes from as far: the measure is no larger than what it takes."""
    torch.manual_seed(0)
    network = instantiate(settings | SHAPES)
    found, multiple, middle = reach(network, 3, masked=False), network.size_multiple, 128
    positive = instantiate(settings | SHAPES).double().eval()
    for name, parameter in positive.named_parameters():
        parameter.data = 0 * parameter.data if name.endswith("bias") else parameter.data.abs() + 0.01
    farthest = 0
    for pixel in range(middle, middle + multiple):
        source = torch.full((1, 3, 256, 32), 1e-12, dtype=torch.float64, requires_grad=True)
        positive(condition=source)[0, :, pixel].sum().backward()
        rows = source.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
        # In blocks, as tiles are cut: how far the pixel is from the nearest pixel of the farthest block that it sees.
        above = pixel - (int(rows[0]) // multiple * multiple + multiple - 1)
        below = int(rows[-1]) // multiple * multiple - pixel
        farthest = max(farthest, above, below)
    assert found == farthest


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (nn.InstanceNorm2d(1), ["0 (InstanceNorm2d)"]),
        (nn.GroupNorm(1, 1), ["0 (GroupNorm)"]),
        (nn.AdaptiveAvgPool2d(1), ["0 (AdaptiveAvgPool2d)"]),
        (nn.BatchNorm2d(1, track_running_stats=False), ["0 (BatchNorm2d)"]),
        (nn.BatchNorm2d(1), []),
        (nn.InstanceNorm2d(1, track_running_stats=True), []),
    ],
)
def test_layers_that_see_the_whole_picture(layer, named):
    assert layers_of_the_whole(Layers(layer)) == named


class LessItsMean(nn.Module):
    """A statistic of the whole picture that no kind of layer tells."""

    def forward(self, features):
        return features - features.mean(dim=(2, 3), keepdim=True)


class SumOfAllBefore(nn.Module):
    """What reaches to one end of the picture alone."""

    def __init__(self, axis, flipped):
        super().__init__()
        self.axis, self.flipped = axis, [axis] * flipped

    def forward(self, features):
        return features.flip(self.flipped).cumsum(self.axis).flip(self.flipped)


class Swallowing(nn.Module):
    """Levels by comparison, in which NaN is lost."""

    def forward(self, features):
        return (features > 0).to(features.dtype)


class HalfSwallowing(nn.Conv2d):
    """NaN comes out where it went in, and is lost on its way to the neighbours."""

    def forward(self, features):
        return features + super().forward((features > 0).to(features.dtype))


@pytest.mark.parametrize(
    "layer",
    [
        HalfSwallowing(1, 1, 5, padding=2),
        LessItsMean(),
        *(SumOfAllBefore(axis, flipped) for axis in (2, 3) for flipped in (0, 1)),
        Swallowing(),
        nn.InstanceNorm2d(1),
    ],
)
def test_what_sees_the_whole_picture_or_cannot_be_measured_has_no_reach(layer):
    assert reach(Layers(layer), 1, masked=False) is None
