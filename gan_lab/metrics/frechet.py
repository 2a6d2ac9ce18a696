"""Fréchet distance of two sets of features, each taken for a Gaussian (Heusel et al. 2017, equation 6)."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from gan_lab.metrics.base import BlockMetric
from gan_lab.metrics.moments import congruent, finite_features, mean_and_covariance, mean_and_factor, one_thread

# How much of a distance the quick way may lose to rounding.
TOLERANCE = 1e-9


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


def frechet_distance_of_samples(*, real_mean: Tensor, real_factor: Tensor, fake: Tensor) -> FrechetParts:
    """`frechet_distance` to the Gaussian of the samples, in a third of the time where rounding permits.

    Args:
        fake: (N, d) float32 or float64.
        real_mean: (d,) float64.
        real_factor: (any, d) float64; a square one must be an upper triangle, as `mean_and_factor` gives it.
    """
    count, columns = fake.shape
    if count > columns and real_factor.shape == (columns, columns):
        parts = _from_eigenvalues(real_mean=real_mean, real_factor=real_factor, fake=fake)
        if parts is not None:
            return parts
    mean, factor = mean_and_factor(fake)
    return frechet_distance(real_mean=real_mean, real_factor=real_factor, fake_mean=mean, fake_factor=factor)


def _from_eigenvalues(*, real_mean: Tensor, real_factor: Tensor, fake: Tensor) -> FrechetParts | None:
    """By the roots of the eigenvalues of F1 C2 F1^T, which are those of C1 C2; None where they are not exact enough.

    Rounding moves each eigenvalue by some epsilon of the largest: the small ones of covariances that are singular, or
    almost so, are lost in it, and their roots with them. That all of them go one way is the worst case; for spectra of
    many shapes, errors were a tenth of it or less.
    """
    mean, covariance = mean_and_covariance(fake)
    product = congruent(real_factor, covariance)
    with one_thread():  # more of them spend half as much again in waiting for each other
        eigenvalues = torch.linalg.eigvalsh(product)
    rounding = max(torch.finfo(torch.float64).eps * eigenvalues.abs().max().item(), 1e-300)
    roots = eigenvalues.clamp(min=0).sqrt()
    mean_part = (real_mean - mean).square().sum()
    trace_part = torch.linalg.vector_norm(real_factor) ** 2 + covariance.trace() - 2 * roots.sum()
    distance = (mean_part + trace_part).item()
    # The root of v + r is above that of v by r / 2 sqrt(v), and by sqrt(r) at most; it counts twice.
    doubt = (rounding / roots.clamp(min=rounding**0.5)).sum().item()
    return FrechetParts(distance, mean_part.item(), trace_part.item()) if doubt <= TOLERANCE * distance else None


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
        features = finite_features(self.values("features"), "generated features")
        reference = self.statistics(columns=features.shape[1])
        parts = frechet_distance_of_samples(real_mean=reference.mean, real_factor=reference.factor, fake=features)
        return {"": parts.distance, "_mean_part": parts.mean_part, "_trace_part": parts.trace_part}
