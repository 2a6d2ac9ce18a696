"""Density and coverage (Naeem et al. 2020, section 3.2): precision and recall that one outlier cannot stretch."""

import torch
from torch import Tensor

from gan_lab.metrics.balls import BallMetric
from gan_lab.metrics.neighbors import squared_distances


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


class DensityCoverage(BallMetric):
    """Density and coverage against the reference: "_density", 0 or more and 1 where the sets agree, and "_coverage".

    A point on the rim of a ball is in it, where the authors' prdc asks for strictly less: that differs on ties alone,
    which are frequent where samples are copies. Coverage of a perfect generator is 1 - 2^-k for sets of one size, and
    rises with the number of samples.

    Args:
        k: which neighbour makes the radius, 1 or more; 5 in the paper.
        extractor: see `BlockMetric`.
    """

    stem = "dc"

    def compute(self) -> dict[str, float]:
        """Of all samples so far against the reference."""
        real, fake, real_radii = self.both_sets()
        density, coverage = density_and_coverage(real=real, fake=fake, real_radii=real_radii, k=self.k)
        return {"_density": density, "_coverage": coverage}
