"""The discriminators of Projected GANs (Sauer et al. 2021): judges of the frozen features of an extractor."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lab.layers.checks import at_least, image_shape
from gan_lab.layers.initialization import initialize
from gan_lab.layers.normalization import (
    brings_offset,
    normalization_layer,
    removes_channel_mean,
    spectrally_normalize,
)

JUDGED = 8  # side of the maps on which a judge ends, about
LEAST_SIDE = 4  # of these: what its last convolution takes
MIXED = (1, 2, 4, 8)  # channels of the mixed maps, the finest first, in widths
SLOPE = 0.2  # of leaky ReLUs below zero


class FixedConvolution(nn.Module):
    """A 1x1 convolution that stays as it is drawn: its weights are buffers, which no optimizer and no average sees.

    Drawn as torch draws those of a convolution, uniform up to 1 / sqrt(inputs) either way.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        drawn = nn.Conv2d(inputs, outputs, 1)
        assert drawn.bias is not None
        self.register_buffer("weight", drawn.weight.detach())
        self.register_buffer("bias", drawn.bias.detach())

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        return F.conv2d(features, self.weight, self.bias)


class RandomMixing(nn.Module):
    """Maps of several resolutions, mixed over channels and then over scales by fixed random convolutions (section 3.2).

    Over channels: a 1x1 convolution of each map. Over scales, from the coarsest map on: what came of the coarser maps
    is added, doubled bilinearly, and a 1x1 convolution follows. So each result is as large as the next finer map, that
    of the finest map twice as large as it, and holds what all coarser maps hold.

    Departure: the paper has 3x3 convolutions over scales, its code these.

    Args:
        shapes: (C, H, W) of the maps, the finest first; four at most.
        width: channels of the finest mixed map; twice, four and eight times as many of the coarser ones.
    Attributes:
        shapes: (C, H, W) of the results, the finest first.
    """

    def __init__(self, shapes: Sequence[tuple[int, int, int]], width: int) -> None:
        super().__init__()
        mixed = [width * factor for factor in MIXED[: len(shapes)]]
        outputs = [width, *mixed[:-1]]
        _, height, long = shapes[0]
        self._sides = [(2 * height, 2 * long), *((high, wide) for _, high, wide in shapes[:-1])]
        self.channels = nn.ModuleList(FixedConvolution(s[0], m) for s, m in zip(shapes, mixed, strict=True))
        self.scales = nn.ModuleList(FixedConvolution(m, o) for m, o in zip(mixed, outputs, strict=True))
        self.shapes = [(o, high, wide) for o, (high, wide) in zip(outputs, self._sides, strict=True)]

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """(B, C, H, W) each, of the constructor's shapes -> the attribute's."""
        mixed = [mix(features) for mix, features in zip(self.channels, maps, strict=True)]
        made: list[Tensor] = []
        for own, mix, side in zip(mixed[::-1], self.scales[::-1], self._sides[::-1], strict=True):
            together = own + made[-1] if made else own
            made.append(mix(F.interpolate(together, size=side, mode="bilinear", align_corners=True)))
        return made[::-1]


class ProjectedDiscriminator(nn.Module):
    """A judge on each of the mixed maps of a frozen feature network (Sauer et al. 2021, sections 3.2 and 3.3).

    Pictures of fewer pixels are enlarged, bilinearly. The features' own weights are neither parameters nor buffers
    here and in no checkpoint; they are loaded by `load_features`, or when first needed. No gradient goes to them, and
    their normalizations stay as they are; it goes through them to the pictures. The mixing is random and fixed, and
    part of checkpoints. A judge halves its map to about 8x8 by as many 4x4 convolutions as that takes, and another 4x4
    convolution judges. Spectral normalization of all of the judges' convolutions.

    Args:
        sample_shape: (C, H, W); C 1, 3 or 4.
        features: makes the extractor: one whose `level_shapes` say that it has maps of two to four resolutions.
        least_size: pixels of the shorter side to which smaller pictures are enlarged, 1 or more (paper: 224).
        width: of `RandomMixing`, 1 or more (paper: 64), and of the judges: as many channels from side 64 on, twice as
            many at 32, eight times at 8.
        normalization: beside the spectral one: none, batch (paper), layer, instance or instance_plain.
        initialization: of the judges: normal, he, xavier or orthogonal.
    Attributes:
        judgement: see `GANModule`.
    Raises:
        ValueError: a value out of these ranges, an extractor without such maps, or maps too small to judge.
    """

    judgement = "logits"

    def __init__(
        self,
        *,
        sample_shape: Sequence[int],
        features: Callable[[], Any],
        least_size: int,
        width: int,
        normalization: str,
        initialization: str,
    ) -> None:
        super().__init__()
        self.sample_shape = image_shape("projected_gan", sample_shape)
        at_least("width", width, 1)
        at_least("least_size", least_size, 1)
        if normalization == "spectral":
            raise ValueError(
                "network=projected_gan is spectrally normalized anyway; discriminator.normalization is what comes "
                "beside it: none, batch, layer, instance or instance_plain"
            )
        _, height, long = self.sample_shape
        factor = max(1.0, least_size / min(height, long))
        self._size = (round(height * factor), round(long * factor))
        shapes = _level_shapes(features, *self._size)
        self._make = features
        self._loaded: list[Any] = []  # a list, so that torch takes it for no part of this

        self.mixing = RandomMixing(shapes, width)
        self.judges = nn.ModuleList(
            self._judge(shape, width, normalization, f"least_size={least_size}") for shape in self.mixing.shapes
        )
        initialize(self.judges, initialization, gain=1.0)
        spectrally_normalize(self.judges)

    @staticmethod
    def _judge(shape: tuple[int, int, int], width: int, normalization: str, argument: str) -> nn.Sequential:
        inputs, *sides = shape
        halvings = max(0, round(math.log2(min(sides) / JUDGED)))
        if min(sides) >> halvings < LEAST_SIDE:
            raise ValueError(
                f"a judge of projected_gan needs maps of {LEAST_SIDE} pixels a side, and the coarsest features come to "
                f"{sides[0]}x{sides[1]}; enlarge model.discriminator.{argument}"
            )
        ends = [JUDGED << (halvings - number) for number in range(halvings + 1)]
        counts = [inputs, *(width * min(8, max(1, 64 // side)) for side in ends[1:])]
        bias = not (brings_offset(normalization) or removes_channel_mean(normalization))
        layers: list[nn.Module] = []
        for before, after in pairwise(counts):
            layers.append(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=bias))
            layers.append(normalization_layer(normalization, after))
            layers.append(nn.LeakyReLU(SLOPE))
        return nn.Sequential(*layers, nn.Conv2d(counts[-1], 1, 4, bias=False))

    def load_features(self, like: Tensor) -> Any:
        """The extractor, where `like` is and of its precision, float32 at least; it is made but once.

        Raises:
            MissingWeights, DamagedWeights: see `gan_lab.extractors.base`.
        """
        if not self._loaded:
            dtype = torch.promote_types(like.dtype, torch.float32)
            self._loaded.append(self._make().to(device=like.device, dtype=dtype))
        return self._loaded[0]

    def forward(self, samples: Tensor) -> Tensor:
        """(B, C, H, W) -> logits (B, N): those of all judges."""
        if tuple(samples.shape[2:]) != self._size:
            samples = F.interpolate(samples, size=self._size, mode="bilinear", align_corners=False)
        mixed = self.mixing(self.load_features(samples).levels(samples))
        logits = [judge(features).flatten(1) for judge, features in zip(self.judges, mixed, strict=True)]
        return torch.cat(logits, dim=1)


def _level_shapes(features: Any, height: int, width: int) -> tuple[tuple[int, int, int], ...]:
    if not callable(features):
        raise ValueError(
            "model.discriminator.features must be a node with _target_ and _partial_: true, as "
            f"extractor@model.discriminator.features=efficientnet_lite0 gives; got {features!r}"
        )
    kind = getattr(features, "func", features)
    shapes = kind.level_shapes(height, width) if hasattr(kind, "level_shapes") else ()
    if not 2 <= len(shapes) <= len(MIXED):
        raise ValueError(
            f"model.discriminator.features: {kind.__name__} gives no maps of several resolutions; choose an extractor "
            "that does: extractor@model.discriminator.features=efficientnet_lite0, vgg, vgg19, inception or digitnet"
        )
    return shapes
