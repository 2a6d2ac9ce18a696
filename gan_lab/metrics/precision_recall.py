"""Improved precision and recall (Kynkäänniemi et al. 2019, section 3): what part of a set the other one covers."""

import torch
from torch import Tensor

from gan_lab.metrics.balls import BallMetric
from gan_lab.metrics.neighbors import radii, squared_distances


def precision_and_recall(*, real: Tensor, fake: Tensor, real_radii: Tensor, fake_radii: Tensor) -> tuple[float, float]:
    """Share of fakes within a real's radius, and of reals within a fake's.

    Args:
        real, fake: (N, d), (M, d) float64.
        real_radii, fake_radii: (N,), (M,) float64: distance to the k-th nearest other of the same set.
    """
    precise, recalled = 0, torch.zeros(len(real), dtype=torch.bool)
    for rows, squared in squared_distances(fake, real):
        precise += int((squared <= real_radii.square()).any(dim=1).sum())
        recalled |= (squared <= fake_radii[rows, None].square()).any(dim=0)
    return precise / len(fake), recalled.double().mean().item()


class PrecisionRecall(BallMetric):
    """Improved precision and recall against the reference: "_precision" and "_recall", both in [0, 1].

    A point on the rim of a ball is in it, as in the paper and in torch-fidelity: sets of equal points score 1. (prdc
    asks for strictly less, and gives them 0.) Both depend on the sizes of the two sets.

    Args:
        k: which neighbour makes the radius, 1 or more; 3 in the paper.
        extractor: see `BlockMetric`.
    """

    stem = "pr"

    def __init__(self, k: int, extractor: str | None) -> None:
        super().__init__(k, extractor)
        self.minimum = k + 1

    def compute(self) -> dict[str, float]:
        """Of all samples so far against the reference."""
        real, fake, real_radii = self.both_sets()
        precision, recall = precision_and_recall(
            real=real, fake=fake, real_radii=real_radii, fake_radii=radii(fake, self.k)
        )
        return {"_precision": precision, "_recall": recall}
