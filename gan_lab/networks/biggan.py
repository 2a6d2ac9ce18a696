"""The generator of BigGAN (Brock et al. 2019, section 3 and appendix B); its discriminator is that of `sagan.py`."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from gan_lab.layers.attention import SelfAttention2d
from gan_lab.layers.checks import at_least, divided_grid, image_shape, stage_channels
from gan_lab.layers.conditioning import (
    Conditioned,
    ConditionedSequential,
    VectorBatchNorm2d,
    checked_classes,
    given,
)
from gan_lab.layers.initialization import RELU_GAIN, initialize
from gan_lab.layers.normalization import spectrally_normalize
from gan_lab.layers.resampling import doubling
from gan_lab.networks.sagan import place_of_attention


class VectorBlock(Conditioned):
    """Batch normalization by a vector, ReLU, 3x3 convolution, twice, beside a shortcut; doubling before the first.

    The 1x1 convolution of the shortcut works at the lower resolution, with which doubling commutes.

    Args:
        condition_dim: length of the vector.
        initialization: a name of `gan_lab.layers.initialization`.
        gain: of the weights beside a ReLU, see `initialize`; the shortcut's is 1.
        bias: whether the convolutions have biases.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        condition_dim: int,
        initialization: str,
        gain: float = RELU_GAIN,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.residual = ConditionedSequential(
            VectorBatchNorm2d(inputs, condition_dim),
            nn.ReLU(),
            doubling(),
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias),
            VectorBatchNorm2d(outputs, condition_dim),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=bias),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=bias), doubling())
        initialize(self.residual, initialization, gain=gain)
        initialize(self.shortcut, initialization, gain=1.0)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """(B, inputs, H, W) and (B, condition_dim) -> (B, outputs, 2H, 2W)."""
        return self.shortcut(features) + self.residual(features, condition)


class BigGANGenerator(nn.Module):
    """A linear layer onto a grid, a residual block per doubling, each with a part of the latent and the class.

    The latent is cut into equal chunks, one for the linear layer (which also takes what a division leaves over) and one
    for each block. A block's batch normalizations are linear in its chunk, joined to an embedding of the class that all
    blocks share; without classes, in the chunk alone. Every layer but the embedding is spectrally normalized.

    Departure, as in `ResNetGenerator`: the blocks have no biases. Batch normalization removes what they would add; only
    the attention could have been conditioned on it. `bias` brings them back, for weights of other libraries.

    Args:
        sample_shape: (C, H, W); C 1, 3 or 4; H and W divisible by 2 per block. Images are made in [-1, 1].
        latent_dim: length of a latent, as many as there are chunks or more (paper: 20 for each).
        embedding_dim: length of the shared embedding, 1 or more (paper: 128).
        width: channels of a stage whose multiplier is 1.
        multipliers: of the grid, then of the output of each block.
        attention: the block, from 1 on, after which the attention stands; 0 for none (paper: at 64x64 of 128x128).
        initialization: normal, he, xavier or orthogonal (paper).
        conditioning: none; or batch_norm.
        num_classes: of the labels, where there is conditioning.
        gain: of the weights beside a ReLU, see `initialize`; 1 in the authors' code and StudioGAN.
        bias: whether the convolutions of the blocks have biases (the authors' code, StudioGAN).
    Raises:
        ValueError: a value out of these ranges.
    """

    def __init__(
        self,
        *,
        sample_shape: Sequence[int],
        latent_dim: int,
        embedding_dim: int,
        width: int,
        multipliers: Sequence[int],
        attention: int,
        initialization: str,
        conditioning: str = "none",
        num_classes: int | None = None,
        gain: float = RELU_GAIN,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.sample_shape = image_shape("biggan", sample_shape)
        channels = stage_channels(width, multipliers)
        blocks = len(channels) - 1
        self.latent_dim = at_least("latent_dim", latent_dim, blocks + 1)
        place_of_attention("generator", attention, blocks)
        grid = divided_grid("biggan", self.sample_shape, blocks, "generator.multipliers")
        self.num_classes = classes = checked_classes("generator", conditioning, num_classes, ("none", "batch_norm"))

        chunk = latent_dim // (blocks + 1)
        self.chunks = [latent_dim - blocks * chunk] + [chunk] * blocks
        self.classes = nn.Embedding(classes, at_least("embedding_dim", embedding_dim, 1)) if classes else None
        condition_dim = chunk + (embedding_dim if classes else 0)
        self.stem = nn.Sequential(
            nn.Linear(self.chunks[0], channels[0] * math.prod(grid)), nn.Unflatten(1, (channels[0], *grid))
        )
        block = partial(VectorBlock, condition_dim=condition_dim, initialization=initialization, gain=gain, bias=bias)
        self.stages = nn.ModuleList(
            ConditionedSequential(block(inputs, outputs)) for inputs, outputs in pairwise(channels)
        )
        if attention:
            stage = self.stages[attention - 1]
            stage.append(SelfAttention2d(channels[attention], initialization=initialization))  # type: ignore[operator]
        self.output = nn.Sequential(
            nn.BatchNorm2d(channels[-1]), nn.ReLU(), nn.Conv2d(channels[-1], self.sample_shape[0], 3, padding=1)
        )
        initialize(self.stem, initialization, gain=1.0)
        initialize(self.output, initialization, gain=1.0)
        if self.classes is not None:
            nn.init.orthogonal_(self.classes.weight)
        spectrally_normalize(self)

    def places(self) -> dict[str, tuple[str, int]]:
        """Part -> its kind, and the shorter side of the maps that it gives; see `gan_lab.runs.transfer`."""
        side = min(self.sample_shape[1:])
        found: dict[str, tuple[str, int]] = {}
        for number, stage in enumerate(self.stages, start=1):
            kinds = ("block", "attention")[: len(stage)]  # type: ignore[arg-type]
            of_stage = side >> (len(self.stages) - number)
            found |= {f"stages.{number - 1}.{layer}": (kind, of_stage) for layer, kind in enumerate(kinds)}
        return found | {"output": ("to_image", side)}

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, latent_dim), and (B,) int64 of a conditional one -> (B, C, H, W) in [-1, 1]."""
        first, *others = latents.split(self.chunks, dim=1)
        features = self.stem(first)
        shared = [] if self.classes is None else [self.classes(given(labels))]
        for stage, chunk in zip(self.stages, others, strict=True):
            features = stage(features, torch.cat([*shared, chunk], dim=1))
        return self.output(features).tanh()
