"""The networks of the self-attention GAN (Zhang et al. 2019): residual, spectrally normalized, with attention."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from gan_lab.layers.attention import SelfAttention2d
from gan_lab.layers.checks import divided_grid, image_shape, stage_channels
from gan_lab.layers.conditioning import with_one_hot
from gan_lab.layers.initialization import RELU_GAIN, initialize
from gan_lab.layers.minibatch_std import MinibatchStdDev
from gan_lab.layers.normalization import spectrally_normalize
from gan_lab.networks.base import Discriminator
from gan_lab.networks.resnet import FirstBlock, ResidualBlock, ResNetGenerator, places_of_blocks


class SAGANGenerator(ResNetGenerator):
    """The residual generator, with self-attention after one of its blocks and every layer spectrally normalized.

    Departure, as in `ResNetGenerator`: the blocks have no biases. Batch normalization removes what they would add; only
    the attention could have been conditioned on it. `bias` brings them back.

    Departure of StudioGAN's SAGAN: its class scales are spectrally normalized, too, so that they stay about 1
    (`conditioning: linear_batch_norm`); the authors' are free tables (`batch_norm`).

    Args:
        sample_shape, latent_dim, width, multipliers, initialization, conditioning, num_classes, gain, bias: see
            `ResNetGenerator`.
        attention: the block, from 1 on, after which the attention stands; 0 for none. The authors': 3 of 5 blocks, at
            32x32 of 128x128.
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
        attention: int,
        initialization: str,
        conditioning: str = "none",
        num_classes: int | None = None,
        gain: float = RELU_GAIN,
        bias: bool = False,
    ) -> None:
        super().__init__(
            sample_shape=sample_shape,
            latent_dim=latent_dim,
            width=width,
            multipliers=multipliers,
            normalization="batch",
            initialization=initialization,
            conditioning=conditioning,
            num_classes=num_classes,
            gain=gain,
            bias=bias,
        )
        if place_of_attention("generator", attention, len(self.blocks)):
            self.blocks.insert(
                attention, SelfAttention2d(width * multipliers[attention], initialization=initialization)
            )
        spectrally_normalize(self)


class SAGANDiscriminator(Discriminator):
    """Residual blocks, the first of which halve the image, self-attention after one of them, then a linear unit.

    It is that of BigGAN, too (Brock et al. 2019, appendix B): both convolutions of a block have as many channels as it
    gives (those of `networks/resnet.py` widen in the second). The linear unit sees the sum of the rectified features
    over height and width.

    Args:
        sample_shape: (C, H, W); C 1, 3 or 4; H and W divisible by 2 per halving block.
        width: channels of a block whose multiplier is 1.
        multipliers: of the output of each block, one or more.
        halvings: how many blocks, from the first on, halve height and width; 1 or more.
        attention: the block, from 1 on, after which the attention stands; 0 for none. The authors': 2 of 6 blocks, at
            32x32 of 128x128.
        normalization: of all blocks but the first: none, batch, layer, instance, instance_plain; or spectral (both
            papers), of all layers.
        initialization: normal, he, xavier (the authors') or orthogonal (BigGAN).
        conditioning, num_classes: see `Discriminator`.
        minibatch_std: samples in a group of `MinibatchStdDev`, before the last features are pooled; 0 for none.
        gain: of the weights beside a ReLU, see `initialize`; 1 in the code of BigGAN's authors and StudioGAN.
        shortcut: of all blocks but the first: plain (both papers) or rectified (StudioGAN), see `ResidualBlock`.
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
        attention: int,
        normalization: str,
        initialization: str,
        conditioning: str = "none",
        num_classes: int | None = None,
        minibatch_std: int = 0,
        gain: float = RELU_GAIN,
        shortcut: str = "plain",
    ) -> None:
        super().__init__(conditioning, num_classes)
        self.sample_shape, self.halvings = image_shape("sagan", sample_shape), halvings
        channels = stage_channels(width, multipliers, least=1)
        if not 1 <= halvings <= len(multipliers):
            raise ValueError(f"halvings must be from 1 to {len(multipliers)}, the number of blocks; got {halvings}")
        divided_grid("sagan", self.sample_shape, halvings, "discriminator.halvings")

        inputs = self.sample_shape[0] + self.label_channels
        first = FirstBlock(inputs, channels[0], initialization=initialization, gain=gain)
        self.blocks = nn.Sequential(
            first,
            *(
                ResidualBlock(
                    inputs,
                    outputs,
                    outputs,
                    normalization=normalization,
                    initialization=initialization,
                    gain=gain,
                    resampling="halve" if index < halvings else "none",
                    bias=True,
                    shortcut=shortcut,
                )
                for index, (inputs, outputs) in enumerate(pairwise(channels), start=1)
            ),
        )
        if place_of_attention("discriminator", attention, len(channels)):
            self.blocks.insert(attention, SelfAttention2d(channels[attention - 1], initialization=initialization))
        if minibatch_std:
            self.blocks.append(MinibatchStdDev(minibatch_std))
        self.output = nn.Linear(channels[-1] + bool(minibatch_std), 1)
        initialize(self.output, initialization, gain=1.0)
        self.embed_classes(initialization)
        if normalization == "spectral":
            spectrally_normalize(self)

    def places(self) -> dict[str, tuple[str, int]]:
        """Part -> its kind, and the shorter side of the maps that it takes; see `gan_lab.runs.transfer`."""
        return places_of_blocks(self.blocks, min(self.sample_shape[1:]), -1, self.halvings)

    def features(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) -> (B, feature_dim)."""
        return self.blocks(with_one_hot(samples, labels, self.label_channels)).relu().sum((2, 3))


def place_of_attention(network: str, attention: int, blocks: int) -> int:
    """`attention`, if it is 0 or one of the blocks, which count from 1.

    Raises:
        ValueError: it is not.
    """
    if not 0 <= attention <= blocks:
        raise ValueError(
            f"{network}.attention must be one of the blocks, from 1 to {blocks}, or 0 for none; got {attention}"
        )
    return attention
