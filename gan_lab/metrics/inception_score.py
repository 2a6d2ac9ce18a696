"""Inception Score (Salimans et al. 2016, section 4): sure of every image's class, unsure of the next one's."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan_lab.metrics.base import BlockMetric
from gan_lab.metrics.moments import finite_matrix
from gan_lab.sampling import legacy_seed


def inception_score(logits: Tensor) -> float:
    """exp of the mean KL divergence between p(y|x) and its mean over x.

    Args:
        logits: (N, K) float64.
    """
    log_p = logits.log_softmax(dim=1)
    # Through logsumexp, the mean of probabilities that underflow keeps a finite logarithm.
    log_q = log_p.logsumexp(dim=0) - np.log(len(logits))
    return (log_p.exp() * (log_p - log_q)).sum(dim=1).mean().exp().item()


def split_scores(logits: Tensor, splits: int, seed: int) -> list[float]:
    """The score of each of `splits` parts of a permutation; part i holds places i*N//splits .. (i+1)*N//splits - 1.

    The permutation is torch-fidelity's for the same seed: RandomState's streams are frozen, those of newer NumPy
    generators may change.
    """
    count = len(logits)
    shuffled = logits[torch.from_numpy(np.random.RandomState(legacy_seed(seed)).permutation(count))]
    return [inception_score(shuffled[i * count // splits : (i + 1) * count // splits]) for i in range(splits)]


class InceptionScore(BlockMetric):
    """Inception Score: "" mean over splits, "_std" their deviation (ddof 0), "_1split" all samples at once.

    Args:
        splits: parts of the permutation, at least 1.
        seed: of the permutation.
        extractor: see `BlockMetric`.
    """

    name = "is"
    higher_is_better = True
    needs = ("logits",)
    uses_reference = False

    def __init__(self, splits: int, seed: int, extractor: str | None = None) -> None:
        super().__init__(extractor)
        if splits < 1:
            raise ValueError(f"splits must be 1 or more, got {splits}")
        self.splits, self.seed = splits, seed
        self.minimum = max(2, splits)

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"metric": self.name, "splits": self.splits, "seed": self.seed}

    def compute(self) -> dict[str, float]:
        """Of all samples so far."""
        logits = finite_matrix(self.values("logits"), "generated logits")
        scores = np.array(split_scores(logits, self.splits, self.seed))
        return {"": float(scores.mean()), "_std": float(scores.std()), "_1split": inception_score(logits)}
