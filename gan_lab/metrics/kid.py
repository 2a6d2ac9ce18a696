"""Kernel distance (KID, Binkowski et al. 2018, section 4): unbiased squared MMD with a cubic kernel."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan_lab.metrics.base import BlockMetric
from gan_lab.metrics.moments import finite_matrix
from gan_lab.sampling import legacy_seed


def cubic_kernel(a: Tensor, b: Tensor) -> Tensor:
    """(a . b / d + 1)^3 for all pairs of rows: (N, d), (M, d) -> (N, M)."""
    inner = a @ b.T / a.shape[1] + 1
    return inner * inner * inner


def unbiased_mmd(*, real: Tensor, fake: Tensor, rows: int = 1000) -> float:
    """Unbiased estimate of the squared MMD; never holds more than `rows` rows of a kernel matrix.

    Args:
        real, fake: (N, d), (M, d) float64, two rows each or more.
    """
    across = sum(cubic_kernel(block, real).sum() for block in fake.split(rows)) / (len(fake) * len(real))
    return float(_mean_over_pairs(real, rows) + _mean_over_pairs(fake, rows) - 2 * across)


def _mean_over_pairs(values: Tensor, rows: int) -> Tensor:
    """Mean kernel over pairs of different rows; the matrix is symmetric, so only its upper half is made."""
    total = values.new_zeros(())
    for start in range(0, len(values), rows):
        kernel = cubic_kernel(values[start : start + rows], values[start:])
        square = kernel[:, : len(kernel)]
        total += square.sum() - square.trace() + 2 * kernel[:, len(kernel) :].sum()
    return total / (len(values) * (len(values) - 1))


def subset_pairs(
    *, real_count: int, fake_count: int, subsets: int, size: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Indices (size,) of reals and of fakes, `subsets` times, without replacement within a subset.

    They are torch-fidelity's for the same seed, fakes as its first input.
    """
    generator = np.random.RandomState(legacy_seed(seed))
    for _ in range(subsets):
        fake = generator.choice(fake_count, size, replace=False)
        real = generator.choice(real_count, size, replace=False)
        yield torch.from_numpy(real), torch.from_numpy(fake)


class KernelDistance(BlockMetric):
    """KID to the reference: "" mean over subsets, "_std" their deviation (ddof 0), "_full" of all samples at once.

    With as many samples as a subset holds, or fewer, all subsets are the same set and the deviation is 0.

    Args:
        subsets: how many, at least 1.
        subset_size: rows of each set in a subset, at least 2; fewer where a set has fewer.
        seed: of the subsets.
        full_limit: "_full" is left out where either set is larger, since its cost grows with the product of the sizes.
        extractor: see `BlockMetric`.
    """

    name = "kid"
    higher_is_better = False
    needs = ("features",)
    uses_reference = True

    def __init__(
        self, subsets: int, subset_size: int, seed: int, full_limit: int, extractor: str | None = None
    ) -> None:
        super().__init__(extractor)
        if subsets < 1 or subset_size < 2:
            raise ValueError(f"subsets must be 1 or more and subset_size 2 or more, got {subsets} and {subset_size}")
        self.subsets, self.subset_size, self.seed, self.full_limit = subsets, subset_size, seed, full_limit

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "metric": self.name,
            "kernel": "(a . b / d + 1)^3, unbiased",
            "subsets": self.subsets,
            "subset_size": self.subset_size,
            "seed": self.seed,
        }

    def compute(self) -> dict[str, float]:
        """Of all samples so far against the reference."""
        fake = finite_matrix(self.values("features"), "generated features")
        real = self.statistics(columns=fake.shape[1]).features.double()
        pairs = subset_pairs(
            real_count=len(real),
            fake_count=len(fake),
            subsets=self.subsets,
            size=min(self.subset_size, len(real), len(fake)),
            seed=self.seed,
        )
        distances = np.array([unbiased_mmd(real=real[some], fake=fake[others]) for some, others in pairs])
        scores = {"": float(distances.mean()), "_std": float(distances.std())}
        if max(len(real), len(fake)) <= self.full_limit:
            scores["_full"] = unbiased_mmd(real=real, fake=fake)
        return scores
