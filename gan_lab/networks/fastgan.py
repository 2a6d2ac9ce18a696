"""The networks of FastGAN (Liu et al. 2021, section 3), for square pictures whose side is a power of two."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lab.layers.checks import at_least, image_shape
from gan_lab.layers.initialization import initialize
from gan_lab.layers.normalization import normalization_layer, spectrally_normalize
from gan_lab.layers.resampling import doubling, halving

GRID = 4  # side of the generator's first maps, and of what an excitation looks at
SMALLEST, LARGEST = 64, 1024
MOST_SMALL = 128  # side of the second, small picture, at most
JUDGED = 8  # side of the maps on which the discriminators judge
MOST_JUDGED_FROM = 256  # larger pictures are halved to this side by plain convolutions
LAST_EXCITING = 32  # side of the last of the generator's maps that excites another
MULTIPLIERS = {4: 16.0, 8: 8.0, 16: 4.0, 32: 2.0, 64: 2.0, 128: 1.0, 256: 0.5, 512: 0.25, 1024: 0.125}  # side -> width
SLOPE = 0.2  # of leaky ReLUs below zero


class Excitation(nn.Module):
    """Skip-layer excitation (section 3.1): one map's channels weighed by what another map, far away, holds.

    Means over a grid of 4x4, a 4x4 convolution, SiLU, a 1x1 convolution and a sigmoid make a factor in (0, 1) for each
    channel. Unlike a residual connection it joins maps of different sides and channels, by few operations.

    Args:
        inputs: channels of the exciting map.
        outputs: channels of the excited one.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Conv2d(inputs, outputs, GRID, bias=False), nn.SiLU(), nn.Conv2d(outputs, outputs, 1, bias=False)
        )

    def forward(self, exciting: Tensor, excited: Tensor) -> Tensor:
        """(B, inputs, h, h), h a multiple of 4, and (B, outputs, H, W) -> the shape of the second."""
        return excited * self.gate(F.avg_pool2d(exciting, exciting.shape[-1] // GRID)).sigmoid()


class GatedConvolution(nn.Module):
    """A 3x3 convolution, noise of one learnt strength where it is `noisy`, normalization and a gated linear unit.

    The strength begins at 0. The convolution has twice the outputs, of which the unit multiplies one half by the
    sigmoid of the other.
    """

    def __init__(self, inputs: int, outputs: int, *, normalization: str, noisy: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, 2 * outputs, 3, padding=1, bias=False)
        self.noise_strength = nn.Parameter(torch.zeros(())) if noisy else None
        self.normalization = normalization_layer(normalization, 2 * outputs)

    def forward(self, features: Tensor, noise: Tensor | None = None) -> Tensor:
        """(B, inputs, H, W), and (B, 1, H, W) for one that is noisy -> (B, outputs, H, W)."""
        features = self.convolution(features)
        if self.noise_strength is not None and noise is not None:
            features = features + (self.noise_strength * noise).to(features.dtype)
        return F.glu(self.normalization(features), dim=1)


class DoublingBlock(nn.Module):
    """Nearest doubling, then one gated convolution; or two with noise."""

    def __init__(self, inputs: int, outputs: int, *, noisy: bool) -> None:
        super().__init__()
        self.doubling = doubling()
        self.first = GatedConvolution(inputs, outputs, normalization="batch", noisy=noisy)
        self.second = GatedConvolution(outputs, outputs, normalization="batch", noisy=True) if noisy else None

    def forward(self, features: Tensor, noises: Sequence[Tensor]) -> Tensor:
        """(B, inputs, H, W), and of a noisy one twice (B, 1, 2H, 2W) -> (B, outputs, 2H, 2W)."""
        features = self.doubling(features)
        if self.second is None:
            return self.first(features)
        return self.second(self.first(features, noises[0]), noises[1])


class FastGANGenerator(nn.Module):
    """From a latent to 4x4 by a transposed convolution, then doublings to the picture, whose high maps low ones excite.

    A map of side s excites that of side 16 s, for s = 4, 8, 16 and 32. Every second doubling, to 8, 32, 128 and so on,
    has two convolutions with noise. A 1x1 convolution makes a second, small picture from the map of its side, a 3x3 one
    the picture from the last. Spectral normalization of all convolutions, batch normalization and gated linear units;
    no layer has a bias.

    Departures: the paper's sizes are 256, 512 and 1024, its small pictures have 128 pixels; here they have half of the
    picture's side where that is less, so that there are two at 64 and 128 as well. A tanh bounds both, which the
    authors' code has at 1024 alone.

    Args:
        sample_shape: (C, S, S); C 1, 3 or 4; S a power of two from 64 to 1024.
        latent_dim: length of a latent, 1 or more (paper: 256).
        width: channels at side 128, 1 or more (paper: 64); 16 times as many at 4, an eighth at 1024.
        initialization: normal (paper), he, xavier or orthogonal.
    Attributes:
        noisy_doublings: which of the doublings have noise.
        small_size: side of the small picture.
        noise_size: numbers of noise that a picture takes: one per pixel of each noisy convolution.
    Raises:
        ValueError: a value out of these ranges.
    """

    noisy_doublings: ClassVar[slice] = slice(None, None, 2)

    def __init__(self, *, sample_shape: Sequence[int], latent_dim: int, width: int, initialization: str) -> None:
        super().__init__()
        self.sample_shape = _checked_shape(sample_shape)
        self.latent_dim = at_least("latent_dim", latent_dim, 1)
        at_least("width", width, 1)
        size = self.sample_shape[-1]
        self.small_size = small_size(size)
        self._sides = _doubled(2 * GRID, size)
        self._noisy = self._sides[self.noisy_doublings]
        self.noise_size = sum(2 * side * side for side in self._noisy)
        channels = {side: max(1, int(width * MULTIPLIERS[side])) for side in (GRID, *self._sides)}

        self.stem = nn.Sequential(
            nn.Unflatten(1, (latent_dim, 1, 1)),
            nn.ConvTranspose2d(latent_dim, 2 * channels[GRID], GRID, bias=False),
            nn.BatchNorm2d(2 * channels[GRID]),
            nn.GLU(dim=1),
        )
        self.blocks = nn.ModuleList(
            DoublingBlock(channels[side // 2], channels[side], noisy=side in self._noisy) for side in self._sides
        )
        self._exciting = [side for side in _doubled(GRID, LAST_EXCITING) if 16 * side <= size]
        self.excitations = nn.ModuleList(Excitation(channels[side], channels[16 * side]) for side in self._exciting)
        self.to_small = nn.Conv2d(channels[self.small_size], self.sample_shape[0], 1, bias=False)
        self.to_image = nn.Conv2d(channels[size], self.sample_shape[0], 3, padding=1, bias=False)
        initialize(self, initialization, gain=1.0)
        spectrally_normalize(self)

    def forward(
        self, latents: Tensor, *, noise: Tensor | None = None, both: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Pictures of latents.

        Args:
            latents: (B, latent_dim).
            noise: (B, noise_size) standard normal; None to draw it from the default generator of the device.
            both: whether the small pictures are given, too.
        Returns:
            (B, C, S, S) in [-1, 1]; and with `both` (B, C, small_size, small_size), too.
        """
        if noise is None:
            noise = torch.randn(latents.shape[0], self.noise_size, device=latents.device, dtype=latents.dtype)
        drawn = iter(noise.split([side * side for side in self._noisy for _ in range(2)], dim=1))
        maps = {GRID: self.stem(latents)}
        for side, block in zip(self._sides, self.blocks, strict=True):
            count = 2 if side in self._noisy else 0
            features = block(maps[side // 2], [next(drawn).unflatten(1, (1, side, side)) for _ in range(count)])
            if side // 16 in self._exciting:
                features = self.excitations[self._exciting.index(side // 16)](maps[side // 16], features)
            maps[side] = features
        images = self.to_image(features).tanh()
        return (images, self.to_small(maps[self.small_size]).tanh()) if both else images


class FastGANLiteGenerator(FastGANGenerator):
    """As `FastGANGenerator`, with one convolution in each doubling and without noise.

    Sauer et al. 2021 take it for few pictures (their code: `fastgan_lite`).
    """

    noisy_doublings = slice(0)


class HalvingBlock(nn.Module):
    """The mean of two paths: a 4x4 convolution of stride 2 and a 3x3 one; 2x2 means and a 1x1 convolution.

    Each convolution is followed by normalization and a leaky ReLU.
    """

    def __init__(self, inputs: int, outputs: int, normalization: str) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            *_halving_convolution(inputs, outputs, normalization),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            normalization_layer(normalization, outputs),
            nn.LeakyReLU(SLOPE),
        )
        self.shortcut = nn.Sequential(
            halving(),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            normalization_layer(normalization, outputs),
            nn.LeakyReLU(SLOPE),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H/2, W/2)."""
        return (self.convolutions(features) + self.shortcut(features)) / 2


class Decoder(nn.Sequential):
    """8x8 maps -> a small picture in [-1, 1] (section 3.2): doublings with gated convolutions, then a 3x3 convolution.

    Args:
        inputs: channels of the maps.
        channels: of the picture.
        width: of the last doubling; twice as many at the two before it, four times as many at the first of four.
        size: side of the picture.
        normalization: of the gated convolutions.
    """

    def __init__(self, inputs: int, channels: int, *, width: int, size: int, normalization: str) -> None:
        super().__init__()
        for side in _doubled(2 * JUDGED, size):
            outputs = width * {16: 4, 32: 2, 64: 2, 128: 1}[side]
            self.append(doubling())
            self.append(GatedConvolution(inputs, outputs, normalization=normalization, noisy=False))
            inputs = outputs
        self.append(nn.Conv2d(inputs, channels, 3, padding=1, bias=False))
        self.append(nn.Tanh())


class FastGANDiscriminator(nn.Module):
    """Two judges, of the picture and of a small one, and three decoders that rebuild the picture from their maps.

    The first: a 3x3 convolution (pictures of 512 and more: 4x4 ones of stride 2, down to 256), then `HalvingBlock`s
    to 8x8. A map of side s, from 64 on, excites that of side s / 8. A 1x1 convolution and a 4x4 one judge: 5x5 logits.
    The second halves the small picture to 8x8 by 4x4 convolutions and judges by one of them: 5x5 logits, too.

    From the first judge's last map a decoder rebuilds the whole picture, from its map of 16x16 another one quarter of
    it, from the second judge's last map a third the whole; each of the small picture's size. Spectral normalization of
    all convolutions; no layer has a bias.

    Departures: see `FastGANGenerator` for the sizes, at which less is halved, excited and rebuilt. Pictures are made
    small by means over pixels, where the authors' code takes every so manieth.

    Args:
        sample_shape: see `FastGANGenerator`.
        width: channels at side 64 of the picture, 1 or more (paper: 64), doubled with each halving, and half as many
            for the small picture and the decoders.
        normalization: beside the spectral one: none, batch (paper), layer, instance or instance_plain.
        initialization: normal (paper), he, xavier or orthogonal.
    Attributes:
        judgement: see `GANModule`.
        small_size: side of the small picture.
    Raises:
        ValueError: a value out of these ranges.
    """

    judgement = "logits"

    def __init__(self, *, sample_shape: Sequence[int], width: int, normalization: str, initialization: str) -> None:
        super().__init__()
        self.sample_shape = _checked_shape(sample_shape)
        at_least("width", width, 1)
        if normalization == "spectral":
            raise ValueError(
                "network=fastgan is spectrally normalized anyway; discriminator.normalization is what comes beside it: "
                "none, batch, layer, instance or instance_plain"
            )
        channels, _, size = self.sample_shape
        self.small_size = small_size(size)
        first = min(size, MOST_JUDGED_FROM)

        def at(side: int) -> int:  # channels of a map
            return max(1, width * 64 // side)

        def at_small(side: int) -> int:
            return max(1, width * 32 // side)

        self.stem = nn.Sequential()
        if size == first:
            self.stem.extend([nn.Conv2d(channels, at(size), 3, padding=1, bias=False), nn.LeakyReLU(SLOPE)])
        for side in _doubled(first, size // 2)[::-1]:
            whole = 2 * side == size  # the picture itself, after which nothing is normalized
            inputs = channels if whole else at(2 * side)
            self.stem.extend(_halving_convolution(inputs, at(side), "none" if whole else normalization))
        self._sides = _doubled(JUDGED, first // 2)[::-1]
        self.blocks = nn.ModuleList(HalvingBlock(at(2 * side), at(side), normalization) for side in self._sides)
        self._excited = [side for side in self._sides if 8 * side <= first]
        self.excitations = nn.ModuleList(Excitation(at(8 * side), at(side)) for side in self._excited)
        self.judge = nn.Sequential(
            nn.Conv2d(at(JUDGED), 2 * at(JUDGED), 1, bias=False),
            normalization_layer(normalization, 2 * at(JUDGED)),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(2 * at(JUDGED), 1, 4, bias=False),
        )

        self.small = nn.Sequential()
        for side in _doubled(JUDGED, self.small_size // 2)[::-1]:
            whole = 2 * side == self.small_size
            inputs = channels if whole else at_small(2 * side)
            self.small.extend(_halving_convolution(inputs, at_small(side), "none" if whole else normalization))
        self.judge_small = nn.Conv2d(at_small(JUDGED), 1, 4, bias=False)

        decoder = {"width": max(1, width // 2), "size": self.small_size, "normalization": normalization}
        self.rebuild = Decoder(at(JUDGED), channels, **decoder)  # type: ignore[arg-type]
        self.rebuild_quarter = Decoder(at(2 * JUDGED), channels, **decoder)  # type: ignore[arg-type]
        self.rebuild_small = Decoder(at_small(JUDGED), channels, **decoder)  # type: ignore[arg-type]
        initialize(self, initialization, gain=1.0)
        spectrally_normalize(self)

    def forward(
        self, samples: Tensor, small: Tensor | None = None, *, quarter: int | None = None
    ) -> Tensor | tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Logits of pictures, and these rebuilt.

        Args:
            samples: (B, C, S, S).
            small: (B, C, small_size, small_size), what G made beside them; None to make them small.
            quarter: 0 to 3, see `quarter_of`, to rebuild pictures.
        Returns:
            (B, 50) logits, 25 of each judge; with `quarter` also the whole, that quarter and, from the small pictures,
            the whole again, each (B, C, small_size, small_size) in [-1, 1].
        """
        features = self.stem(samples)
        maps = {features.shape[-1]: features}
        for side, block in zip(self._sides, self.blocks, strict=True):
            features = block(features)
            if side in self._excited:
                features = self.excitations[self._excited.index(side)](maps[8 * side], features)
            maps[side] = features
        of_small = self.small(reduced(samples, self.small_size) if small is None else small)
        logits = torch.cat([self.judge(features).flatten(1), self.judge_small(of_small).flatten(1)], dim=1)
        if quarter is None:
            return logits
        part = quarter_of(maps[2 * JUDGED], quarter)
        return logits, (self.rebuild(features), self.rebuild_quarter(part), self.rebuild_small(of_small))

    def targets(self, samples: Tensor, quarter: int) -> tuple[Tensor, Tensor, Tensor]:
        """What `forward` rebuilds of (B, C, S, S), as there: the whole, that quarter, the whole, small."""
        whole = reduced(samples, self.small_size)
        return whole, reduced(quarter_of(samples, quarter), self.small_size), whole


def small_size(size: int) -> int:
    """Side of the small picture beside one of `size`: half of it, but 128 at most."""
    return min(MOST_SMALL, size // 2)


def reduced(images: Tensor, size: int) -> Tensor:
    """(B, C, S, S) -> (B, C, size, size), which divides S: means over pixels."""
    return F.avg_pool2d(images, images.shape[-1] // size)


def quarter_of(images: Tensor, quarter: int) -> Tensor:
    """(B, C, H, W) -> (B, C, H/2, W/2): quarter 0 is the upper left, 1 the upper right, 2 and 3 those below."""
    height, width = images.shape[-2] // 2, images.shape[-1] // 2
    top, left = quarter // 2 * height, quarter % 2 * width
    return images[..., top : top + height, left : left + width]


def _halving_convolution(inputs: int, outputs: int, normalization: str) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
        normalization_layer(normalization, outputs),
        nn.LeakyReLU(SLOPE),
    )


def _doubled(first: int, last: int) -> list[int]:
    """first, 2 first, ... up to `last`."""
    sides = []
    while first <= last:
        sides.append(first)
        first *= 2
    return sides


def _checked_shape(sample_shape: Sequence[int]) -> tuple[int, int, int]:
    channels, height, width = image_shape("fastgan", sample_shape)
    if height != width or height not in _doubled(SMALLEST, LARGEST):
        raise ValueError(
            f"fastgan makes square pictures of {', '.join(map(str, _doubled(SMALLEST, LARGEST)))} pixels; "
            f"data.sample_shape has {height}x{width}; set data.image_size to one of these, or choose another network"
        )
    return channels, height, width
