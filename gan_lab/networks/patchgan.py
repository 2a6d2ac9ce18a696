"""The discriminators of pix2pix (Isola et al. 2017, section 3.2.2), which judge each patch of a picture by itself."""

from collections.abc import Sequence

from torch import Tensor, nn

from gan_lab.layers.checks import at_least, image_shape, source_shape
from gan_lab.layers.conditioning import with_pictures
from gan_lab.layers.initialization import RELU_GAIN, initialize
from gan_lab.layers.normalization import brings_offset, normalization_layer, spectrally_normalize
from gan_lab.layers.order import layers_in_order

MOST_LAYERS = 6
MOST_TIMES_WIDTH = 8  # channels of the lower layers, in widths
SMALLEST_GRID = 3  # that two 4x4 convolutions with a border of one leave something of


class PatchDiscriminator(nn.Module):
    """`layers` convolutions of stride 2 and two of stride 1, all 4x4: a logit sees 9 * 2**layers - 2 pixels squared.

    That is 16, 34, 70 (paper, CycleGAN), 142, 286 and 574 pixels for 1 to 6 layers. With `layers` 0 it is the pixelGAN
    (appendix 6.1.2): 1x1 convolutions, which judge each pixel by its colour. As in the authors' code, convolutions
    before a normalization have a bias where that brings no offset. Departure from it: the pixelGAN's logit has a bias
    at all times, as a patch's has.

    It takes pictures of any size from 3 * 2**layers on, not of `sample_shape` alone. A loss is the mean over the logits
    of a picture.

    Args:
        sample_shape: (C, H, W); C 1, 3 or 4; H and W 3 * 2**layers or more.
        condition_shape: (C', H, W) of the source that the samples are judged with; null for D that sees samples alone.
        masked: whether a mask of the holes comes in as a further channel.
        layers: from 0 to 6.
        width: channels of the first layer, 1 or more (paper: 64), doubled from layer to layer up to 8 times as many.
        normalization: of every convolution but the first and the last: none, batch (paper), layer, instance,
            instance_plain (CycleGAN's code); or spectral, of all.
        initialization: normal (paper), he, xavier or orthogonal.
    Attributes:
        judgement: see `GANModule`.
    Raises:
        ValueError: a value out of these ranges.
    """

    judgement = "logits"

    def __init__(
        self,
        *,
        sample_shape: Sequence[int],
        condition_shape: Sequence[int] | None,
        masked: bool,
        layers: int,
        width: int,
        normalization: str,
        initialization: str,
    ) -> None:
        super().__init__()
        self.sample_shape = image_shape("patchgan", sample_shape)
        self.condition_shape = (
            None if condition_shape is None else source_shape("patchgan", condition_shape, self.sample_shape)
        )
        self.masked = masked
        at_least("width", width, 1)
        _check_layers(layers, self.sample_shape)
        bias = not brings_offset(normalization)
        if layers == 0:
            kernel_size, padding, channels = 1, 0, [width, 2 * width]
        else:
            kernel_size, padding = 4, 1
            channels = [width * min(2**layer, MOST_TIMES_WIDTH) for layer in range(layers + 1)]

        inputs = self.sample_shape[0] + (self.condition_shape[0] if self.condition_shape else 0) + masked
        self.layers = nn.Sequential()
        for layer, outputs in enumerate(channels):
            stride = 2 if layer < layers else 1
            first = layer == 0
            self.layers.append(nn.Conv2d(inputs, outputs, kernel_size, stride, padding, bias=bias or first))
            if not first:
                self.layers.append(normalization_layer(normalization, outputs))
            self.layers.append(nn.LeakyReLU(0.2))
            inputs = outputs
        self.output = nn.Conv2d(inputs, 1, kernel_size, padding=padding)

        initialize(self.layers, initialization, gain=RELU_GAIN)
        initialize(self.output, initialization, gain=1.0)
        if normalization == "spectral":
            spectrally_normalize(self)

    def layers_from_image(self) -> dict[str, list[nn.Parameter]]:
        """Layers from the image on, for `model.freeze`."""
        return layers_in_order(self)

    def forward(self, samples: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """(B, C, H, W), (B, C', H, W) of a conditional one, (B, 1, H, W) of a masked one -> (B, 1, h, w) logits.

        Raises:
            ValueError: a condition or a mask is missing, or given to a network that was built for none.
        """
        conditional = self.condition_shape is not None
        seen = with_pictures(
            samples, condition, mask, network="discriminator", conditional=conditional, masked=self.masked
        )
        return self.output(self.layers(seen))


def _check_layers(layers: int, shape: tuple[int, int, int]) -> None:
    if not 0 <= layers <= MOST_LAYERS:
        raise ValueError(f"discriminator.layers must be from 0 to {MOST_LAYERS}; got {layers}")
    _, height, width = shape
    smallest = SMALLEST_GRID * 2**layers if layers else 1
    if min(height, width) < smallest:
        raise ValueError(
            f"patchgan halves pictures {layers} times (discriminator.layers), and its last two convolutions take two "
            f"pixels of the rest, so it takes heights and widths from {smallest} on; data.sample_shape has "
            f"{height}x{width}; set data.image_size to such a size, or take fewer discriminator.layers (0: a pixelGAN)"
        )
