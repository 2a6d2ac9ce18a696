"""Translators whose pictures are known by hand, and runs' files of translators."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.runs.checkpoint import describe, write_snapshot

RESNET: dict[str, Any] = {
    "_target_": "gan_lab.networks.translators.ResNetTranslator",
    "blocks": 1,
    "width": 4,
    "downsamplings": 2,
    "normalization": "none",
    "dropout": 0.0,
    "upsampling": "transposed",
    "initialization": "he",
}
UNET: dict[str, Any] = {
    "_target_": "gan_lab.networks.translators.UNetTranslator",
    "depth": 3,
    "width": 4,
    "normalization": "batch",
    "dropout": 0.0,
    "upsampling": "nearest",
    "initialization": "he",
}


class Negative(nn.Module):
    """The source's negative, of sizes that are multiples of 8, from 16 on; enlarged by repeating pixels.

    Of sources with other channels than the sample's, that of their mean.
    """

    size_multiple, smallest_size = 8, 16

    def __init__(self, sample_shape: list[int], condition_shape: list[int], masked: bool) -> None:
        super().__init__()
        self.sample_shape, self.condition_shape, self.masked = tuple(sample_shape), tuple(condition_shape), masked
        self.scale = nn.Parameter(torch.tensor(-1.0))

    def forward(self, condition: Tensor, mask: Tensor | None = None) -> Tensor:
        height, width = condition.shape[2:]
        assert height % 8 == 0, height
        assert width % 8 == 0, width
        assert min(height, width) >= 16, (height, width)
        assert (mask is not None) == self.masked
        channels = self.sample_shape[0]
        if condition.shape[1] != channels:
            condition = condition.mean(dim=1, keepdim=True).expand(-1, channels, -1, -1)
        factor = self.sample_shape[1] // self.condition_shape[1]
        return self.scale * condition.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


NEGATIVE: dict[str, Any] = {"_target_": "hand_translators.Negative"}
TRUST = "trust=[hand_translators]"


def write_translator(
    path: Path,
    network: dict[str, Any],
    *,
    channels: tuple[int, int] = (3, 3),
    size: int = 16,
    factor: int = 1,
    masked: bool = False,
    data: dict[str, Any] | None = None,
) -> Path:
    """A snapshot of a generator from the first to the second of `channels`, of random weights, as a run leaves it.

    `data` are settings of the run's data.
    """
    from hydra.utils import instantiate

    shapes = {
        "condition_shape": [channels[0], size, size],
        "sample_shape": [channels[1], factor * size, factor * size],
    }
    model = {
        "_target_": "gan_lab.models.pix2pix.Pix2Pix",
        "generator": network | shapes | {"masked": masked},
        "condition_shape": shapes["condition_shape"],
        "masked": masked,
    }
    config = {"model": model, "data": {"condition": {"fill": 127} if masked else {}} | (data or {})}
    torch.manual_seed(0)
    built = instantiate(model["generator"])
    about = describe(config) | {"images_seen": 0, "network": "generator", "weights": "live", "inputs": {}}
    write_snapshot(path, built, about)
    return path
