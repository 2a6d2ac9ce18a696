"""CMMD (Jayasumana et al. 2024, section 4): squared MMD with a Gaussian kernel, on embeddings of unit length."""

from typing import Any

import torch
from torch import Tensor

from gan_lab.metrics.base import BlockMetric
from gan_lab.metrics.moments import finite_matrix


def gaussian_mmd(*, real: Tensor, fake: Tensor, sigma: float, rows: int = 1000) -> float:
    """Biased (V-statistic) squared MMD with k(a, b) = exp(-|a - b|^2 / (2 sigma^2)): a row and itself are a pair.

    Unit rows and a wide kernel leave all of k near 1, and the MMD a small difference of three means. k - 1 has the same
    MMD, since the ones cancel, and keeps the digits.

    Args:
        real, fake: (N, d), (M, d) float64 rows of length 1.
        sigma: width of the kernel, above 0.
        rows: no more rows of a kernel matrix are ever held.
    """
    within_real = _mean_kernel(real, real, sigma, rows)
    within_fake = _mean_kernel(fake, fake, sigma, rows)
    return (within_real + within_fake - 2 * _mean_kernel(fake, real, sigma, rows)).item()


def _mean_kernel(a: Tensor, b: Tensor, sigma: float, rows: int) -> Tensor:
    """Mean of k - 1 over all pairs of rows; |a - b|^2 = 2 - 2 a . b."""
    total = sum(((some @ b.T - 1) / sigma**2).expm1().sum() for some in a.split(rows))
    return torch.as_tensor(total) / (len(a) * len(b))


def unit_rows(values: Tensor, what: str) -> Tensor:
    """(N, d) rows at length 1.

    Raises:
        ValueError: rows of zeros, which have no direction; it counts them.
    """
    lengths = values.norm(dim=1, keepdim=True)
    if zeros := int((lengths == 0).sum()):
        raise ValueError(f"{zeros} of {len(values)} rows of {what} are zero and cannot be brought to length 1")
    return values / lengths


class CLIPMaximumMeanDiscrepancy(BlockMetric):
    """Squared MMD to the reference on directions of features: "" times `scale`.

    It is CMMD in the space of CLIP ViT-L/14-336 with sigma 10 and scale 1000. Being biased, it is above 0 for two sets
    of the same distribution, by about (1 - mean k) (1/N + 1/M) times `scale`: compare equal numbers of samples.

    Args:
        sigma: width of the kernel, above 0.
        scale: factor of the result, above 0.
        extractor: see `BlockMetric`.
    """

    name = "cmmd"
    higher_is_better = False
    needs = ("features",)
    uses_reference = True

    def __init__(self, *, sigma: float, scale: float, extractor: str | None = None) -> None:
        super().__init__(extractor)
        if sigma <= 0 or scale <= 0:
            raise ValueError(f"sigma and scale must be above 0, got {sigma} and {scale}")
        self.sigma, self.scale = sigma, scale

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "metric": self.name,
            "kernel": "exp(-|a - b|^2 / (2 sigma^2)) of features at length 1, biased",
            "sigma": self.sigma,
            "scale": self.scale,
        }

    def compute(self) -> dict[str, float]:
        """Of all samples so far against the reference."""
        fake = unit_rows(finite_matrix(self.values("features"), "generated features"), "generated features")
        real = unit_rows(self.statistics(fake.shape[1]).features.double(), "reference features")
        return {"": self.scale * gaussian_mmd(real=real, fake=fake, sigma=self.sigma)}
