"""The generator of context encoders (Pathak et al. 2016, section 3.1), for pictures of 32 to 128 pixels and more."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from gan_lab.layers.checks import at_least, one_of
from gan_lab.layers.initialization import RELU_GAIN, initialize
from gan_lab.layers.normalization import brings_offset, normalization_layer
from gan_lab.networks.inpainting import StagedInpainter, known

GRID = 4  # side of what the bottleneck's kernel covers
NORMALIZATIONS = ("none", "batch", "layer")  # of a single place, an instance's would leave zeros


class ContextEncoder(StagedInpainter):
    """4x4 convolutions that halve the source down to a grid; a bottleneck over 4x4 of its places; and back up.

    At the sample's size, if the grid is 4x4, the bottleneck is one vector (the paper's 4000 numbers), so that each
    pixel of the hole may depend on all that is known. Larger pictures have a grid of such vectors.

    The whole picture is made, as in the authors' code for holes of any shape (train_random.lua); that for holes in the
    centre makes the centre alone, with a halving less on the way back. As there, the first convolution is not
    normalized. Departures: the hole is mid-grey, where there it has the mean colour of ImageNet, (117, 104, 123); and
    convolutions have no bias where the normalization brings an offset.

    Args:
        sample_shape, condition_shape, masked: see `Inpainter`; H and W divisible by 2 per halving, and 4 or more are
            left of them.
        sees_mask: whether the mask comes in as a further channel (paper: false).
        depth: halvings, 1 or more (paper: 5 for 128x128; 3 lead from 32x32 to 4x4).
        width: channels of the first two levels, 1 or more (paper: 64), doubled from level to level then.
        bottleneck: its channels, 1 or more (paper: 4000 for 128x128).
        normalization: none, batch (paper) or layer.
        initialization: normal (paper), he, xavier or orthogonal.
    Attributes:
        size_multiple, smallest_size: see `Translator`.
    Raises:
        ValueError: a value out of these ranges.
    """

    def __init__(
        self,
        *,
        sample_shape: Sequence[int],
        condition_shape: Sequence[int] | None,
        masked: bool,
        sees_mask: bool,
        depth: int,
        width: int,
        bottleneck: int,
        normalization: str,
        initialization: str,
    ) -> None:
        multiple = 2 ** at_least("depth", depth, 1)
        super().__init__(
            "context_encoder",
            sample_shape=sample_shape,
            condition_shape=condition_shape,
            masked=masked,
            size_multiple=multiple,
            smallest_size=GRID * multiple,
            argument="depth",
        )
        one_of("generator.normalization", normalization, NORMALIZATIONS)
        self.sees_mask = sees_mask
        at_least("width", width, 1)
        at_least("bottleneck", bottleneck, 1)
        channels = [width * 2 ** max(0, level - 1) for level in range(depth)]
        bias = not brings_offset(normalization)

        inputs = self.sample_shape[0] + sees_mask
        self.down = nn.Sequential(nn.Conv2d(inputs, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2))
        for inputs, outputs in pairwise(channels):
            self.down.append(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=bias))
            self.down.append(normalization_layer(normalization, outputs))
            self.down.append(nn.LeakyReLU(0.2))
        self.bottleneck = nn.Sequential(
            nn.Conv2d(channels[-1], bottleneck, GRID, bias=bias),
            normalization_layer(normalization, bottleneck),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(bottleneck, channels[-1], GRID, bias=bias),
            normalization_layer(normalization, channels[-1]),
            nn.ReLU(),
        )
        self.up = nn.Sequential()
        for inputs, outputs in pairwise(channels[::-1]):
            self.up.append(nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=bias))
            self.up.append(normalization_layer(normalization, outputs))
            self.up.append(nn.ReLU())
        self.output = nn.ConvTranspose2d(width, self.sample_shape[0], 4, stride=2, padding=1)

        initialize(self, initialization, gain=RELU_GAIN)
        initialize(self.output, initialization, gain=1.0)

    def stages(self, condition: Tensor, mask: Tensor) -> tuple[Tensor]:
        """The one picture; see `StagedInpainter.stages`."""
        seen = known(condition, mask)
        if self.sees_mask:
            seen = torch.cat([seen, mask], dim=1)
        return (self.output(self.up(self.bottleneck(self.down(seen)))).tanh(),)
