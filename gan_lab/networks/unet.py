"""The discriminator of U-Net GAN (Schönfeld et al. 2020): one judgement of the image, and one of each pixel."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from gan_lab.layers.checks import divided_grid, image_shape, stage_channels
from gan_lab.layers.conditioning import checked_classes, with_one_hot
from gan_lab.layers.initialization import initialize
from gan_lab.layers.normalization import spectrally_normalize
from gan_lab.networks.resnet import FirstBlock, ResidualBlock


class UNetDiscriminator(nn.Module):
    """Halving residual blocks, and doubling ones back to the image's size that also see each level on the way down.

    The linear unit on the rectified, summed features of the lowest level judges the image; a 1x1 convolution at the end
    judges each pixel (section 3.1). Both are given the same room, so that a loss that is averaged over logits is half
    the paper's sum of the two losses, which Adam does not tell from the whole.

    The paper's consistency under CutMix (section 3.2) has no part in it. Regularizers that take D's slope take that of
    the mean of all logits of a sample, as losses do.

    Args:
        sample_shape: (C, H, W); C 1, 3 or 4; H and W divisible by 2 per multiplier.
        width: channels of a level whose multiplier is 1.
        multipliers: of the levels, each half the size of the one before; the first is half the size of the image.
        normalization: of all blocks but the first: none, batch, layer, instance, instance_plain; or spectral (paper),
            of all layers.
        initialization: normal, he, xavier or orthogonal (paper).
        conditioning: none; or concatenation of image and label.
        num_classes: of the labels, where there is conditioning.
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
        width: int,
        multipliers: Sequence[int],
        normalization: str,
        initialization: str,
        conditioning: str = "none",
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        self.sample_shape = image_shape("unet_discriminator", sample_shape)
        channels = stage_channels(width, multipliers)
        divided_grid("unet_discriminator", self.sample_shape, len(multipliers), "discriminator.multipliers")
        choices = ("none", "concatenation")
        self.label_channels = checked_classes("discriminator", conditioning, num_classes, choices)
        block = partial(ResidualBlock, normalization=normalization, initialization=initialization, bias=True)

        inputs = self.sample_shape[0] + self.label_channels
        self.first = FirstBlock(inputs, channels[0], initialization=initialization)
        self.down = nn.ModuleList(block(above, above, below, resampling="halve") for above, below in pairwise(channels))
        self.up = nn.ModuleList()
        inputs = channels[-1]
        for outputs in [*channels[-2::-1], channels[0]]:
            self.up.append(block(inputs, outputs, outputs, resampling="double"))
            inputs = 2 * outputs  # what the block makes, and what the way down had at this level
        self.image_output = nn.Linear(channels[-1], 1)
        self.pixel_output = nn.Sequential(nn.ReLU(), nn.Conv2d(channels[0], 1, 1))
        initialize(self.image_output, initialization, gain=1.0)
        initialize(self.pixel_output, initialization, gain=1.0)
        if normalization == "spectral":
            spectrally_normalize(self)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W), and (B,) int64 of a conditional one -> (B, 2, H, W) logits.

        The first channel is the image's, the same everywhere; the second has the pixels'.
        """
        levels = [self.first(with_one_hot(samples, labels, self.label_channels))]
        for block in self.down:
            levels.append(block(levels[-1]))
        features = levels.pop()
        image = self.image_output(features.relu().sum((2, 3)))
        for block in self.up:
            features = block(features)
            if levels:
                features = torch.cat([features, levels.pop()], dim=1)
        pixels = self.pixel_output(features)
        return torch.cat([image[..., None, None].expand_as(pixels), pixels], dim=1)
