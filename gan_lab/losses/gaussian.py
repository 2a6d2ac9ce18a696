"""Of normal distributions with independent columns: divergence from the standard one, and likelihood."""

import math

from torch import Tensor


def divergence_from_standard(*, mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) | N(0, 1)) (Kingma and Welling 2014, appendix B): sum of (m^2 + v - log v - 1) / 2.

    Args:
        mean: (B, D).
        log_variance: (B, D), of any size.
    Returns:
        (B,) float32, 0 or more: summed over D.
    """
    mean, log_variance = mean.float(), log_variance.float()
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1)


def negative_log_likelihood(*, values: Tensor, mean: Tensor, deviation: float) -> Tensor:
    """-log N(values; mean, deviation^2), one deviation for all: sum of (x - m)^2 / (2 s^2) + log(s sqrt(2 pi)).

    Args:
        values: (B, ...).
        mean: of the shape of `values`.
        deviation: s, more than 0, in the unit of `values`.
    Returns:
        (B,) float32: summed over all but the batch; negative where the density is more than 1.
    """
    squares = ((values.float() - mean.float()) / deviation).square().flatten(1)
    return (0.5 * squares + math.log(deviation * math.sqrt(2 * math.pi))).sum(1)
