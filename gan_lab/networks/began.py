"""The networks of BEGAN (Berthelot et al. 2017, section 3.6 and figure 1): an auto-encoder, and its decoder as G."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from gan_lab.layers.checks import at_least, image_shape
from gan_lab.layers.initialization import RELU_GAIN, initialize
from gan_lab.layers.resampling import doubling

SMALLEST_GRID = 8


class BEGANGenerator(nn.Module):
    """A linear layer onto a grid, then at each resolution 3x3 convolutions with ELU, and a doubling in between.

    The grid's shorter side is 8 where both sides can be halved that often (32x64 begins at 8x16). The last convolution
    has no activation, so images are only about in [-1, 1]; what renders them clamps. The paper's optional skip
    connections and vanishing residuals (section 3.6.1) are left out.

    Args:
        sample_shape: (C, H, W); C 1, 3 or 4; H and W even, from 16 on.
        latent_dim: length of a latent, 1 or more (paper: 64).
        width: n, channels of every layer.
        repeats: convolutions per resolution, 1 or more (paper: 2).
        initialization: normal, he or xavier; the paper names none.
    Raises:
        ValueError: a value out of these ranges.
    """

    def __init__(
        self, *, sample_shape: Sequence[int], latent_dim: int, width: int, repeats: int, initialization: str
    ) -> None:
        super().__init__()
        self.sample_shape = image_shape("began", sample_shape)
        self.latent_dim = at_least("latent_dim", latent_dim, 1)
        at_least("width", width, 1)
        at_least("repeats", repeats, 1)
        grid, halvings = _grid(self.sample_shape)
        self.stem = nn.Sequential(nn.Linear(latent_dim, width * math.prod(grid)), nn.Unflatten(1, (width, *grid)))
        self.stages = _convolutions(width, repeats)
        for _ in range(halvings):
            self.stages.append(doubling())
            self.stages.extend(_convolutions(width, repeats))
        self.output = nn.Conv2d(width, self.sample_shape[0], 3, padding=1)
        initialize(self.stem, initialization, gain=1.0)
        initialize(self.stages, initialization, gain=RELU_GAIN)
        initialize(self.output, initialization, gain=1.0)

    def forward(self, latents: Tensor) -> Tensor:
        """(B, latent_dim) -> (B, C, H, W), about in [-1, 1]."""
        return self.output(self.stages(self.stem(latents)))


class BEGANDiscriminator(nn.Module):
    """An auto-encoder: 3x3 convolutions with ELU down to the generator's grid, a linear layer to the code and back.

    Channels grow by `width` with each halving, which is a convolution of stride 2. The code has no activation. The
    decoder is a `BEGANGenerator` with weights of its own.

    Args:
        sample_shape, width, repeats, initialization: see `BEGANGenerator`.
        code_dim: N_h, length of the code, 1 or more (paper: 64).
    Attributes:
        judgement: see `GANModule`.
    Raises:
        ValueError: a value out of these ranges.
    """

    judgement = "images"

    def __init__(
        self, *, sample_shape: Sequence[int], code_dim: int, width: int, repeats: int, initialization: str
    ) -> None:
        super().__init__()
        self.decoder = BEGANGenerator(
            sample_shape=sample_shape,
            latent_dim=at_least("code_dim", code_dim, 1),
            width=width,
            repeats=repeats,
            initialization=initialization,
        )
        self.sample_shape = self.decoder.sample_shape
        grid, halvings = _grid(self.sample_shape)
        self.encoder = nn.Sequential(nn.Conv2d(self.sample_shape[0], width, 3, padding=1), nn.ELU())
        self.encoder.extend(_convolutions(width, repeats))
        for stage in range(1, halvings + 1):
            self.encoder.append(nn.Conv2d(stage * width, (stage + 1) * width, 3, stride=2, padding=1))
            self.encoder.append(nn.ELU())
            self.encoder.extend(_convolutions((stage + 1) * width, repeats))
        self.code = nn.Linear((halvings + 1) * width * math.prod(grid), code_dim)
        initialize(self.encoder, initialization, gain=RELU_GAIN)
        initialize(self.code, initialization, gain=1.0)

    def forward(self, samples: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W): the samples as the auto-encoder has them."""
        return self.decoder(self.code(self.encoder(samples).flatten(1)))


def _convolutions(channels: int, repeats: int) -> nn.Sequential:
    layers = nn.Sequential()
    for _ in range(repeats):
        layers.append(nn.Conv2d(channels, channels, 3, padding=1))
        layers.append(nn.ELU())
    return layers


def _grid(shape: tuple[int, int, int]) -> tuple[tuple[int, int], int]:
    """Height and width of the grid, and how often the image is halved to get there."""
    _, height, width = shape
    halvings = 0
    while height % 2 == 0 and width % 2 == 0 and min(height, width) >= 2 * SMALLEST_GRID:
        height, width, halvings = height // 2, width // 2, halvings + 1
    if halvings == 0:
        raise ValueError(
            f"began makes heights and widths that are even, from {2 * SMALLEST_GRID} on; data.sample_shape has "
            f"{shape[1]}x{shape[2]}; set data.image_size to such a size, or choose another network"
        )
    return (height, width), halvings
