"""Mean and covariance of a set of vectors, in float64, the covariance as a factor."""

import torch
from torch import Tensor


def finite_matrix(values: Tensor, what: str, minimum: int = 2) -> Tensor:
    """(N, d) float64 on the CPU, once it is known to be a matrix of at least `minimum` rows of finite numbers.

    Raises:
        ValueError: otherwise; it counts the rows that hold NaN or infinity.
    """
    if values.dim() != 2 or len(values) < minimum:
        raise ValueError(f"{what} must be (N, d) with N >= {minimum}, got shape {tuple(values.shape)}")
    bad = int((~values.isfinite()).any(dim=1).sum())
    if bad:
        raise ValueError(f"{bad} of {len(values)} rows of {what} hold NaN or infinity")
    return values.detach().cpu().double()


def mean_and_factor(values: Tensor, rows: int = 8192) -> tuple[Tensor, Tensor]:
    """Mean m and a factor F of the covariance: F^T F = sum (x - m)(x - m)^T / (N - 1).

    F is the triangle of a QR decomposition of the centred values, taken `rows` at a time to bound memory: nothing is
    squared, so the small directions of a singular covariance keep their precision.

    Args:
        values: (N, d) float64, N >= 2.
    Returns:
        (d,) and (min(N, d), d), float64.
    """
    mean = values.mean(dim=0)
    triangle = values[:0]
    for block in values.split(rows):
        triangle = torch.linalg.qr(torch.cat([triangle, block - mean]), mode="r").R
    return mean, triangle / (len(values) - 1) ** 0.5
