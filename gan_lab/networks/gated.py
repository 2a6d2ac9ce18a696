"""The networks of DeepFill v2 (Yu et al. 2019): two stages of gated convolutions, and SN-PatchGAN."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_lab.layers.checks import at_least, image_shape
from gan_lab.layers.conditioning import with_pictures
from gan_lab.layers.contextual_attention import contextual_attention
from gan_lab.layers.gated_convolution import GATED_GAIN, GatedConv2d
from gan_lab.layers.initialization import RELU_GAIN, initialize
from gan_lab.layers.normalization import spectrally_normalize
from gan_lab.layers.resampling import doubling
from gan_lab.networks.inpainting import StagedInpainter, known

DILATIONS = (2, 4, 8, 16)
STRIDES = (1, 2, 1, 2, 1, 1)  # of the layers that lead down to a quarter of the size
MULTIPLIERS = (1, 2, 4, 4, 4, 4)  # of D's layers, in widths
SEEN_AT_ONCE = 4  # pixels of a source along each side of a place at a quarter of its size


class GatedInpainter(StagedInpainter):
    """A coarse stage fills the hole; a refining one is given that picture, and makes it anew (section 3.2, figure 3).

    Both go down to a quarter of the size and back up by nearest neighbours, with dilated convolutions in between;
    nothing is normalized. With `attention` the refining stage has a second branch beside that, which puts its features
    together of known ones, see `contextual_attention`. Layers and channels are those of the authors' code (v2.0.0), in
    which half of a convolution's maps are gates: with 3 channels and a width of 48 there are 4,052,478 parameters. The
    coarse stage is given a channel of ones, which tells the picture from the zeros around it.

    Pictures of any size that is a multiple of `size_multiple` are filled.

    Args:
        sample_shape, condition_shape, masked: see `Inpainter`; H and W divisible by 4, or by 8 with attention.
        width: maps of the first layer, of which half are gates; a multiple of 4 (paper: 48).
        attention: whether there is the second branch (paper: true). Where every 24x24 pixels touch the hole, as may be
            in small pictures, it has nothing to look at.
        initialization: he, which keeps the mean square of features from layer to layer through the gates; normal,
            xavier (of no gain: the authors' code) or orthogonal. The paper says nothing.
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
        width: int,
        attention: bool,
        initialization: str,
    ) -> None:
        multiple = 2 * SEEN_AT_ONCE if attention else SEEN_AT_ONCE
        super().__init__(
            "gated",
            sample_shape=sample_shape,
            condition_shape=condition_shape,
            masked=masked,
            size_multiple=multiple,
            smallest_size=multiple,
            argument="attention",
        )
        if width < 4 or width % 4:
            raise ValueError(f"width must be a multiple of 4, of which half and a quarter are whole; got {width}")
        channels, c = self.sample_shape[0], width

        self.coarse = nn.Sequential(
            *_down(channels + 2, (c, 2 * c, 2 * c, 4 * c, 4 * c, 4 * c)), *_dilated(4 * c), *_up(2 * c, c, channels)
        )
        self.refining = nn.Sequential(*_down(channels, (c, c, 2 * c, 2 * c, 4 * c, 4 * c)), *_dilated(4 * c))
        self.looking: nn.Module | None = None
        if attention:
            self.looking = nn.Sequential(*_down(channels, (c, c, 2 * c, 4 * c, 4 * c)))
            self.looking.append(GatedConv2d(2 * c, 4 * c, 3, activation=nn.ReLU))  # of patches without signs
            self.found = nn.Sequential(GatedConv2d(2 * c, 4 * c, 3), GatedConv2d(2 * c, 4 * c, 3))
        self.output = nn.Sequential(*_up(4 * c if attention else 2 * c, c, channels))

        gain = GATED_GAIN if initialization == "he" else 1.0
        initialize(self, initialization, gain=gain)
        for last in (self.coarse[-1], self.output[-1]):
            initialize(last, initialization, gain=1.0)

    def stages(self, condition: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The pictures of both stages; see `StagedInpainter.stages`."""
        seen = torch.cat([known(condition, mask), torch.ones_like(mask), mask], dim=1)
        coarse = self.coarse(seen).tanh()
        picture = self.pasted(coarse, condition, mask)
        features = self.refining(picture)
        if self.looking is not None:
            found = self.found(contextual_attention(self.looking(picture), mask))
            features = torch.cat([features, found], dim=1)
        return coarse, self.output(features).tanh()


class MaskedPatchDiscriminator(nn.Module):
    """SN-PatchGAN: 5x5 convolutions of stride 2 with spectral normalization, whose every value is a logit (3.3).

    Of a picture of 256x256 and six layers that are 4x4 places of 256 logits; with six layers each place sees all of the
    picture, so that each judges it as a whole, beginning from another place. As in the authors' code, the last layer
    has a leaky ReLU, too. A loss is the mean over all logits of a picture.

    It takes pictures of any size.

    Args:
        sample_shape: (C, H, W); C 1, 3 or 4.
        masked: whether the mask of the hole comes in as a further channel (paper: true).
        layers: from 1 to 6 (paper: 6, for 256x256).
        width: channels of the first layer, 1 or more (paper: 64), then twice and four times as many.
        initialization: normal, he, xavier or orthogonal.
    Attributes:
        judgement: see `GANModule`.
    Raises:
        ValueError: a value out of these ranges.
    """

    judgement = "logits"
    condition_shape = None

    def __init__(
        self, *, sample_shape: Sequence[int], masked: bool, layers: int, width: int, initialization: str
    ) -> None:
        super().__init__()
        self.sample_shape = image_shape("gated", sample_shape)
        self.masked = masked
        if not 1 <= layers <= len(MULTIPLIERS):
            raise ValueError(f"discriminator.layers must be from 1 to {len(MULTIPLIERS)}; got {layers}")
        inputs = self.sample_shape[0] + masked
        self.layers = nn.Sequential()
        for multiplier in MULTIPLIERS[:layers]:
            outputs = multiplier * at_least("width", width, 1)
            self.layers.append(nn.Conv2d(inputs, outputs, 5, stride=2, padding=2))
            self.layers.append(nn.LeakyReLU(0.2))
            inputs = outputs
        initialize(self, initialization, gain=RELU_GAIN)
        spectrally_normalize(self)

    def forward(self, samples: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, C, H, W), and (B, 1, H, W) of a masked one -> (B, 4 width, h, w) logits.

        Raises:
            ValueError: a mask is missing, or given to a network that was built for none.
        """
        return self.layers(
            with_pictures(samples, None, mask, network="discriminator", conditional=False, masked=self.masked)
        )


def _down(inputs: int, maps: Sequence[int]) -> list[nn.Module]:
    """Gated convolutions to a quarter of the size, of so many maps each; the first is 5x5."""
    layers: list[nn.Module] = []
    for number, (outputs, stride) in enumerate(zip(maps, STRIDES, strict=False)):
        layers.append(GatedConv2d(inputs, outputs, 5 if number == 0 else 3, stride=stride))
        inputs = outputs // 2
    return layers


def _dilated(maps: int) -> list[nn.Module]:
    return [GatedConv2d(maps // 2, maps, 3, dilation=dilation) for dilation in DILATIONS]


def _up(inputs: int, c: int, channels: int) -> list[nn.Module]:
    """From a quarter of the size to a picture, before its tanh; `c` is the width."""
    return [
        GatedConv2d(inputs, 4 * c, 3),
        GatedConv2d(2 * c, 4 * c, 3),
        doubling(),
        GatedConv2d(2 * c, 2 * c, 3),
        GatedConv2d(c, 2 * c, 3),
        doubling(),
        GatedConv2d(c, c, 3),
        GatedConv2d(c // 2, c // 2, 3),
        nn.Conv2d(c // 4, channels, 3, padding=1),
    ]
