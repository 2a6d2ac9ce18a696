"""The networks of CoModGAN (Zhao et al. 2021, section 3.2), on StyleGAN2's layers, for any height and width."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lab.layers.checks import at_least
from gan_lab.layers.equalized import LEAKY_GAIN, EqualizedConv2d, EqualizedLinear
from gan_lab.layers.filtered_resampling import FilteredDoubling
from gan_lab.networks.inpainting import Inpainter, known, pasted
from gan_lab.networks.stylegan2 import (
    SLOPE,
    MappingNetwork,
    StyledConv,
    StyleGAN2Discriminator,
    ToImage,
    grid_of,
    stage_channels,
)

VECTOR_WIDTHS = 2  # channels of the grid in the vector that the encoder ends with


class Encoder(nn.Module):
    """From a picture and its mask to a vector, by way of a map of each resolution down to the grid.

    Args:
        inputs: channels of what comes in.
        channels: of the resolutions, from the picture to the grid.
        grid: height and width of the latter.
        dropout: see `CoModGenerator`.
    """

    def __init__(self, inputs: int, channels: Sequence[int], grid: tuple[int, int], dropout: float) -> None:
        super().__init__()
        self.of_pictures = _convolution(inputs, channels[0], 1)
        self.keeping = nn.ModuleList(_convolution(count, count, 3) for count in channels)
        self.halving = nn.ModuleList(
            _convolution(finer, coarser, 3, halving=True) for finer, coarser in pairwise(channels)
        )
        self.vector_dim = VECTOR_WIDTHS * channels[-1]
        self.vector = nn.Sequential(
            nn.Flatten(),
            EqualizedLinear(channels[-1] * math.prod(grid), self.vector_dim, gain=LEAKY_GAIN),
            nn.LeakyReLU(SLOPE),
        )
        self.dropout = dropout

    def forward(self, pictures: Tensor, kept: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Vector and maps.

        Args:
            pictures: (B, inputs, H, W).
            kept: (B, vector_dim) bool, which of the vector's values go on in training; None to draw it.
        Returns:
            (B, vector_dim), and (B, channels, h, w) of each resolution from the grid to the picture.
        """
        features, maps = self.of_pictures(pictures), []
        for keeping, halving in zip(self.keeping, [*self.halving, None], strict=True):
            features = keeping(features)
            maps.append(features)
            if halving is not None:
                features = halving(features)
        vector = self.vector(features)
        if self.training and kept is not None:
            vector = vector * kept / (1 - self.dropout)
        else:
            vector = F.dropout(vector, self.dropout, self.training)
        return vector, maps[::-1]


class CoModGenerator(Inpainter):
    """A source through an encoder, a latent through a mapping: both together modulate StyleGAN2's convolutions (eq. 3).

    The encoder's vector also makes the grid that StyleGAN2 learns as a constant; its map of each resolution is added
    there, and the picture is pasted into the source. Channels and layers are those of the authors' code.

    Departure: there, the vector's dropout is never off; here it is in training alone, so that a sample depends on
    source, latent and noise only. Nothing truncates styles.

    Args:
        sample_shape, condition_shape, masked: see `Inpainter`; sides of 8 to 1024, see `stage_channels`. Sources of
            this size alone are taken.
        latent_dim: length of a latent, 1 or more (paper: 512).
        w_dim: length of w, 1 or more (paper: 512).
        depth: layers of the mapping network, 1 or more (paper: 8).
        width: channels at full resolution, doubling towards the grid (paper: 64 at 512 pixels, 128 at 256).
        max_width: the most channels of any resolution, `width` or more (paper: 512).
        dropout: share of the vector's values that is left out in training, from 0 to below 1 (paper: 0.5).
    Attributes:
        num_layers: how many w a picture takes.
        noise_size: numbers of noise that a picture takes, one per pixel of each convolution.
        vector_dim: length of the encoder's vector.
        own_size_alone: that sources of other sizes are refused.
    Raises:
        ValueError: a value out of these ranges.
    """

    own_size_alone = True

    def __init__(
        self,
        *,
        sample_shape: Sequence[int],
        condition_shape: Sequence[int] | None,
        masked: bool,
        latent_dim: int,
        w_dim: int,
        depth: int,
        width: int,
        max_width: int,
        dropout: float,
    ) -> None:
        super().__init__(
            "comodgan",
            sample_shape=sample_shape,
            condition_shape=condition_shape,
            masked=masked,
            size_multiple=1,
            smallest_size=1,
            argument="width",
        )
        if not 0 <= dropout < 1:
            raise ValueError(f"generator.dropout is a share, from 0 to below 1; got {dropout}")
        self.latent_dim = at_least("latent_dim", latent_dim, 1)
        at_least("w_dim", w_dim, 1)
        channels = stage_channels("comodgan", self.sample_shape, width, max_width)
        colours, grid = self.sample_shape[0], grid_of(self.sample_shape)

        self.mapping = MappingNetwork(latent_dim, w_dim, depth)
        self.encoder = Encoder(colours + 1, channels[::-1], grid, dropout)
        self.vector_dim = self.encoder.vector_dim
        style_dim = w_dim + self.vector_dim
        self.grid = nn.Sequential(
            EqualizedLinear(self.vector_dim, channels[0] * math.prod(grid), gain=LEAKY_GAIN),
            nn.LeakyReLU(SLOPE),
            nn.Unflatten(1, (channels[0], *grid)),
        )
        self.convolutions = nn.ModuleList([StyledConv(channels[0], channels[0], style_dim, doubling=False)])
        self.to_image = nn.ModuleList([ToImage(channels[0], colours, style_dim)])
        self._sides = [grid]
        for stage, (inputs, outputs) in enumerate(pairwise(channels), start=1):
            self.convolutions.append(StyledConv(inputs, outputs, style_dim, doubling=True))
            self.convolutions.append(StyledConv(outputs, outputs, style_dim, doubling=False))
            self.to_image.append(ToImage(outputs, colours, style_dim))
            self._sides += 2 * [(grid[0] * 2**stage, grid[1] * 2**stage)]
        self.doubling = FilteredDoubling()
        self.num_layers = len(self.convolutions) + 1
        self.noise_size = sum(map(math.prod, self._sides))

    def forward(
        self,
        condition: Tensor,
        mask: Tensor | None = None,
        latents: Tensor | None = None,
        *,
        second: Tensor | None = None,
        crossover: Tensor | None = None,
        noise: Tensor | None = None,
        kept: Tensor | None = None,
    ) -> Tensor:
        """Pictures whose known pixels are the source's own.

        Args:
            condition: (B, C, H, W) in [-1, 1].
            mask: (B, 1, H, W), 1 in the hole.
            latents: (B, latent_dim).
            second, crossover: (B, latent_dim), whose w rules from layer `crossover`, (B,) int64, on; None: no mixing.
            noise: (B, noise_size) standard normal; None to draw it from the default generator of the device.
            kept: (B, vector_dim) bool, which values of the encoder's vector go on in training; None to draw it there.
        Returns:
            (B, C, H, W), in the hole about [-1, 1], which nothing enforces.
        Raises:
            ValueError: no mask or no latents, or a source of another size.
        """
        mask = self.checked_mask(condition, mask)
        if condition.shape[1:] != self.sample_shape:
            raise ValueError(
                f"comodgan takes sources of {list(self.sample_shape)} alone, got {list(condition.shape[1:])}; resize "
                "or cut them"
            )
        if latents is None:
            raise ValueError(f"CoModGenerator was given no latents: (B, {self.latent_dim}), beside condition and mask")
        vector, maps = self.encoder(torch.cat([0.5 - mask, known(condition, mask)], dim=1), kept)
        w = self._styles(latents, second, crossover)
        styles = torch.cat([w, vector.unsqueeze(1).expand(-1, self.num_layers, -1)], dim=2)
        return pasted(self._synthesis(vector, maps, styles, noise), condition, mask)

    def _styles(self, latents: Tensor, second: Tensor | None, crossover: Tensor | None) -> Tensor:
        """(B, num_layers, w_dim): the w of each layer, of one latent or of two."""
        w = self.mapping(latents).unsqueeze(1).expand(-1, self.num_layers, -1)
        if second is None or crossover is None:
            return w
        first_rules = torch.arange(self.num_layers, device=w.device) < crossover[:, None]
        return torch.where(first_rules[..., None], w, self.mapping(second).unsqueeze(1))

    def _synthesis(self, vector: Tensor, maps: list[Tensor], styles: Tensor, noise: Tensor | None) -> Tensor:
        if noise is None:
            noise = torch.randn(len(vector), self.noise_size, device=vector.device, dtype=vector.dtype)
        noises = [
            values.unflatten(1, (1, *sides))
            for values, sides in zip(noise.split([math.prod(s) for s in self._sides], 1), self._sides, strict=True)
        ]
        features = self.grid(vector) + maps[0]
        image: Tensor | None = None
        for layer, convolution in enumerate(self.convolutions):
            features = convolution(features, styles[:, layer], noises[layer])
            if layer % 2:  # the first convolution of its resolution, which has doubled
                features = features + maps[(layer + 1) // 2]
            else:
                shown = self.to_image[layer // 2](features, styles[:, layer + 1])
                image = shown if image is None else self.doubling(image) + shown
        assert image is not None
        return image


class CoModDiscriminator(nn.Module):
    """StyleGAN2's discriminator, which sees the mask as one channel more.

    Args:
        sample_shape: (C, H, W).
        masked: true: there is a hole.
        width, max_width, architecture, minibatch_std: see `StyleGAN2Discriminator`.
    Attributes:
        judgement: see `GANModule`.
    Raises:
        ValueError: a value out of these ranges.
    """

    judgement = "logits"
    condition_shape = None

    def __init__(
        self,
        *,
        sample_shape: Sequence[int],
        masked: bool,
        width: int,
        max_width: int,
        architecture: str,
        minibatch_std: int,
    ) -> None:
        super().__init__()
        if not masked:
            raise ValueError(
                "comodgan fills holes, and data.masked is false; choose what makes some, as condition=masked_centre"
            )
        self.masked = masked
        self.network = StyleGAN2Discriminator(
            sample_shape=sample_shape,
            width=width,
            max_width=max_width,
            architecture=architecture,
            minibatch_std=minibatch_std,
        )
        first = self.network.stages[0]
        assert isinstance(first, EqualizedConv2d)
        self.network.stages[0] = EqualizedConv2d(first.in_channels + 1, first.out_channels, 1, gain=LEAKY_GAIN)

    def forward(self, samples: Tensor, mask: Tensor) -> Tensor:
        """(B, C, H, W) and (B, 1, H, W), 1 in the hole -> (B,) logits."""
        return self.network(torch.cat([0.5 - mask, samples], dim=1))


def _convolution(inputs: int, outputs: int, kernel_size: int, *, halving: bool = False) -> nn.Module:
    return nn.Sequential(
        EqualizedConv2d(inputs, outputs, kernel_size, gain=LEAKY_GAIN, halving=halving), nn.LeakyReLU(SLOPE)
    )
