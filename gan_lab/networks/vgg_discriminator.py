"""The discriminator of SRGAN and ESRGAN, which judges a whole picture of one size (Ledig et al. 2017, section 2.1)."""

from collections.abc import Sequence

from torch import Tensor, nn

from gan_lab.layers.checks import at_least, divided_grid, image_shape
from gan_lab.layers.initialization import RELU_GAIN, initialize
from gan_lab.layers.normalization import brings_offset, normalization_layer, spectrally_normalize
from gan_lab.layers.order import layers_in_order

MOST_TIMES_WIDTH = 8  # channels of the lower stages, in widths


class VGGDiscriminator(nn.Module):
    """`depth` pairs of a 3x3 convolution and a halving 4x4 one, then two dense layers; it sees samples alone.

    As VGGStyleDiscriminator of BasicSR, which takes 128x128 with 5 halvings, so that 4x4 positions go to the first
    dense layer; that of SRGAN's paper halves 4 times, by 3x3 convolutions. At 64 channels, 3 colours and batch
    normalization it has 14,499,401 parameters there, and wherever 5 halvings leave 16 positions (64x256); at another
    size the dense layer alone differs, by 51,200 for each position. Unlike the generators it takes pictures of
    `sample_shape` alone.

    Args:
        sample_shape: (C, H, W); C 1, 3 or 4; H and W divisible by 2 per halving, with 2 or more left.
        depth: halvings, 1 or more (5).
        width: channels of the first stage, 1 or more (64), doubled from stage to stage up to 8 times as many.
        hidden: outputs of the first dense layer, 1 or more (100).
        normalization: of every convolution but the first: none, batch (papers), layer, instance or instance_plain; or
            spectral, of all.
        initialization: normal, he, xavier or orthogonal.
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
        depth: int,
        width: int,
        hidden: int,
        normalization: str,
        initialization: str,
    ) -> None:
        super().__init__()
        self.sample_shape = image_shape("vgg_discriminator", sample_shape)
        at_least("discriminator.depth", depth, 1)
        at_least("width", width, 1)
        at_least("hidden", hidden, 1)
        grid = divided_grid("vgg_discriminator", self.sample_shape, depth, "discriminator.depth")
        bias = not brings_offset(normalization)

        inputs = self.sample_shape[0]
        self.stages = nn.Sequential()
        for stage in range(depth):
            outputs = width * min(2**stage, MOST_TIMES_WIDTH)
            first = stage == 0
            self.stages.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias or first))
            if not first:
                self.stages.append(normalization_layer(normalization, outputs))
            self.stages.append(nn.LeakyReLU(0.2))
            self.stages.append(nn.Conv2d(outputs, outputs, 4, stride=2, padding=1, bias=bias))
            self.stages.append(normalization_layer(normalization, outputs))
            self.stages.append(nn.LeakyReLU(0.2))
            inputs = outputs
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(inputs * grid[0] * grid[1], hidden), nn.LeakyReLU(0.2))
        self.output = nn.Linear(hidden, 1)

        for part in (self.stages, self.hidden):
            initialize(part, initialization, gain=RELU_GAIN)
        initialize(self.output, initialization, gain=1.0)
        if normalization == "spectral":
            spectrally_normalize(self)

    def layers_from_image(self) -> dict[str, list[nn.Parameter]]:
        """Layers from the image on, for `model.freeze`."""
        return layers_in_order(self)

    def forward(self, samples: Tensor) -> Tensor:
        """(B, *sample_shape) -> (B,) logits."""
        return self.output(self.hidden(self.stages(samples))).squeeze(1)
