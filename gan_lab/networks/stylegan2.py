"""The networks of StyleGAN2 (Karras et al. 2020, section 2.2 and figure 7), for any height and width."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lab.layers.checks import at_least, image_shape, one_of
from gan_lab.layers.conditioning import checked_classes, given, with_one_hot
from gan_lab.layers.equalized import LEAKY_GAIN, EqualizedConv2d, EqualizedLinear
from gan_lab.layers.filtered_resampling import FilteredDoubling, FilteredHalving
from gan_lab.layers.minibatch_std import MinibatchStdDev
from gan_lab.layers.modulated_convolution import ModulatedConv2d
from gan_lab.layers.running_mean import RunningMean
from gan_lab.networks.base import Discriminator

SLOPE = 0.2  # of leaky ReLUs
MAPPING_LR_MULTIPLIER = 0.01  # Karras et al. 2019, appendix C
SMALLEST_GRID = 4
ARCHITECTURES = ("residual", "orig")


class MappingNetwork(nn.Module):
    """Fully connected layers from the sphere of latents to styles w, which learn a hundred times slower than others.

    Args:
        latent_dim: length of a latent.
        w_dim: length of w, and of all that lies between.
        depth: layers, 1 or more (paper: 8).
        num_classes: 0 for none; else an embedding of the label, of a latent's length, stands beside the latent (as in
            the code of Karras et al. 2020, ADA).
    """

    def __init__(self, latent_dim: int, w_dim: int, depth: int, num_classes: int = 0) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.embedding = EqualizedLinear(num_classes, latent_dim) if num_classes else None
        features = [latent_dim * (2 if num_classes else 1), *[w_dim] * at_least("depth", depth, 1)]
        self.layers = nn.Sequential()
        for inputs, outputs in pairwise(features):
            self.layers.append(EqualizedLinear(inputs, outputs, gain=LEAKY_GAIN, lr_multiplier=MAPPING_LR_MULTIPLIER))
            self.layers.append(nn.LeakyReLU(SLOPE))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, latent_dim), and (B,) int64 where there are classes -> (B, w_dim)."""
        values = _normalized(latents)
        if self.embedding is not None:
            hot = F.one_hot(given(labels), self.num_classes).to(values.dtype)
            values = torch.cat([values, _normalized(self.embedding(hot))], dim=1)
        return self.layers(values)


class StyledConv(nn.Module):
    """A modulated 3x3 convolution, noise of one strength for all channels, bias, leaky ReLU (figure 2c).

    Args:
        clamp: see `StyleGAN2Generator`.
    """

    def __init__(self, inputs: int, outputs: int, w_dim: int, *, doubling: bool, clamp: float | None = None) -> None:
        super().__init__()
        self.clamp = clamp
        self.style = EqualizedLinear(w_dim, inputs, bias_init=1.0)
        self.convolution = ModulatedConv2d(inputs, outputs, 3, demodulate=True, gain=LEAKY_GAIN, doubling=doubling)
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, features: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """(B, inputs, H, W), w (B, w_dim), noise (B, 1, H', W') -> (B, outputs, H', W')."""
        features = self.convolution(features, self.style(w))
        added = noise * (self.noise_strength * LEAKY_GAIN) + (self.bias * LEAKY_GAIN)[:, None, None]
        return _clamped(F.leaky_relu(features + added.to(features.dtype), SLOPE), self.clamp)


class ToImage(nn.Module):
    """A modulated 1x1 convolution onto the channels of a picture, without demodulation ("tRGB" of figure 7).

    Args:
        clamp: see `StyleGAN2Generator`.
    """

    def __init__(self, inputs: int, outputs: int, w_dim: int, *, clamp: float | None = None) -> None:
        super().__init__()
        self.clamp = clamp
        self.style = EqualizedLinear(w_dim, inputs, bias_init=1.0)
        self.convolution = ModulatedConv2d(inputs, outputs, 1, demodulate=False, gain=1.0, doubling=False)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, features: Tensor, w: Tensor) -> Tensor:
        """(B, inputs, H, W) and w (B, w_dim) -> (B, outputs, H, W), of the weights' type, for pictures are summed."""
        shown = self.convolution(features, self.style(w)).to(self.bias.dtype) + self.bias[:, None, None]
        return _clamped(shown, self.clamp)


class SynthesisNetwork(nn.Module):
    """From a learned constant to a picture: a sum over resolutions, each doubled into the next (figure 7b).

    Args:
        sample_shape: (C, H, W).
        w_dim: length of w.
        width, max_width, clamp, constant_noise: see `StyleGAN2Generator`.
    Attributes:
        num_layers: how many w a picture takes: one for each convolution, and that of the last `ToImage`; those before
            share theirs with the next convolution.
        noise_size: numbers of noise that a picture takes: one per pixel of each convolution.
    """

    constant_noise: Tensor | None

    def __init__(
        self,
        sample_shape: tuple[int, int, int],
        w_dim: int,
        width: int,
        max_width: int,
        *,
        clamp: float | None = None,
        constant_noise: bool = False,
    ) -> None:
        super().__init__()
        channels = stage_channels("stylegan2", sample_shape, width, max_width)
        grid = grid_of(sample_shape)
        self.constant = nn.Parameter(torch.randn(channels[0], *grid))
        self.convolutions = nn.ModuleList([StyledConv(channels[0], channels[0], w_dim, doubling=False, clamp=clamp)])
        self.to_image = nn.ModuleList([ToImage(channels[0], sample_shape[0], w_dim, clamp=clamp)])
        self._sides = [grid]
        for stage, (inputs, outputs) in enumerate(pairwise(channels), start=1):
            self.convolutions.append(StyledConv(inputs, outputs, w_dim, doubling=True, clamp=clamp))
            self.convolutions.append(StyledConv(outputs, outputs, w_dim, doubling=False, clamp=clamp))
            self.to_image.append(ToImage(outputs, sample_shape[0], w_dim, clamp=clamp))
            self._sides += 2 * [(grid[0] * 2**stage, grid[1] * 2**stage)]
        self.doubling = FilteredDoubling()
        self.num_layers = len(self.convolutions) + 1
        self.noise_size = sum(map(math.prod, self._sides))
        self.register_buffer("constant_noise", torch.randn(self.noise_size) if constant_noise else None)

    def forward(self, w: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Pictures of styles.

        Args:
            w: (B, w_dim) for all layers, or (B, num_layers, w_dim).
            noise: (B, noise_size) standard normal; None for the constant one, or without such to draw it from the
                default generator of the device.
        Returns:
            (B, C, H, W) about [-1, 1], which nothing enforces.
        """
        if w.ndim == 2:
            w = w.unsqueeze(1).expand(-1, self.num_layers, -1)
        if noise is None and self.constant_noise is not None:
            noise = self.constant_noise.expand(w.shape[0], -1)
        elif noise is None:
            noise = torch.randn(w.shape[0], self.noise_size, device=w.device, dtype=w.dtype)
        noises = [
            values.unflatten(1, (1, *sides))
            for values, sides in zip(noise.split([math.prod(s) for s in self._sides], 1), self._sides, strict=True)
        ]
        features = self.constant.expand(w.shape[0], -1, -1, -1)
        image: Tensor | None = None
        for layer, convolution in enumerate(self.convolutions):
            features = convolution(features, w[:, layer], noises[layer])
            if layer % 2 == 0:  # the last convolution of its resolution
                shown = self.to_image[layer // 2](features, w[:, layer + 1])
                image = shown if image is None else self.doubling(image) + shown
        assert image is not None
        return image

    def style_weights(self) -> list[tuple[int, Tensor]]:
        """Of each layer that makes a style of w: which of the `num_layers` w, and its weight (inputs, w_dim)."""
        styles: list[tuple[int, Any]] = [
            (layer, convolution.style) for layer, convolution in enumerate(self.convolutions)
        ]
        styles += [(2 * stage + 1, shown.style) for stage, shown in enumerate(self.to_image)]
        return [(layer, style.weight * style.weight_scale) for layer, style in styles]


class StyleGAN2Generator(nn.Module):
    """Latents through `mapping` to styles, and those through `synthesis` to pictures.

    The mean of w, for truncation, follows the first latents of every forward in training mode.

    Args:
        sample_shape: (C, H, W); C 1, 3 or 4; sides of 8 to 1024, as often halved as the shorter stays 4 or more.
        latent_dim: length of a latent, 1 or more (paper: 512).
        w_dim: length of w, 1 or more (paper: 512).
        depth: layers of the mapping network (paper: 8; ADA's, for CIFAR-10: 2).
        width: channels at full resolution, doubling towards the grid (configuration F: 32 at 1024 pixels, 128 at 256).
        max_width: the most channels of any resolution, `width` or more (paper: 512).
        w_average_decay: of the mean of w at each forward (the authors' code: 0.995).
        conditioning: none; or concatenation of the latent and an embedding of the label, before the mapping.
        num_classes: of the labels, where there is conditioning.
        conv_clamp: the largest absolute value behind each convolution, more than 0 (the authors' code, for half
            precision: 256); None for no bound, as in the paper.
        constant_noise: whether the network has noise of its own, which makes the same picture of the same latent each
            time; training draws fresh noise all the same.
    Attributes:
        num_layers, noise_size: see `SynthesisNetwork`.
    Raises:
        ValueError: a value out of these ranges.
    """

    def __init__(
        self,
        *,
        sample_shape: Sequence[int],
        latent_dim: int,
        w_dim: int,
        depth: int,
        width: int,
        max_width: int,
        w_average_decay: float,
        conditioning: str = "none",
        num_classes: int | None = None,
        conv_clamp: float | None = None,
        constant_noise: bool = False,
    ) -> None:
        super().__init__()
        if conv_clamp is not None and not conv_clamp > 0:
            raise ValueError(f"conv_clamp must be more than 0, or null, got {conv_clamp}")
        self.sample_shape = image_shape("stylegan2", sample_shape)
        self.latent_dim = at_least("latent_dim", latent_dim, 1)
        self.num_classes = checked_classes("generator", conditioning, num_classes, ("none", "concatenation"))
        self.mapping = MappingNetwork(latent_dim, at_least("w_dim", w_dim, 1), depth, self.num_classes)
        self.synthesis = SynthesisNetwork(
            self.sample_shape, w_dim, width, max_width, clamp=conv_clamp, constant_noise=constant_noise
        )
        self.w_mean = RunningMean(w_dim, w_average_decay)
        self.num_layers, self.noise_size = self.synthesis.num_layers, self.synthesis.noise_size

    def places(self) -> dict[str, tuple[str, int]]:
        """Part -> its kind, and the shorter side of the maps that it gives; see `gan_lab.runs.transfer`."""
        side = min(grid_of(self.sample_shape))
        found = {
            f"synthesis.convolutions.{layer}": ("doubling" if layer % 2 else "convolution", side << (layer + 1) // 2)
            for layer in range(len(self.synthesis.convolutions))
        }
        stages = range(len(self.synthesis.to_image))
        return found | {f"synthesis.to_image.{stage}": ("to_image", side << stage) for stage in stages}

    @property
    def constant_noise(self) -> Tensor | None:
        """(noise_size,): noise of its own; None without."""
        return self.synthesis.constant_noise

    @property
    def w_average(self) -> Tensor:
        """(w_dim,): the mean of w."""
        return self.w_mean.running_mean

    def styles(
        self,
        latents: Tensor,
        labels: Tensor | None = None,
        *,
        second: Tensor | None = None,
        crossover: Tensor | None = None,
    ) -> Tensor:
        """The w of each layer, of one latent or of two (style mixing: Karras et al. 2019, section 3.1).

        Args:
            latents: (B, latent_dim).
            labels: (B,) int64 of a conditional generator.
            second: (B, latent_dim), whose w rules from layer `crossover` on; None for no mixing.
            crossover: (B,) int64, 0 to num_layers.
        Returns:
            (B, num_layers, w_dim).
        """
        w = self.mapping(latents, labels)
        if self.training:
            self.w_mean.follow(w)
        styles = w.unsqueeze(1).expand(-1, self.num_layers, -1)
        if second is None or crossover is None:
            return styles
        first_rules = torch.arange(self.num_layers, device=w.device) < crossover[:, None]
        return torch.where(first_rules[..., None], styles, self.mapping(second, labels).unsqueeze(1))

    def truncate(self, w: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
        """Styles drawn towards their mean: w_average + psi (w - w_average) (Karras et al. 2019, appendix B).

        Args:
            w: (B, w_dim) or (B, num_layers, w_dim).
            psi: 1 leaves them as they are, 0 gives the mean.
            cutoff: how many layers, from the first on, are truncated; None for all.
        Returns:
            (B, num_layers, w_dim).
        """
        if w.ndim == 2:
            w = w.unsqueeze(1).expand(-1, self.num_layers, -1)
        truncated = self.w_average + psi * (w - self.w_average)
        if cutoff is None:
            return truncated
        return torch.cat([truncated[:, :cutoff], w[:, cutoff:]], dim=1)

    def forward(
        self,
        latents: Tensor,
        labels: Tensor | None = None,
        *,
        second: Tensor | None = None,
        crossover: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """(B, latent_dim), and (B,) int64 of a conditional one -> (B, C, H, W); see `styles` and `synthesis`."""
        return self.synthesis(self.styles(latents, labels, second=second, crossover=crossover), noise=noise)


class DiscriminatorBlock(nn.Module):
    """Two 3x3 convolutions with leaky ReLUs, the second of which halves; beside a 1x1 shortcut if residual."""

    def __init__(self, inputs: int, outputs: int, *, residual: bool) -> None:
        super().__init__()
        # A sum of two paths has twice the variance of one, which 1 / sqrt(2) undoes (section 4.1).
        share = 0.5**0.5 if residual else 1.0
        self.convolutions = nn.Sequential(
            EqualizedConv2d(inputs, inputs, 3, gain=LEAKY_GAIN),
            nn.LeakyReLU(SLOPE),
            EqualizedConv2d(inputs, outputs, 3, gain=LEAKY_GAIN * share, halving=True),
            nn.LeakyReLU(SLOPE),
        )
        self.shortcut: nn.Module | None = None
        if residual:
            self.shortcut = nn.Sequential(
                FilteredHalving(), EqualizedConv2d(inputs, outputs, 1, gain=share, bias=False)
            )

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H/2, W/2)."""
        added = self.convolutions(features)
        return added if self.shortcut is None else self.shortcut(features) + added


class StyleGAN2Discriminator(Discriminator):
    """Blocks down to the generator's grid, minibatch standard deviation, and three more layers (figure 7c).

    Args:
        sample_shape: (C, H, W); C 1, 3 or 4; sides of 8 to 1024.
        width: channels at full resolution, doubling towards the grid.
        max_width: the most channels of any resolution, `width` or more (paper: 512).
        architecture: residual (paper), or orig for blocks without shortcuts (ADA's, for CIFAR-10).
        minibatch_std: samples in a group of `MinibatchStdDev` (paper: 4); 0 for none.
        conditioning, num_classes: see `Discriminator`. (ADA's projects on a mapping of the label instead.)
    Raises:
        ValueError: a value out of these ranges.
    """

    def __init__(
        self,
        *,
        sample_shape: Sequence[int],
        width: int,
        max_width: int,
        architecture: str,
        minibatch_std: int,
        conditioning: str = "none",
        num_classes: int | None = None,
    ) -> None:
        super().__init__(conditioning, num_classes)
        self.sample_shape = image_shape("stylegan2", sample_shape)
        one_of("architecture", architecture, ARCHITECTURES)
        channels = stage_channels("stylegan2", self.sample_shape, width, max_width)[::-1]
        last = channels[-1]
        self.stages = nn.Sequential(
            EqualizedConv2d(self.sample_shape[0] + self.label_channels, channels[0], 1, gain=LEAKY_GAIN),
            nn.LeakyReLU(SLOPE),
            *(
                DiscriminatorBlock(inputs, outputs, residual=architecture == "residual")
                for inputs, outputs in pairwise(channels)
            ),
        )
        self.head = nn.Sequential(
            MinibatchStdDev(minibatch_std) if minibatch_std else nn.Identity(),
            EqualizedConv2d(last + bool(minibatch_std), last, 3, gain=LEAKY_GAIN),
            nn.LeakyReLU(SLOPE),
            nn.Flatten(),
            EqualizedLinear(last * math.prod(grid_of(self.sample_shape)), last, gain=LEAKY_GAIN),
            nn.LeakyReLU(SLOPE),
        )
        self.output = EqualizedLinear(last, 1)
        self.embed_classes()

    def places(self) -> dict[str, tuple[str, int]]:
        """Part -> its kind, and the shorter side of the maps that it takes; see `gan_lab.runs.transfer`."""
        side = min(self.sample_shape[1:])
        blocks = {f"stages.{index}": ("block", side >> (index - 2)) for index in range(2, len(self.stages))}
        return {"stages.0": ("from_image", side)} | blocks

    def features(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) -> (B, feature_dim)."""
        return self.head(self.stages(with_one_hot(samples, labels, self.label_channels)))


def _normalized(values: Tensor) -> Tensor:
    """(B, F) scaled to a mean square of 1."""
    return values * (values.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def _clamped(values: Tensor, limit: float | None) -> Tensor:
    """`values` within [-limit, limit]; as they are without a limit."""
    return values if limit is None else values.clamp(-limit, limit)


def _doublings(height: int, width: int) -> int:
    """How often a grid is doubled to reach the image."""
    count = 0
    while height % 2 == 0 and width % 2 == 0 and min(height, width) >= 2 * SMALLEST_GRID:
        height, width, count = height // 2, width // 2, count + 1
    return count


def grid_of(shape: tuple[int, int, int]) -> tuple[int, int]:
    """Height and width of what is doubled into pictures of `shape`, (C, H, W)."""
    _, height, width = shape
    factor = 2 ** _doublings(height, width)
    return height // factor, width // factor


def stage_channels(network: str, shape: tuple[int, int, int], width: int, max_width: int) -> list[int]:
    """Channels of the resolutions, from the grid to the image of `shape`, (C, H, W).

    Args:
        network: its name in messages.
    Raises:
        ValueError: a size that is not allowed, or a width out of range.
    """
    _, height, image_width = shape
    count = _doublings(height, image_width)
    if not count or max(grid_of(shape)) > 4 * SMALLEST_GRID or max(height, image_width) > 1024:
        raise ValueError(
            f"{network} doubles a grid of sides from {SMALLEST_GRID} to {4 * SMALLEST_GRID} into images of at most "
            f"1024; data.sample_shape has {height}x{image_width}; set data.image_size to such a size (32, 64, 96, 128, "
            "...), or choose another network"
        )
    at_least("width", width, 1)
    at_least("max_width", max_width, width)
    return [min(width * 2 ** (count - stage), max_width) for stage in range(count + 1)]
