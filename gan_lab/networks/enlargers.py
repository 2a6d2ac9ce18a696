"""Generators that enlarge a picture: the residual network of SRGAN without normalization, and ESRGAN's RRDB network."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from gan_lab.layers.checks import at_least
from gan_lab.layers.initialization import RELU_GAIN, initialize
from gan_lab.layers.resampling import doubling
from gan_lab.networks.translators import Translator

FACTORS = (2, 4, 8)
SMALL = 0.1  # of He's deviation: what residual blocks begin with (Wang et al. 2018, section 3.1)
TORCH_GAIN = 3**-0.5  # with which "he" has the deviation of torch's own initialization of convolutions


class Enlarger(Translator):
    """What enlargers share: convolutions of stride 1 at the source's size, so that any size is taken; then doublings.

    The last convolution is linear, as in the authors' code: values may lie a little beyond [-1, 1], and are clamped
    where they become levels, not before, since a clamped value has no gradient.

    Args, Raises: see `Translator`; a masked one is refused.
    Attributes:
        doublings: log2 of `factor`.
    """

    def __init__(
        self, name: str, *, sample_shape: Sequence[int], condition_shape: Sequence[int] | None, masked: bool
    ) -> None:
        super().__init__(
            name,
            sample_shape=sample_shape,
            condition_shape=condition_shape,
            masked=masked,
            size_multiple=1,
            smallest_size=1,
            argument="width",
            factors=FACTORS,
        )
        self.doublings = FACTORS.index(self.factor) + 1

    def forward(self, condition: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, C', H, W) in [-1, 1] -> (B, C, factor * H, factor * W) about [-1, 1].

        Raises:
            ValueError: a mask is given.
        """
        return self.translate(self.sources(condition, mask))


class SRResNet(Enlarger):
    """Residual blocks without normalization, pixel shuffles, and the source bilinearly enlarged is added.

    This is the modified SRResNet (MSRResNet) of BasicSR; at 64 channels, 16 blocks and 3 colours it has 1,517,571
    parameters for x4 and 1,369,859 for x2. Of the network of SRGAN (Ledig et al. 2017, figure 4) it departs in having
    no batch normalization, rectifiers without parameters, 3x3 convolutions alone, and no skip over the blocks but that
    of the picture.

    Args:
        sample_shape: (C, H, W) of what is made; C 1, 3 or 4.
        condition_shape: (C', H / f, W / f) of the source, f 2, 4 or 8; C' is C, or 1, which is repeated.
        masked: refused.
        blocks: residual blocks, 1 or more (16).
        width: channels, 1 or more (64).
        initialization: he (the authors' code, of a tenth of the deviation), normal, xavier or orthogonal.
    Attributes:
        factor, size_multiple, smallest_size: see `Translator`.
    Raises:
        ValueError: a value out of these ranges.
    """

    def __init__(
        self,
        *,
        sample_shape: Sequence[int],
        condition_shape: Sequence[int] | None,
        masked: bool,
        blocks: int,
        width: int,
        initialization: str,
    ) -> None:
        super().__init__("srresnet", sample_shape=sample_shape, condition_shape=condition_shape, masked=masked)
        at_least("blocks", blocks, 1)
        at_least("width", width, 1)
        channels = self.sample_shape[0]
        if self.condition_shape[0] not in (1, channels):
            raise ValueError(
                f"srresnet adds the enlarged source to what it makes; data.condition_shape has "
                f"{self.condition_shape[0]} channels and data.sample_shape {channels}; choose data in which they "
                "agree, or network=rrdb"
            )
        self.first = nn.Sequential(_convolution(self.input_channels, width), nn.LeakyReLU(0.1))
        self.blocks = nn.Sequential(*(PlainBlock(width) for _ in range(blocks)))
        self.up = nn.Sequential()
        for _ in range(self.doublings):
            self.up.extend([_convolution(width, 4 * width), nn.PixelShuffle(2), nn.LeakyReLU(0.1)])
        self.output = nn.Sequential(_convolution(width, width), nn.LeakyReLU(0.1), _convolution(width, channels))
        initialize(self, initialization, gain=SMALL * RELU_GAIN)

    def translate(self, pictures: Tensor) -> Tensor:
        """See `Translator.translate`."""
        enlarged = interpolate(pictures, scale_factor=self.factor, mode="bilinear", align_corners=False)
        return enlarged + self.output(self.up(self.blocks(self.first(pictures))))


class PlainBlock(nn.Module):
    """Two 3x3 convolutions and a rectifier between them, and the input added.

    Args:
        channels: of what comes in and goes out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(_convolution(channels, channels), nn.ReLU(), _convolution(channels, channels))

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, channels, H, W)."""
        return features + self.residual(features)


class RRDB(Enlarger):
    """Residual-in-residual dense blocks, then doublings of nearest pixels with a convolution each (Wang et al. 2018).

    ESRGAN, section 3.1, in BasicSR's form; at 64 channels, 23 blocks, growth 32 and 3 colours it has 16,697,987
    parameters for x4. For x2 it has one doubling, 16,661,059; BasicSR's instead halves the source and doubles it twice.

    Args:
        sample_shape: (C, H, W) of what is made; C 1, 3 or 4.
        condition_shape: (C', H / f, W / f) of the source, f 2, 4 or 8.
        masked: refused.
        blocks: of three dense blocks each, 1 or more (paper: 23).
        width: channels between blocks, 1 or more (64).
        growth: channels that a convolution within a dense block adds, 1 or more (32).
        residual_scale: what is added is multiplied by it, more than 0 and at most 1 (paper: .2).
        initialization: he (within the blocks of a tenth of the deviation, as section 3.1; elsewhere of torch's own),
            normal, xavier or orthogonal.
    Attributes:
        factor, size_multiple, smallest_size: see `Translator`.
    Raises:
        ValueError: a value out of these ranges.
    """

    def __init__(
        self,
        *,
        sample_shape: Sequence[int],
        condition_shape: Sequence[int] | None,
        masked: bool,
        blocks: int,
        width: int,
        growth: int,
        residual_scale: float,
        initialization: str,
    ) -> None:
        super().__init__("rrdb", sample_shape=sample_shape, condition_shape=condition_shape, masked=masked)
        at_least("blocks", blocks, 1)
        at_least("width", width, 1)
        at_least("growth", growth, 1)
        if not 0 < residual_scale <= 1:
            raise ValueError(f"generator.residual_scale must be more than 0 and at most 1; got {residual_scale}")
        self.first = _convolution(self.input_channels, width)
        self.blocks = nn.Sequential(*(ResidualInResidual(width, growth, residual_scale) for _ in range(blocks)))
        self.last = _convolution(width, width)
        self.up = nn.Sequential()
        for _ in range(self.doublings):
            self.up.extend([doubling("nearest"), _convolution(width, width), nn.LeakyReLU(0.2)])
        self.output = nn.Sequential(
            _convolution(width, width), nn.LeakyReLU(0.2), _convolution(width, self.sample_shape[0])
        )
        initialize(self.blocks, initialization, gain=SMALL * RELU_GAIN)
        for part in (self.first, self.last, self.up, self.output):
            initialize(part, initialization, gain=TORCH_GAIN)

    def translate(self, pictures: Tensor) -> Tensor:
        """See `Translator.translate`."""
        features = self.first(pictures)
        return self.output(self.up(features + self.last(self.blocks(features))))


class ResidualInResidual(nn.Module):
    """Three dense blocks in a row, and the input added to what they give, scaled.

    Args:
        channels, growth, scale: see `DenseBlock`.
    """

    def __init__(self, channels: int, growth: int, scale: float) -> None:
        super().__init__()
        self.dense = nn.Sequential(*(DenseBlock(channels, growth, scale) for _ in range(3)))
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, channels, H, W)."""
        return features + self.scale * self.dense(features)


class DenseBlock(nn.Module):
    """Four 3x3 convolutions, each of all that came before it, a fifth of all of them, and the input is added.

    Args:
        channels: of what comes in and goes out.
        growth: channels of each of the four.
        scale: of what the fifth gives.
    """

    def __init__(self, channels: int, growth: int, scale: float) -> None:
        super().__init__()
        self.growing = nn.ModuleList(_convolution(channels + number * growth, growth) for number in range(4))
        self.last = _convolution(channels + 4 * growth, channels)
        self.rectifier = nn.LeakyReLU(0.2)
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, channels, H, W)."""
        so_far = features
        for convolution in self.growing:
            so_far = torch.cat([so_far, self.rectifier(convolution(so_far))], dim=1)
        return features + self.scale * self.last(so_far)


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)
