"""Generators that make a picture of a picture: the U-Net of pix2pix, the residual network of CycleGAN."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.layers.checks import at_least, image_shape, source_shape
from gan_lab.layers.conditioning import with_pictures
from gan_lab.layers.initialization import RELU_GAIN, initialize
from gan_lab.layers.normalization import brings_offset, normalization_layer, spectrally_normalize
from gan_lab.layers.upsampling import upsampling_layer

BORDER = 3  # mirrored on each side of what the residual network's 7x7 convolutions take
MOST_TIMES_WIDTH = 8  # channels of a U-Net's lower levels, in widths
FIRST_DROPOUT = 4  # the first of the levels of a U-Net, from full size down, whose step up may have dropout


class Translator(nn.Module):
    """What translators share: a source and its mask come in, a picture `factor` times as large goes out.

    A subclass has `translate`. Sources of any size that is a multiple of `size_multiple` are translated, not of
    `condition_shape` alone.

    Args:
        name: of the network in messages, as in `network=<name>`.
        sample_shape: (C, H, W) of what is made; C 1, 3 or 4.
        condition_shape: (C', H / factor, W / factor) of the source.
        masked: whether there is a mask of the holes in the source, which comes in as a further channel.
        size_multiple: see below.
        smallest_size: see below.
        argument: of the network, which decides on both, as in `generator.<argument>`.
        factors: of which `factor` has to be one.
    Attributes:
        factor: what is made is so many times as high and as wide as its source.
        input_channels: of source and mask.
        size_multiple: what heights and widths of sources are multiples of.
        smallest_size: their least height and width.
    Raises:
        ValueError: a size that is not allowed, or a value out of these ranges.
    """

    def __init__(
        self,
        name: str,
        *,
        sample_shape: Sequence[int],
        condition_shape: Sequence[int] | None,
        masked: bool,
        size_multiple: int,
        smallest_size: int,
        argument: str,
        factors: Sequence[int] = (1,),
    ) -> None:
        super().__init__()
        self.sample_shape = image_shape(name, sample_shape)
        self.condition_shape = source_shape(name, condition_shape, self.sample_shape, factors)
        self.factor = self.sample_shape[1] // self.condition_shape[1]
        if masked and self.factor > 1:
            raise ValueError(
                f"{name} enlarges, and a mask is as large as the sample, not as its source; choose data without masks, "
                "such as condition=downsampled"
            )
        self.masked = masked
        self.input_channels = self.condition_shape[0] + masked
        self.size_multiple = size_multiple
        self.smallest_size, self._name = smallest_size, name
        _, height, width = self.condition_shape
        self._check_size(
            height,
            width,
            f"data.condition_shape has {height}x{width}; set data.image_size to such a size, or change "
            f"generator.{argument}",
        )

    def translate(self, pictures: Tensor) -> Tensor:
        """(B, input_channels, H, W) -> (B, C, factor * H, factor * W), of any range."""
        raise NotImplementedError

    def forward(self, condition: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, C', H, W) in [-1, 1], and (B, 1, H, W), 1 in a hole, of a masked one -> (B, C, H, W) in [-1, 1].

        Raises:
            ValueError: a size that is not allowed; or a mask is missing, or given to a network that was built for none.
        """
        return self.translate(self.sources(condition, mask)).tanh()

    def sources(self, condition: Tensor, mask: Tensor | None) -> Tensor:
        """(B, input_channels, H, W): what comes in, as one tensor. Args, Raises: see `forward`."""
        height, width = condition.shape[2:]
        self._check_size(height, width, f"the source has {height}x{width}; pad or resize it")
        return with_pictures(None, condition, mask, network="generator", conditional=True, masked=self.masked)

    def _check_size(self, height: int, width: int, otherwise: str) -> None:
        if any(side % self.size_multiple or side < self.smallest_size for side in (height, width)):
            raise ValueError(
                f"{self._name} takes heights and widths that are multiples of {self.size_multiple}, from "
                f"{self.smallest_size} on; {otherwise}"
            )


class ResNetTranslator(Translator):
    """Halving convolutions, residual blocks, and doublings back to the source's size (Johnson et al. 2016).

    As the generator of CycleGAN (Zhu et al. 2017, appendix 7.2). Convolutions that keep the size see their input
    mirrored at its border; those that change it see zeros there. As in the authors' code, convolutions have biases
    where the normalization brings no offset, though one that subtracts the mean undoes them: with `instance_plain` the
    parameters are the published ones.

    Args:
        sample_shape: (C, H, W) of what is made; C 1, 3 or 4; H and W divisible by 2 per downsampling.
        condition_shape: (C', H, W) of the source.
        masked: whether a mask of the holes comes in beside the source.
        blocks: residual blocks, 1 or more (paper: 9 for 256x256 and larger, 6 for 128x128).
        width: channels at full resolution, 1 or more (paper: 64); twice as many after each downsampling.
        downsamplings: 1 or more (paper: 2).
        normalization: of every convolution but the last: none, batch, layer, instance, instance_plain (the authors'
            code); or spectral, of all.
        dropout: share of the values within a block that is left out in training, from 0 (CycleGAN) to below 1 (.5 in
            pix2pix with this network).
        upsampling: transposed (paper), nearest, bilinear or blur, see `upsampling_layer`.
        initialization: normal (paper), he, xavier or orthogonal.
    Attributes:
        size_multiple, smallest_size: see `Translator`.
        feature_channels: of the `feature_maps`.
    Raises:
        ValueError: a value out of these ranges.
    """

    name = "resnet_translator"

    def __init__(
        self,
        *,
        sample_shape: Sequence[int],
        condition_shape: Sequence[int] | None,
        masked: bool,
        blocks: int,
        width: int,
        downsamplings: int,
        normalization: str,
        dropout: float,
        upsampling: str,
        initialization: str,
    ) -> None:
        multiple = 2 ** at_least("downsamplings", downsamplings, 1)
        super().__init__(
            self.name,
            sample_shape=sample_shape,
            condition_shape=condition_shape,
            masked=masked,
            size_multiple=multiple,
            smallest_size=2 * multiple,  # what is mirrored in the blocks has two rows and columns
            argument="downsamplings",
        )
        at_least("blocks", blocks, 1)
        channels = [at_least("width", width, 1) * 2**level for level in range(downsamplings + 1)]
        bias = not brings_offset(normalization)
        dropout = _share_left_out(dropout)

        self.down = nn.Sequential(
            nn.ReflectionPad2d(BORDER),
            nn.Conv2d(self.input_channels, width, 7, bias=bias),
            normalization_layer(normalization, width),
            nn.ReLU(),
        )
        for inputs, outputs in pairwise(channels):
            self.down.append(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=bias))
            self.down.append(normalization_layer(normalization, outputs))
            self.down.append(nn.ReLU())
        self.blocks = nn.Sequential(
            *(MirroredBlock(channels[-1], normalization=normalization, dropout=dropout) for _ in range(blocks))
        )
        self.up = nn.Sequential()
        for inputs, outputs in pairwise(channels[::-1]):
            self.up.append(upsampling_layer(upsampling, inputs, outputs, kernel_size=3, bias=bias))
            self.up.append(normalization_layer(normalization, outputs))
            self.up.append(nn.ReLU())
        self.output = nn.Sequential(nn.ReflectionPad2d(BORDER), nn.Conv2d(width, self.sample_shape[0], 7))

        for part in (self.down, self.blocks, self.up):
            initialize(part, initialization, gain=RELU_GAIN)
        initialize(self.output, initialization, gain=1.0)
        if normalization == "spectral":
            spectrally_normalize(self)
        self._middle = (blocks + 1) // 2  # the block, counted from one, after which features are taken last
        last = [channels[-1]] * (2 if self._middle > 1 else 1)
        self.feature_channels = [self.input_channels, *channels[1:], *last]

    def translate(self, pictures: Tensor) -> Tensor:
        """See `Translator.translate`."""
        return self.output(self.up(self.blocks(self.down(pictures))))

    def feature_sizes(self, height: int, width: int) -> list[int]:
        """Of sources of this size, how many places each of the `feature_maps` has."""
        halved = [(height >> level) * (width >> level) for level in range(1, self.size_multiple.bit_length())]
        own = [(height + 2 * BORDER) * (width + 2 * BORDER), *halved]
        return own + halved[-1:] * (len(self.feature_channels) - len(own))

    def feature_maps(self, condition: Tensor) -> list[Tensor]:
        """Of (B, C', H, W) sources what CUT compares (Park et al. 2020, appendix C.1), each (B, channels, H', W').

        The source with its mirrored border, what the downsampling convolutions give, and the blocks: the first, and
        that in the middle (of 9: the fifth). Those after it are not computed.
        """
        features, maps = condition, []
        for layer in self.down:
            features = layer(features)
            if isinstance(layer, nn.ReflectionPad2d) or (isinstance(layer, nn.Conv2d) and layer.stride[0] > 1):
                maps.append(features)
        for number, block in enumerate(self.blocks[: self._middle], start=1):
            features = block(features)
            if number in (1, self._middle):
                maps.append(features)
        return maps


class ResidualTranslator(ResNetTranslator):
    """A `ResNetTranslator` that makes what is to be added to the source, as the generator of DeblurGAN.

    The global skip connection of Kupyn et al. 2018 (section 3.2): where most of a source is to stay, as in restoring
    or colouring, or where two domains look much alike, it need not be learnt. An untrained network gives the source
    back: its last convolution begins at 0. What comes out is not bounded to [-1, 1], and a value beyond is cut off when
    it is rendered.

    Args:
        **settings: see `ResNetTranslator`; C' is C, or 1: a grey source is each of the sample's channels. Its
            normalization is not spectral, which knows no weights of 0.
    Raises:
        ValueError: sources of other channels, spectral normalization; and see `ResNetTranslator`.
    """

    name = "residual_translator"

    def __init__(self, **settings: Any) -> None:
        if settings["normalization"] == "spectral":
            raise ValueError(
                f"{self.name} begins with weights of 0, which spectral normalization would divide by their norm; set "
                "generator.normalization=instance_plain, or choose network=resnet_translator"
            )
        super().__init__(**settings)
        if self.condition_shape[0] not in (1, self.sample_shape[0]):
            raise ValueError(
                f"{self.name} adds to the source, and data.condition_shape={[*self.condition_shape]} has neither "
                f"one channel nor the {self.sample_shape[0]} of a sample; choose network=resnet_translator"
            )
        for parameter in self.output[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, condition: Tensor, mask: Tensor | None = None) -> Tensor:
        """See `Translator.forward`; (B, C, H, W) about [-1, 1]."""
        return condition + self.translate(self.sources(condition, mask))


class MirroredBlock(nn.Module):
    """Two 3x3 convolutions that see their input mirrored at its border, each normalized, and the input added.

    Args:
        channels: of what comes in and goes out.
        normalization: a name of `gan_lab.layers.normalization`.
        dropout: see `ResNetTranslator`.
    """

    def __init__(self, channels: int, *, normalization: str, dropout: float) -> None:
        super().__init__()
        bias = not brings_offset(normalization)
        self.residual = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            normalization_layer(normalization, channels),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            normalization_layer(normalization, channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, channels, H, W)."""
        return features + self.residual(features)


class UNetTranslator(Translator):
    """4x4 convolutions that halve the source down to a bottleneck; then back up, beside what each level was on the way.

    As the generator of pix2pix (Isola et al. 2017, appendix 6.1.1) in the authors' later PyTorch code, which departs
    from the paper: besides the first convolution and the last, the lowest level on the way down is not normalized,
    since of 1x1 of one picture nothing would be left; and dropout, where there is any, is in the steps up between
    levels of 8 widths but for the lowest, from 2 to 16 of 256 pixels instead of from 1 to 8. As there, no convolution
    but the last has a bias where the normalization brings an offset.

    Args:
        sample_shape: (C, H, W) of what is made; C 1, 3 or 4; H and W divisible by 2 per halving.
        condition_shape: (C', H, W) of the source.
        masked: whether a mask of the holes comes in beside the source.
        depth: number of halvings, 2 or more (paper: 8 for 256x256, so that the bottleneck is 1x1; 7 for 128x128).
        width: channels of the first level, 1 or more (paper: 64), doubled from level to level up to 8 times as many.
        normalization: none, batch (paper), layer, instance or instance_plain; or spectral, of all convolutions. At a
            batch of one, as the paper's, batch is in training what instance is, which has the same function afterwards.
        dropout: share of the values that is left out in training, from 0 to below 1 (paper: .5); more than 0 needs a
            depth of 6 or more, where there are such steps.
        upsampling: transposed (paper), nearest, bilinear or blur, see `upsampling_layer`.
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
        depth: int,
        width: int,
        normalization: str,
        dropout: float,
        upsampling: str,
        initialization: str,
    ) -> None:
        multiple = 2 ** at_least("depth", depth, 2)
        super().__init__(
            "unet_translator",
            sample_shape=sample_shape,
            condition_shape=condition_shape,
            masked=masked,
            size_multiple=multiple,
            smallest_size=multiple,
            argument="depth",
        )
        at_least("width", width, 1)
        channels = [width * min(2**level, MOST_TIMES_WIDTH) for level in range(depth)]
        lowest = depth - 1
        bias = not brings_offset(normalization)
        if _share_left_out(dropout) and lowest <= FIRST_DROPOUT:
            raise ValueError(
                f"generator.dropout={dropout} is for the steps up between levels of {MOST_TIMES_WIDTH} widths, and "
                f"generator.depth={depth} has none; set generator.dropout=0, or generator.depth={FIRST_DROPOUT + 2} or "
                "more"
            )

        self.down = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(self.input_channels, width, 4, stride=2, padding=1, bias=bias))]
        )
        for level, (inputs, outputs) in enumerate(pairwise(channels), start=1):
            step = nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=bias))
            if level != lowest:
                step.append(normalization_layer(normalization, outputs))
            self.down.append(step)
        self.up = nn.ModuleList()
        for level in range(lowest, 0, -1):
            inputs = channels[level] if level == lowest else 2 * channels[level]  # beside it, what the way down had
            step = nn.Sequential(
                nn.ReLU(),
                upsampling_layer(upsampling, inputs, channels[level - 1], kernel_size=4, bias=bias),
                normalization_layer(normalization, channels[level - 1]),
            )
            if FIRST_DROPOUT <= level < lowest:
                step.append(nn.Dropout(dropout))
            self.up.append(step)
        self.output = nn.Sequential(
            nn.ReLU(), upsampling_layer(upsampling, 2 * width, self.sample_shape[0], kernel_size=4, bias=True)
        )

        initialize(self.down, initialization, gain=RELU_GAIN)
        initialize(self.up, initialization, gain=RELU_GAIN)
        initialize(self.output, initialization, gain=1.0)
        if normalization == "spectral":
            spectrally_normalize(self)

    def translate(self, pictures: Tensor) -> Tensor:
        """See `Translator.translate`."""
        levels = []
        features = pictures
        for step in self.down:
            features = step(features)
            levels.append(features)
        levels.pop()
        for step in self.up:
            features = torch.cat([levels.pop(), step(features)], dim=1)
        return self.output(features)


def _share_left_out(dropout: float) -> float:
    if not 0 <= dropout < 1:
        raise ValueError(f"generator.dropout is a share, from 0 to below 1; got {dropout}")
    return dropout
