"""Density and coverage (Naeem et al. 2020, section 3.2): precision and recall that one outlier cannot stretch."""

from typing import Any

import torch
from torch import Tensor

from gan_lab.metrics.base import BlockMetric
from gan_lab.metrics.moments import finite_matrix
from gan_lab.metrics.neighbors import radii, squared_distances
from gan_lab.metrics.reference import Reference


def density_and_coverage(*, real: Tensor, fake: Tensor, real_radii: Tensor, k: int) -> tuple[float, float]:
    """In how many reals' balls a fake lies, over k, on average; and the share of reals whose ball holds a fake.

    Args:
        real, fake: (N, d), (M, d) float64.
        real_radii: (N,) float64: distance of each real to its k-th nearest other.
    """
    inside, covered = 0, torch.zeros(len(real), dtype=torch.bool)
    for _, squared in squared_distances(fake, real):
        in_real = squared <= real_radii.square()
        inside += int(in_real.sum())
        covered |= in_real.any(dim=0)
    return inside / (k * len(fake)), covered.double().mean().item()


class DensityCoverage(BlockMetric):
    """Density and coverage against the reference: "_density", 0 or more and 1 where the sets agree, and "_coverage".

    A point on the rim of a ball is in it, where the authors' prdc asks for strictly less: that differs on ties alone,
    which are frequent where samples are copies. Coverage of a perfect generator is 1 - 2^-k for sets of one size, and
    rises with the number of samples.

    Args:
        k: which neighbour makes the radius, 1 or more; 5 in the paper.
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
        self.name = f"dc_k{k}"
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
        density, coverage = density_and_coverage(real=real, fake=fake, real_radii=self._real_radii, k=self.k)
        return {"_density": density, "_coverage": coverage}
