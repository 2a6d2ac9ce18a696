"""The networks of R3GAN (Huang et al. 2024, section 4, "config E"): modern residual blocks and nothing else."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from gan_lab.layers.checks import at_least, image_shape
from gan_lab.layers.conditioning import checked_classes, given, with_one_hot
from gan_lab.layers.filtered_resampling import FilteredDoubling, FilteredHalving
from gan_lab.layers.initialization import initialize
from gan_lab.networks.base import Discriminator

SLOPE = 0.2  # of the leaky ReLU below zero
LEAKY_GAIN = (2 / (1 + SLOPE**2)) ** 0.5
SMALLEST_GRID = 2


class InvertedBottleneck(nn.Module):
    """x + 1x1 convolution (3x3 convolution in groups (1x1 convolution (x))), wider inside, without normalization.

    A bias and a leaky ReLU follow the first two convolutions. Weights begin as in Fixup (Zhang et al. 2019): those of
    the last convolution at 0, so that the block begins as the identity, the others at L^(-1/4) of their usual size.

    Args:
        channels: of the input and the output.
        expansion: how many times wider the block is inside.
        group_width: channels of a group of the 3x3 convolution; a narrower layer is one group.
        depth: L, the number of blocks in the whole network.
    Raises:
        ValueError: the groups do not divide the channels inside.
    """

    def __init__(self, channels: int, *, expansion: int, group_width: int, depth: int) -> None:
        super().__init__()
        inside = channels * expansion
        groups = max(1, inside // group_width)
        if inside % groups:
            raise ValueError(
                f"r3gan: group_width={group_width} does not divide the {inside} channels inside a block of {channels}; "
                "choose another width, multipliers, expansion or group_width"
            )
        self.residual = nn.Sequential(
            nn.Conv2d(channels, inside, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(inside, inside, 3, padding=1, groups=groups),
            nn.LeakyReLU(SLOPE),
            last := nn.Conv2d(inside, channels, 1, bias=False),
        )
        initialize(self.residual, "he", gain=LEAKY_GAIN * depth**-0.25)
        nn.init.zeros_(last.weight)

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, H, W) -> the same shape."""
        return features + self.residual(features)


class R3GANGenerator(nn.Module):
    """A grid of learnt basis vectors weighed by the latent; per stage residual blocks, between stages doubling.

    The first layer gives each channel a number, linear in the latent, that scales the channel's learnt map. Where the
    number of channels changes, a 1x1 convolution changes it before the doubling. A last one makes the image, with no
    tanh. No layer outside the blocks has a bias.

    Departure: the authors run all stages but the lowest in bfloat16; here all follow the trainer's precision.

    Of conditional networks the authors' has `conditioning: embedding`: the class as 64 numbers beside the latent, and
    in D (W f).e(y) for features f. The other ways (concatenation here, projection in D) make the same functions, but
    begin elsewhere: the class has a third of the latent's share of the first layer by embedding, an eighth by
    concatenation (of 10 classes); D's first logits are five times smaller.

    Args:
        sample_shape: (C, H, W); C 1, 3 or 4; H and W divisible by 2 per stage after the first.
        latent_dim: length of a latent, 1 or more (paper: 64).
        width: channels of a stage whose multiplier is 1 (paper: 768).
        multipliers: of the stages from the grid on; [1, 1, 1, 1] makes 32x32 from 4x4.
        blocks: residual blocks per stage, 1 or more (paper: 2).
        expansion, group_width: see `InvertedBottleneck` (paper: 2, and 16: 96 groups in a stage of 768).
        conditioning: none; concatenation of latent and label; or embedding (paper): of latent and the class's vector.
        num_classes: of the labels, where there is conditioning.
        embedding_dim: length of that vector, 1 or more; needed for embedding (paper: 64), unused else.
    Raises:
        ValueError: a value out of these ranges.
    """

    learnt_inputs = ("basis",)

    def __init__(
        self,
        *,
        sample_shape: Sequence[int],
        latent_dim: int,
        width: int,
        multipliers: Sequence[int],
        blocks: int,
        expansion: int,
        group_width: int,
        conditioning: str = "none",
        num_classes: int | None = None,
        embedding_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.sample_shape = image_shape("r3gan", sample_shape)
        self.latent_dim = at_least("latent_dim", latent_dim, 1)
        choices = ("none", "concatenation", "embedding")
        self.num_classes = classes = checked_classes("generator", conditioning, num_classes, choices)
        channels, grid = _stages(self.sample_shape, width, multipliers, "generator.multipliers")

        self.classes = _class_vectors("generator", classes, embedding_dim) if conditioning == "embedding" else None
        further = classes if self.classes is None else self.classes.embedding_dim
        self.weights = nn.Linear(latent_dim + further, channels[0], bias=False)
        self.basis = nn.Parameter(torch.randn(channels[0], *grid))
        self.stages = nn.Sequential(_blocks(channels[0], blocks, expansion, group_width, len(channels)))
        for inputs, outputs in pairwise(channels):
            self.stages.append(_transition(inputs, outputs))
            self.stages.append(FilteredDoubling())
            self.stages.append(_blocks(outputs, blocks, expansion, group_width, len(channels)))
        self.output = nn.Conv2d(channels[-1], self.sample_shape[0], 1, bias=False)
        initialize(self.weights, "he", gain=1.0)
        initialize(self.output, "he", gain=1.0)

    def places(self) -> dict[str, tuple[str, int]]:
        """Part -> its kind, and the shorter side of the maps that it gives; see `gan_lab.runs.transfer`."""
        side = min(self.basis.shape[1:])
        found = {f"stages.{3 * stage}": ("blocks", side << stage) for stage in range((len(self.stages) + 2) // 3)}
        found |= {f"stages.{3 * stage + 1}": ("transition", side << stage) for stage in range(len(found) - 1)}
        return found | {"output": ("to_image", min(self.sample_shape[1:]))}

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, latent_dim), and (B,) int64 of a conditional one -> (B, C, H, W), about in [-1, 1]."""
        if self.classes is None:
            joined = with_one_hot(latents, labels, self.num_classes)
        else:
            joined = torch.cat([latents, self.classes(given(labels)).to(latents.dtype)], dim=1)
        weights = self.weights(joined)
        return self.output(self.stages(weights[..., None, None] * self.basis))


class R3GANDiscriminator(Discriminator):
    """The generator mirrored: residual blocks per stage, halving between stages, and a basis for the whole grid.

    The last layer but one takes the inner product of each channel with a learnt map, the linear unit sums these. With
    `conditioning: embedding` the linear layer has as many units as a vector of the class has numbers, and their inner
    product is the logit, with no part that is the same for all classes.

    Args:
        sample_shape: (C, H, W); C 1, 3 or 4; H and W divisible by 2 per stage after the first.
        width: channels of a stage whose multiplier is 1 (paper: 768).
        multipliers: of the stages from the image on.
        blocks: residual blocks per stage, 1 or more (paper: 2).
        expansion, group_width: see `InvertedBottleneck` (paper: 2, and 16: 96 groups in a stage of 768).
        normalization: none; there is no other choice.
        conditioning: see `Discriminator`; or embedding (paper).
        num_classes: of the labels, where there is conditioning.
        embedding_dim: length of the vector of a class, 1 or more; needed for embedding (paper: 768, as wide as a
            stage), unused else.
    Raises:
        ValueError: a value out of these ranges.
    """

    def __init__(
        self,
        *,
        sample_shape: Sequence[int],
        width: int,
        multipliers: Sequence[int],
        blocks: int,
        expansion: int,
        group_width: int,
        normalization: str,
        conditioning: str = "none",
        num_classes: int | None = None,
        embedding_dim: int | None = None,
    ) -> None:
        super().__init__(conditioning, num_classes, further=("embedding",))
        self.sample_shape = image_shape("r3gan", sample_shape)
        if normalization != "none":
            raise ValueError(
                "network=r3gan has no normalization (a spectral norm of its layers that begin at 0 would be 0); got "
                f"{normalization!r}: set model.discriminator.normalization=none, or choose another network"
            )
        channels, grid = _stages(self.sample_shape, width, multipliers, "discriminator.multipliers")

        self.stem = nn.Conv2d(self.sample_shape[0] + self.label_channels, channels[0], 1, bias=False)
        self.stages = nn.Sequential(_blocks(channels[0], blocks, expansion, group_width, len(channels)))
        for inputs, outputs in pairwise(channels):
            self.stages.append(FilteredHalving())
            self.stages.append(_transition(inputs, outputs))
            self.stages.append(_blocks(outputs, blocks, expansion, group_width, len(channels)))
        self.basis = nn.Conv2d(channels[-1], channels[-1], grid, groups=channels[-1], bias=False)
        self.by_class = conditioning == "embedding"
        vectors = _class_vectors("discriminator", num_classes, embedding_dim) if self.by_class else None
        self.output = nn.Linear(channels[-1], 1 if vectors is None else vectors.embedding_dim, bias=False)
        for layer in (self.stem, self.basis, self.output):
            initialize(layer, "he", gain=1.0)
        self.embed_classes()
        if vectors is not None:
            self.embedding = vectors

    def places(self) -> dict[str, tuple[str, int]]:
        """Part -> its kind, and the shorter side of the maps that it takes; see `gan_lab.runs.transfer`."""
        side = min(self.sample_shape[1:])
        found = {f"stages.{3 * stage}": ("blocks", side >> stage) for stage in range((len(self.stages) + 2) // 3)}
        found |= {f"stages.{3 * stage - 1}": ("transition", side >> stage) for stage in range(1, len(found))}
        return found | {"stem": ("from_image", side)}

    def features(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) -> (B, feature_dim)."""
        return self.basis(self.stages(self.stem(with_one_hot(samples, labels, self.label_channels)))).flatten(1)

    def judge(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """See `Discriminator`."""
        if not self.by_class:
            return super().judge(features, labels)
        assert self.embedding is not None
        return (self.output(features) * self.embedding(given(labels))).sum(1)


def _class_vectors(network: str, classes: int | None, embedding_dim: int | None) -> nn.Embedding:
    """A vector per class, which begins as the columns of a linear layer on one-hot vectors: N(0, 1 / classes)."""
    if embedding_dim is None:
        raise ValueError(
            f"{network}.conditioning=embedding needs {network}.embedding_dim, how long a class's vector is"
        )
    assert classes is not None
    vectors = nn.Embedding(classes, at_least(f"{network}.embedding_dim", embedding_dim, 1))
    nn.init.normal_(vectors.weight, std=classes**-0.5)
    return vectors


def _blocks(channels: int, blocks: int, expansion: int, group_width: int, stages: int) -> nn.Sequential:
    """The residual blocks of one stage of `stages`."""
    for argument, value in {"blocks": blocks, "expansion": expansion, "group_width": group_width}.items():
        at_least(argument, value, 1)
    settings = {"expansion": expansion, "group_width": group_width, "depth": blocks * stages}
    return nn.Sequential(*(InvertedBottleneck(channels, **settings) for _ in range(blocks)))


def _transition(inputs: int, outputs: int) -> nn.Module:
    """1x1, on a linear path; nothing where the number of channels stays."""
    if inputs == outputs:
        return nn.Identity()
    convolution = nn.Conv2d(inputs, outputs, 1, bias=False)
    initialize(convolution, "he", gain=1.0)
    return convolution


def _stages(
    shape: tuple[int, int, int], width: int, multipliers: Sequence[int], argument: str
) -> tuple[list[int], tuple[int, int]]:
    """Channels of the stages; height and width of the grid."""
    at_least("width", width, 1)
    if not multipliers or min(multipliers) < 1:
        raise ValueError(f"{argument} must be one or more numbers from 1 on; got {list(multipliers)}")
    _, height, width_of_image = shape
    factor = 2 ** (len(multipliers) - 1)
    if height % factor or width_of_image % factor or min(height, width_of_image) < factor * SMALLEST_GRID:
        raise ValueError(
            f"r3gan with {len(multipliers)} stages takes heights and widths that are divisible by {factor}, from "
            f"{factor * SMALLEST_GRID} on; data.sample_shape has {height}x{width_of_image}; set data.image_size to "
            f"such a size, or change {argument}"
        )
    return [width * multiplier for multiplier in multipliers], (height // factor, width_of_image // factor)
