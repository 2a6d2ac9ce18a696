"""Residual networks of WGAN-GP (Gulrajani et al. 2017, appendix) and SNGAN (Miyato et al. 2018, appendix)."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from gan_lab.layers.checks import at_least, divided_grid, image_shape, one_of, stage_channels
from gan_lab.layers.conditioning import Conditioned, ConditionedSequential, checked_classes, with_one_hot
from gan_lab.layers.initialization import RELU_GAIN, initialize
from gan_lab.layers.minibatch_std import MinibatchStdDev
from gan_lab.layers.normalization import (
    brings_offset,
    normalization_layer,
    removes_channel_mean,
    spectrally_normalize,
)
from gan_lab.layers.resampling import doubling, halving
from gan_lab.networks.base import Discriminator

STEMS = ("block", "convolution")
SHORTCUTS = ("plain", "rectified")
POOLINGS = ("sum", "mean", "flatten")


class ResidualBlock(Conditioned):
    """Normalization, ReLU, 3x3 convolution, twice, beside a shortcut; doubling before the first or halving at the end.

    The shortcut is a 1x1 convolution where the block changes size or channels, else the identity. It works at the
    lower resolution, which gives the same numbers, since a 1x1 convolution commutes with all three resamplings.

    Args:
        hidden: channels between the two convolutions.
        normalization: a name of `gan_lab.layers.normalization`.
        initialization: a name of `gan_lab.layers.initialization`.
        gain: of the weights beside a ReLU, see `initialize`; the shortcut's is 1.
        resampling: what the block does to height and width.
        doubling_by: a name of `gan_lab.layers.resampling.DOUBLINGS`.
        bias: whether what the block adds to its input has biases.
        all_biases: whether all convolutions have biases, those that a normalization after them undoes, too.
        shortcut: plain: the shortcut begins with the block's input (the papers); rectified: with its positive part, as
            in code whose ReLU works in place (Mimicry, StudioGAN: see docs/rectified-shortcuts.md).
        num_classes: of conditional batch normalization; 0 for none.
        linear_classes: whether its scales and offsets are `LinearClassBatchNorm2d`'s.
    Raises:
        ValueError: unknown names, or a rectified shortcut where the ReLU does not see the block's own input.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        *,
        normalization: str,
        initialization: str,
        gain: float = RELU_GAIN,
        resampling: Literal["none", "double", "halve"],
        doubling_by: str = "nearest",
        bias: bool,
        all_biases: bool = False,
        shortcut: str = "plain",
        num_classes: int = 0,
        linear_classes: bool = False,
    ) -> None:
        super().__init__()
        if one_of("shortcut", shortcut, SHORTCUTS) == "rectified" and normalization not in ("none", "spectral"):
            raise ValueError(
                f"shortcut=rectified is of blocks whose ReLU sees their own input, and normalization={normalization} "
                "stands between; set normalization=none or spectral, or shortcut=plain"
            )
        self.rectified = shortcut == "rectified"
        bias = bias or all_biases
        first_bias = all_biases or not brings_offset(normalization)
        normalized = partial(normalization_layer, normalization, num_classes=num_classes, linear=linear_classes)
        self.residual = ConditionedSequential(normalized(inputs), nn.ReLU())
        self.shortcut = nn.Sequential()
        if resampling == "double":
            self.residual.append(doubling(doubling_by))
        self.residual.append(nn.Conv2d(inputs, hidden, 3, padding=1, bias=first_bias))
        self.residual.append(normalized(hidden))
        self.residual.append(nn.ReLU())
        self.residual.append(nn.Conv2d(hidden, outputs, 3, padding=1, bias=bias))
        if resampling == "halve":
            self.residual.append(halving())
            self.shortcut.append(halving())
        if resampling != "none" or inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, bias=bias))
        if resampling == "double":
            self.shortcut.append(doubling(doubling_by))
        initialize(self.residual, initialization, gain=gain)
        initialize(self.shortcut, initialization, gain=1.0)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, inputs, H, W), and (B,) int64 of a conditional one -> (B, outputs, H', W')."""
        passed = features.relu() if self.rectified else features
        return self.shortcut(passed) + self.residual(features, labels)


class FirstBlock(nn.Module):
    """The block that takes images and halves them: no normalization, and no ReLU on the image itself."""

    def __init__(self, inputs: int, outputs: int, *, initialization: str, gain: float = RELU_GAIN) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            halving(),
        )
        self.shortcut = nn.Sequential(halving(), nn.Conv2d(inputs, outputs, 1))
        initialize(self.residual, initialization, gain=gain)
        initialize(self.shortcut, initialization, gain=1.0)

    def forward(self, images: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H/2, W/2)."""
        return self.shortcut(images) + self.residual(images)


class ResNetGenerator(nn.Module):
    """A linear layer onto a grid, a residual block per doubling, then normalization, ReLU, convolution and tanh.

    Departure: with batch or instance normalization the blocks have no biases, since the next normalization would
    remove them and their gradient would be zero but for rounding. The function is the paper's. `bias` brings them back,
    for weights of other libraries.

    Args:
        sample_shape: (C, H, W); C 1, 3 or 4; H and W divisible by 2 per block. Images are made in [-1, 1].
        latent_dim: length of a latent, 1 or more.
        width: channels of a stage whose multiplier is 1.
        multipliers: of the grid, then of the output of each block; [1, 1, 1, 1] makes 32x32 from 4x4.
        normalization: none, batch (both papers), layer, instance, instance_plain or spectral.
        initialization: normal, he, xavier (both papers) or orthogonal (StudioGAN).
        conditioning: none; concatenation of latent and label; batch_norm, in the blocks (Miyato and Koyama 2018); or
            linear_batch_norm, the same with StudioGAN's scales (see `LinearClassBatchNorm2d`).
        num_classes: of the labels, where there is conditioning.
        gain: of the weights beside a ReLU, see `initialize` (both papers: sqrt(2); StudioGAN: 1).
        doubling: nearest, each pixel four times (both papers and their code); or bilinear (Mimicry).
        bias: whether the convolutions of the blocks have biases in any case (Mimicry, StudioGAN).
    Raises:
        ValueError: a value out of these ranges.
    """

    def __init__(
        self,
        *,
        sample_shape: Sequence[int],
        latent_dim: int,
        width: int,
        multipliers: Sequence[int],
        normalization: str,
        initialization: str,
        conditioning: str = "none",
        num_classes: int | None = None,
        gain: float = RELU_GAIN,
        doubling: str = "nearest",
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.sample_shape = image_shape("resnet", sample_shape)
        self.latent_dim = at_least("latent_dim", latent_dim, 1)
        channels = stage_channels(width, multipliers)
        grid = divided_grid("resnet", self.sample_shape, len(channels) - 1, "generator.multipliers")
        choices = ("none", "concatenation", "batch_norm", "linear_batch_norm")
        self.num_classes = classes = checked_classes("generator", conditioning, num_classes, choices)
        self.concatenated = classes if conditioning == "concatenation" else 0

        self.stem = nn.Sequential(
            nn.Linear(latent_dim + self.concatenated, channels[0] * math.prod(grid)),
            nn.Unflatten(1, (channels[0], *grid)),
        )
        self.blocks = ConditionedSequential(
            *(
                ResidualBlock(
                    inputs,
                    outputs,
                    outputs,
                    normalization=normalization,
                    initialization=initialization,
                    gain=gain,
                    resampling="double",
                    doubling_by=doubling,
                    bias=not removes_channel_mean(normalization),
                    all_biases=bias,
                    num_classes=classes if conditioning in ("batch_norm", "linear_batch_norm") else 0,
                    linear_classes=conditioning == "linear_batch_norm",
                )
                for inputs, outputs in pairwise(channels)
            )
        )
        self.output = nn.Sequential(
            normalization_layer(normalization, channels[-1]),
            nn.ReLU(),
            nn.Conv2d(channels[-1], self.sample_shape[0], 3, padding=1),
        )
        initialize(self.stem, initialization, gain=1.0)
        initialize(self.output, initialization, gain=1.0)
        if normalization == "spectral":
            spectrally_normalize(self)

    def places(self) -> dict[str, tuple[str, int]]:
        """Part -> its kind, and the shorter side of the maps that it gives; see `gan_lab.runs.transfer`."""
        side = min(self.sample_shape[1:])
        doublings = sum(isinstance(block, ResidualBlock) for block in self.blocks)
        return places_of_blocks(self.blocks, side >> doublings, 1) | {"output": ("to_image", side)}

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, latent_dim), and (B,) int64 of a conditional one -> (B, C, H, W) in [-1, 1]."""
        grid = self.stem(with_one_hot(latents, labels, self.concatenated))
        return self.output(self.blocks(grid, labels)).tanh()


class ResNetDiscriminator(Discriminator):
    """Residual blocks, the first of which halve the image, then a linear unit.

    Args:
        sample_shape: (C, H, W); C 1, 3 or 4; H and W divisible by 2 per halving block.
        width: channels of a stage whose multiplier is 1.
        multipliers: of the output of the stem, then of each further block.
        halvings: how many blocks, from the first on, halve height and width.
        stem: block: a residual block on the image (SNGAN; WGAN-GP at 32x32); convolution: 3x3 (WGAN-GP at 64x64).
        pooling: what the linear unit sees: the sum (SNGAN) or mean (WGAN-GP at 32x32) of the rectified features over
            height and width; flatten: all features, not rectified (WGAN-GP at 64x64).
        normalization: of all blocks but one on the image: none, batch, layer, instance, instance_plain; or spectral, of
            all layers.
        initialization: normal, he, xavier (both papers) or orthogonal (StudioGAN).
        conditioning, num_classes: see `Discriminator`.
        minibatch_std: samples in a group of `MinibatchStdDev`, before the last features are pooled; 0 for none.
        gain: see `ResNetGenerator`.
        shortcut: of all blocks but one on the image: plain (both papers) or rectified (Mimicry), see `ResidualBlock`.
    Raises:
        ValueError: a value out of these ranges.
    """

    def __init__(
        self,
        *,
        sample_shape: Sequence[int],
        width: int,
        multipliers: Sequence[int],
        halvings: int,
        stem: str,
        pooling: str,
        normalization: str,
        initialization: str,
        conditioning: str = "none",
        num_classes: int | None = None,
        minibatch_std: int = 0,
        gain: float = RELU_GAIN,
        shortcut: str = "plain",
    ) -> None:
        super().__init__(conditioning, num_classes)
        self.sample_shape, self.halvings = image_shape("resnet", sample_shape), halvings
        self.pooling = one_of("pooling", pooling, POOLINGS)
        one_of("stem", stem, STEMS)
        channels = stage_channels(width, multipliers)
        blocks_in_stem = 1 if stem == "block" else 0
        blocks = len(channels) - 1 + blocks_in_stem
        if not blocks_in_stem <= halvings <= blocks:
            raise ValueError(
                f"halvings must be from {blocks_in_stem} to {blocks}, the number of blocks that stem={stem} and "
                f"{len(channels)} multipliers make; got {halvings}"
            )
        grid = divided_grid("resnet", self.sample_shape, halvings, "discriminator.halvings")

        inputs = self.sample_shape[0] + self.label_channels
        self.stem: nn.Module
        if stem == "block":
            self.stem = FirstBlock(inputs, channels[0], initialization=initialization, gain=gain)
        else:
            self.stem = nn.Conv2d(inputs, channels[0], 3, padding=1)
            initialize(self.stem, initialization, gain=1.0)
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(
                    inputs,
                    inputs,
                    outputs,
                    normalization=normalization,
                    initialization=initialization,
                    gain=gain,
                    resampling="halve" if index < halvings else "none",
                    bias=True,
                    shortcut=shortcut,
                )
                for index, (inputs, outputs) in enumerate(pairwise(channels), start=blocks_in_stem)
            )
        )
        if minibatch_std:
            self.blocks.append(MinibatchStdDev(minibatch_std))
        features = channels[-1] + bool(minibatch_std)
        self.output = nn.Linear(features * (math.prod(grid) if pooling == "flatten" else 1), 1)
        initialize(self.output, initialization, gain=1.0)
        self.embed_classes(initialization)
        if normalization == "spectral":
            spectrally_normalize(self)

    def places(self) -> dict[str, tuple[str, int]]:
        """Part -> its kind, and the shorter side of the maps that it takes; see `gan_lab.runs.transfer`."""
        side = min(self.sample_shape[1:])
        in_stem = int(isinstance(self.stem, FirstBlock))
        blocks = places_of_blocks(self.blocks, side >> in_stem, -1, self.halvings - in_stem)
        return {"stem": ("from_image", side)} | blocks

    def features(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) -> (B, feature_dim)."""
        features = self.blocks(self.stem(with_one_hot(samples, labels, self.label_channels)))
        if self.pooling == "flatten":
            return features.flatten(1)
        return features.relu().sum((2, 3)) if self.pooling == "sum" else features.relu().mean((2, 3))


def places_of_blocks(blocks: nn.Sequential, side: int, step: int, halvings: int = 0) -> dict[str, tuple[str, int]]:
    """The part of `places` that is about `blocks`, residual blocks and what stands between them.

    Args:
        side: the shorter side of what the first of them takes.
        step: 1 where each block doubles it, and what it gives counts; -1 where the first `halvings` blocks halve it,
            and what they take counts.
    """
    found: dict[str, tuple[str, int]] = {}
    done = 0
    for index, block in enumerate(blocks):
        is_block = isinstance(block, (ResidualBlock, FirstBlock))
        kind = "from_image" if isinstance(block, FirstBlock) else "block" if is_block else type(block).__name__
        if step > 0:
            done += is_block
            found[f"blocks.{index}"] = (kind, side << done)
        else:
            found[f"blocks.{index}"] = (kind, side >> min(done, halvings))
            done += is_block
    return found
