"""LPIPS between a translator's output and its target (Zhang et al. 2018)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gan_lab.data.images import from_uint8
from gan_lab.metrics.base import Block
from gan_lab.metrics.paired import PairedMetric


class LPIPSToTarget(PairedMetric):
    """Perceptual distance to the target: "" the mean over pictures, "_worst" the highest; see `PairedMetric`.

    Args:
        of, shares: see `PairedMetric`.
        extractor: see `BlockMetric`; one with `distances(first, second)`, (B, 3, H, W) in [-1, 1] twice -> (B,).
    """

    name = "lpips_target"
    higher_is_better = False
    in_space = True

    def __init__(self, *, of: str, extractor: str | None, shares: Sequence[float] | None = None) -> None:
        super().__init__(of=of, region="whole", channel="rgb", border=0, shares=shares, extractor=extractor)

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return super().protocol() | {"range": "uint8 as [-1, 1], grey repeated"}

    @torch.no_grad()
    def probe(self, block: Block) -> Tensor:
        """(B,) float64 distances of the pictures that count.

        Raises:
            ValueError: an extractor without distances, or pictures that do not suit each other.
        """
        if not hasattr(block.extractor, "distances"):
            name = getattr(block.extractor, "name", None)
            raise ValueError(f"{self.name} needs an extractor with distances, such as lpips, got {name}")
        output, target = (from_uint8(pictures.to(block.device)) for pictures in self.pair(block))
        if output.shape[1] == 1:
            output, target = output.expand(-1, 3, -1, -1), target.expand(-1, 3, -1, -1)
        return block.extractor.distances(output, target).cpu().double()
