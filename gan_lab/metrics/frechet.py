"""Fréchet distance of two sets of features, each taken for a Gaussian (Heusel et al. 2017, equation 6)."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from gan_lab.metrics.base import BlockMetric
from gan_lab.metrics.moments import finite_matrix, mean_and_factor


class FrechetParts(NamedTuple):
    """The distance and its two summands."""

    distance: float
    mean_part: float
    trace_part: float


def frechet_distance(*, real_mean: Tensor, real_factor: Tensor, fake_mean: Tensor, fake_factor: Tensor) -> FrechetParts:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), with C = F^T F.

    The trace of the root is the sum of the singular values of F1 F2^T, so that no covariance is multiplied, rooted or
    inverted: as exact for singular covariances (fewer samples than columns) as for others.

    Args:
        real_mean, fake_mean: (d,) float64.
        real_factor, fake_factor: (any, d) float64 factors of the covariances.
    """
    mean_part = (real_mean - fake_mean).square().sum()
    root = torch.linalg.svdvals(real_factor @ fake_factor.T).sum()
    trace_part = real_factor.square().sum() + fake_factor.square().sum() - 2 * root
    return FrechetParts((mean_part + trace_part).item(), mean_part.item(), trace_part.item())


class FrechetDistance(BlockMetric):
    """Fréchet distance to the reference: "" the distance, "_mean_part" and "_trace_part" its summands."""

    name = "fd"
    higher_is_better = False
    needs = ("features",)
    uses_reference = True
    intervals = True

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"metric": self.name, "covariance": "divided by n - 1"}

    def compute(self) -> dict[str, float]:
        """Of all samples so far against the reference."""
        features = finite_matrix(self.values("features"), "generated features")
        reference = self.statistics(columns=features.shape[1])
        mean, factor = mean_and_factor(features)
        parts = frechet_distance(
            real_mean=reference.mean, real_factor=reference.factor, fake_mean=mean, fake_factor=factor
        )
        return {"": parts.distance, "_mean_part": parts.mean_part, "_trace_part": parts.trace_part}
