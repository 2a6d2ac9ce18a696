"""Improved precision and recall (Kynkäänniemi et al. 2019, section 3): what part of a set the other one covers."""

from typing import Any

import torch
from torch import Tensor

from gan_lab.metrics.base import BlockMetric
from gan_lab.metrics.moments import finite_matrix
from gan_lab.metrics.neighbors import radii, squared_distances
from gan_lab.metrics.reference import Reference


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


class PrecisionRecall(BlockMetric):
    """Improved precision and recall against the reference: "_precision" and "_recall", both in [0, 1].

    A point on the rim of a ball is in it, as in the paper and in torch-fidelity: sets of equal points score 1. (prdc
    asks for strictly less, and gives them 0.) Both depend on the sizes of the two sets.

    Args:
        k: which neighbour makes the radius, 1 or more; 3 in the paper.
        extractor: see `BlockMetric`.
    """

    higher_is_better = None
    needs = ("features",)
    uses_reference = True

    def __init__(self, k: int, extractor: str | None) -> None:
        super().__init__(extractor)
        if k < 1:
            raise ValueError(f"k must be 1 or more, got {k}")
        self.k = k
        self.name = f"pr_k{k}"
        self.minimum = k + 1
        self._real_radii: Tensor | None = None

    def set_reference(self, reference: Reference) -> None:
        """Its radii are computed at the first use, and kept while it is the same."""
        if self._reference is None or self._reference.statistics is not reference.statistics:
            self._real_radii = None
        super().set_reference(reference)

    def check_reference(self, count: int, labels: Tensor | None) -> None:
        """See `BlockMetric`."""
        if count <= self.k:
            raise ValueError(
                f"{self.k} nearest neighbours need a reference of {self.k + 1} images or more, got {count}"
            )

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"metric": self.name, "k": self.k, "rim": "inside"}

    def compute(self) -> dict[str, float]:
        """Of all samples so far against the reference."""
        fake = finite_matrix(self.values("features"), "generated features")
        real = self.statistics(columns=fake.shape[1]).features.double()
        if self._real_radii is None:
            self._real_radii = radii(real, self.k)
        precision, recall = precision_and_recall(
            real=real, fake=fake, real_radii=self._real_radii, fake_radii=radii(fake, self.k)
        )
        return {"_precision": precision, "_recall": recall}
