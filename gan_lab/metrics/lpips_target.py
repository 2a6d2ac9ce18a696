"""LPIPS between a translator's output and its target (Zhang et al. 2018)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gan_lab.data.images import from_uint8
from gan_lab.metrics.base import Block
from gan_lab.metrics.paired import PairedMetric, mean_of_picture


class LPIPSToTarget(PairedMetric):
    """Perceptual distance to the target: "" the mean over pictures, "_worst" the highest; see `PairedMetric`.

    In a region it is the mean over the region's pixels of the map of distances, which the authors' package calls
    spatial=True. Both pictures are seen whole: features near the region's edge see what lies beside it, too. Published
    LPIPS of repairs is mostly of whole pictures.

    Args:
        of, shares: see `PairedMetric`.
        extractor: see `BlockMetric`; one with `distances(first, second)`, (B, 3, H, W) in [-1, 1] twice -> (B,), and
            for a region `distance_maps`, likewise -> (B, 1, H, W).
        region: see `PairedMetric`; "whole" also for configs that were stored before there were others.
    """

    name = "lpips_target"
    higher_is_better = False
    in_space = True

    def __init__(
        self, *, of: str, extractor: str | None, region: str = "whole", shares: Sequence[float] | None = None
    ) -> None:
        super().__init__(of=of, region=region, channel="rgb", border=0, shares=shares, extractor=extractor)

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        in_region = "mean of each layer's map, enlarged by bilinear interpolation, the layers added"
        return (
            super().protocol()
            | {"range": "uint8 as [-1, 1], grey repeated"}
            | ({} if self.region == "whole" else {"in_region": in_region})
        )

    @torch.no_grad()
    def probe(self, block: Block) -> Tensor:
        """(B,) float64 distances of the pictures that count.

        Raises:
            ValueError: an extractor without distances, or without maps of them, or pictures that do not suit each
                other.
        """
        kind = "distances" if self.region == "whole" else "distance_maps"
        if not hasattr(block.extractor, kind):
            name = getattr(block.extractor, "name", None)
            remedy = "" if self.region == "whole" else "; or take region=whole"
            raise ValueError(f"{self.name} needs an extractor with {kind}, such as lpips, got {name}{remedy}")
        output, target = (from_uint8(pictures.to(block.device)) for pictures in self.pair(block))
        if output.shape[1] == 1:
            output, target = output.expand(-1, 3, -1, -1), target.expand(-1, 3, -1, -1)
        if self.region == "whole":
            return block.extractor.distances(output, target).cpu().double()
        maps = block.extractor.distance_maps(output, target).cpu().double()
        inside = [one for one in self._regions(block) if one is not None]
        return mean_of_picture(maps, torch.cat(inside))
