"""LPIPS diversity: how unlike each other generated images are (Zhu et al. 2017, section 5.2; Huang et al. 2018)."""

from typing import Any

import torch
from torch import Tensor

from gan_lab.data.images import from_uint8
from gan_lab.metrics.base import Block, BlockMetric
from gan_lab.metrics.moments import finite_matrix


def disjoint_pairs(count: int, labels: Tensor | None) -> Tensor:
    """(P, 2) int64 indices of pairs among 0 .. count - 1: within each class the first with the second, and so on.

    Without labels that is 0 with 1, 2 with 3 and so on. A class's odd one out is in no pair. The pairs of fewer samples
    are the first of those of more.

    Args:
        count: how many samples.
        labels: (count or more,) int64, or None.
    """
    classes = [0] * count if labels is None else labels[:count].tolist()
    waiting: dict[int, int] = {}
    pairs = []
    for index, label in enumerate(classes):
        if label in waiting:
            pairs.append((waiting.pop(label), index))
        else:
            waiting[label] = index
    return torch.tensor(pairs, dtype=torch.int64).view(-1, 2)


class LPIPSDiversity(BlockMetric):
    """Mean distance between samples of disjoint pairs: "" the mean, "_std" the pairs' deviation (ddof 0).

    Higher is more diverse, which noise is, too: it ranks nothing by itself. Where samples have classes, both of a pair
    are of one class, so that it is the diversity within classes, each weighted by its number of pairs; see
    `disjoint_pairs`. Pairs lie within a block, so that larger blocks leave fewer samples without a partner.

    Args:
        extractor: see `BlockMetric`; one with `distances(first, second)`, (B, 3, H, W) in [-1, 1] twice -> (B,).
    """

    name = "lpips_diversity"
    higher_is_better = None
    needs = ("probe",)
    uses_reference = False
    intervals = True

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"metric": self.name, "pairs": "disjoint, next in the block, of one class where there are classes"}

    @torch.no_grad()
    def probe(self, block: Block) -> Tensor:
        """(P,) float64 distances of the block's pairs, of images as rendered.

        Raises:
            ValueError: an extractor without distances.
        """
        if not hasattr(block.extractor, "distances"):
            name = getattr(block.extractor, "name", None)
            raise ValueError(f"{self.name} needs an extractor with distances, such as lpips, got {name}")
        pairs = disjoint_pairs(block.count, block.labels).to(block.images.device)
        if not len(pairs):
            return torch.zeros(0, dtype=torch.float64)
        images = from_uint8(block.images)
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        return block.extractor.distances(images[pairs[:, 0]], images[pairs[:, 1]]).cpu().double()

    def compute(self) -> dict[str, float]:
        """Of all pairs so far."""
        blocks: list[Tensor] = self.blocks_probe  # type: ignore[assignment]
        if not any(map(len, blocks)):
            raise ValueError(f"{self.name} has no pair: no block holds two samples of one class; take larger blocks")
        distances = finite_matrix(torch.cat(blocks)[:, None], "distances of pairs", minimum=1)[:, 0]
        return {"": distances.mean().item(), "_std": distances.std(correction=0).item()}
