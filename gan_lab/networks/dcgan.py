"""The networks of DCGAN (Radford et al. 2015, section 3 and figure 1)."""

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from gan_lab.layers.checks import at_least, image_shape
from gan_lab.layers.conditioning import ConditionedSequential, checked_classes, with_one_hot
from gan_lab.layers.initialization import RELU_GAIN, initialize
from gan_lab.layers.minibatch_std import MinibatchStdDev
from gan_lab.layers.normalization import brings_offset, normalization_layer, spectrally_normalize
from gan_lab.networks.base import Discriminator

SMALLEST, LARGEST, DIVISOR = 16, 256, 16
SMALLEST_GRID = 4


class DCGANGenerator(nn.Module):
    """A linear layer onto a small grid, then transposed 4x4 convolutions that double it.

    The grid's shorter side is 4 where both sides can be halved that often (32x64 begins at 4x8). Channels double from
    `width` in the last hidden stage towards the grid, up to `max_width`. Departure, with PyTorch's own DCGAN example:
    figure 1 has 5x5 kernels; with 4x4 at stride 2 every pixel sums equally many taps. With a normalization that brings
    an offset no layer has a bias, as in that example.

    Args:
        sample_shape: (C, H, W); C 1, 3 or 4; H and W divisible by 16, from 16 to 256. Images are made in [-1, 1].
        latent_dim: length of a latent, 1 or more (paper: 100).
        width: channels of the hidden stage of highest resolution (paper: 128).
        max_width: the most channels of any stage, `width` or more (paper: 1024).
        normalization: of every layer but the output: none, batch (paper), layer, instance, instance_plain or spectral.
        initialization: normal (paper), he, xavier or orthogonal.
        conditioning: none; concatenation of latent and label; or batch_norm, with a scale and an offset per class.
        num_classes: of the labels, where there is conditioning.
        gain: of the weights beside a ReLU, see `initialize` (StudioGAN: 1).
    Raises:
        ValueError: a value out of these ranges.
    """

    def __init__(
        self,
        *,
        sample_shape: Sequence[int],
        latent_dim: int,
        width: int,
        max_width: int,
        normalization: str,
        initialization: str,
        conditioning: str = "none",
        num_classes: int | None = None,
        gain: float = RELU_GAIN,
    ) -> None:
        super().__init__()
        self.sample_shape = image_shape("dcgan", sample_shape)
        self.latent_dim = at_least("latent_dim", latent_dim, 1)
        choices = ("none", "concatenation", "batch_norm")
        self.num_classes = classes = checked_classes("generator", conditioning, num_classes, choices)
        self.concatenated = classes if conditioning == "concatenation" else 0
        normalized = classes if conditioning == "batch_norm" else 0
        channels = _stage_channels(self.sample_shape, width, max_width)[::-1]
        grid = _grid(self.sample_shape)
        bias = not brings_offset(normalization)

        self.stem = ConditionedSequential(
            nn.Linear(latent_dim + self.concatenated, channels[0] * math.prod(grid), bias=bias),
            nn.Unflatten(1, (channels[0], *grid)),
            normalization_layer(normalization, channels[0], normalized),
            nn.ReLU(),
        )
        self.stages = ConditionedSequential()
        for inputs, outputs in pairwise(channels):
            self.stages.append(nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=bias))
            self.stages.append(normalization_layer(normalization, outputs, normalized))
            self.stages.append(nn.ReLU())
        self.output = nn.ConvTranspose2d(channels[-1], self.sample_shape[0], 4, stride=2, padding=1, bias=bias)

        initialize(self.stem, initialization, gain=gain)
        initialize(self.stages, initialization, gain=gain)
        initialize(self.output, initialization, gain=1.0)
        if normalization == "spectral":
            spectrally_normalize(self)

    def places(self) -> dict[str, tuple[str, int]]:
        """Part -> its kind, and the shorter side of the maps that it gives; see `gan_lab.runs.transfer`."""
        side = min(_grid(self.sample_shape))
        found = {f"stages.{3 * stage}": ("doubling", 2 * side << stage) for stage in range(len(self.stages) // 3)}
        found |= {f"stages.{3 * stage + 1}": ("normalization", 2 * side << stage) for stage in range(len(found))}
        return found | {"output": ("to_image", min(self.sample_shape[1:]))}

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, latent_dim), and (B,) int64 of a conditional one -> (B, C, H, W) in [-1, 1]."""
        grid = self.stem(with_one_hot(latents, labels, self.concatenated), labels)
        return self.output(self.stages(grid, labels)).tanh()


class DCGANDiscriminator(Discriminator):
    """Strided 4x4 convolutions with LeakyReLU(0.2) down to the generator's grid, then one linear unit.

    Args:
        sample_shape: (C, H, W); C 1, 3 or 4; H and W divisible by 16, from 16 to 256.
        width: channels of the first stage, doubling from stage to stage.
        max_width: the most channels of any stage, `width` or more.
        normalization: of every convolution but the first: none, batch (paper), layer, instance, instance_plain; or
            spectral, of all.
        initialization: normal (paper), he, xavier or orthogonal.
        conditioning, num_classes: see `Discriminator`.
        minibatch_std: samples in a group of `MinibatchStdDev`, before the linear unit; 0 for none.
        gain: see `DCGANGenerator`.
    Raises:
        ValueError: a value out of these ranges.
    """

    def __init__(
        self,
        *,
        sample_shape: Sequence[int],
        width: int,
        max_width: int,
        normalization: str,
        initialization: str,
        conditioning: str = "none",
        num_classes: int | None = None,
        minibatch_std: int = 0,
        gain: float = RELU_GAIN,
    ) -> None:
        super().__init__(conditioning, num_classes)
        self.sample_shape = image_shape("dcgan", sample_shape)
        channels = _stage_channels(self.sample_shape, width, max_width)
        grid = _grid(self.sample_shape)
        bias = not brings_offset(normalization)

        inputs = self.sample_shape[0] + self.label_channels
        self.stages = nn.Sequential(
            nn.Conv2d(inputs, channels[0], 4, stride=2, padding=1, bias=bias), nn.LeakyReLU(0.2)
        )
        for inputs, outputs in pairwise(channels):
            self.stages.append(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=bias))
            self.stages.append(normalization_layer(normalization, outputs))
            self.stages.append(nn.LeakyReLU(0.2))
        if minibatch_std:
            self.stages.append(MinibatchStdDev(minibatch_std))
        self.output = nn.Linear((channels[-1] + bool(minibatch_std)) * math.prod(grid), 1, bias=bias)
        self.embed_classes(initialization)

        initialize(self.stages, initialization, gain=gain)
        initialize(self.output, initialization, gain=1.0)
        if normalization == "spectral":
            spectrally_normalize(self)

    def places(self) -> dict[str, tuple[str, int]]:
        """Part -> its kind, and the shorter side of the maps that it takes; see `gan_lab.runs.transfer`."""
        side = min(self.sample_shape[1:])
        found = {
            f"stages.{3 * stage - 1}": ("halving", side >> stage)
            for stage in range(1, _doublings(*self.sample_shape[1:]))
        }
        found |= {f"stages.{3 * stage}": ("normalization", side >> (stage + 1)) for stage in range(1, len(found) + 1)}
        return {"stages.0": ("from_image", side)} | found

    def features(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) -> (B, feature_dim)."""
        return self.stages(with_one_hot(samples, labels, self.label_channels)).flatten(1)


def _doublings(height: int, width: int) -> int:
    """How often a grid is doubled to reach the image: often enough that its shorter side is 4, where that divides."""
    count = 0
    while height % 2 == 0 and width % 2 == 0 and min(height, width) >= 2 * SMALLEST_GRID:
        height, width, count = height // 2, width // 2, count + 1
    return count


def _grid(shape: tuple[int, int, int]) -> tuple[int, int]:
    _, height, width = shape
    factor = 2 ** _doublings(height, width)
    return height // factor, width // factor


def _stage_channels(shape: tuple[int, int, int], first: int, most: int) -> list[int]:
    """Channels of the hidden stages, from the highest resolution to the grid."""
    _, height, width = shape
    if any(side % DIVISOR or not SMALLEST <= side <= LARGEST for side in (height, width)):
        raise ValueError(
            f"dcgan makes heights and widths that are divisible by {DIVISOR}, from {SMALLEST} to {LARGEST}; "
            f"data.sample_shape has {height}x{width}; set data.image_size to such a size, or choose another network"
        )
    at_least("width", first, 1)
    at_least("max_width", most, first)
    return [min(first * 2**stage, most) for stage in range(_doublings(height, width))]
