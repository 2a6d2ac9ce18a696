"""Mean and covariance of a set of vectors, in float64, the covariance as a factor or as it is."""

import torch
from torch import Tensor

# Matrices up to this size are multiplied as they are: halving them further costs more than it saves.
LEAF = 256


def finite_matrix(values: Tensor, what: str, minimum: int = 2) -> Tensor:
    """(N, d) float64 on the CPU, once it is known to be a matrix of at least `minimum` rows of finite numbers.

    Raises:
        ValueError: otherwise; it counts the rows that hold NaN or infinity.
    """
    if values.dim() != 2 or len(values) < minimum:
        raise ValueError(f"{what} must be (N, d) with N >= {minimum}, got shape {tuple(values.shape)}")
    wide = values.detach().cpu().double()
    # Anything that is not finite spoils the sum, which is quicker than looking at each row.
    if not wide.sum().isfinite() and (bad := int((~wide.isfinite()).any(dim=1).sum())):
        raise ValueError(f"{bad} of {len(values)} rows of {what} hold NaN or infinity")
    return wide


def mean_and_factor(values: Tensor, rows: int = 8192) -> tuple[Tensor, Tensor]:
    """Mean m and a factor F of the covariance: F^T F = sum (x - m)(x - m)^T / (N - 1).

    With fewer values than columns, F is the centred values; else the triangle of their QR decomposition, taken `rows`
    at a time to bound memory. Nothing is squared: the small directions of a singular covariance keep their precision.

    Args:
        values: (N, d) float64, N >= 2.
    Returns:
        (d,) and (min(N, d), d), float64; the square one is an upper triangle.
    """
    mean = values.mean(dim=0)
    scale = (len(values) - 1) ** 0.5
    if len(values) < values.shape[1]:
        return mean, (values - mean) / scale
    triangle = values[:0]
    for block in values.split(rows):
        triangle = torch.linalg.qr(torch.cat([triangle, block - mean]), mode="r").R
    return mean, triangle / scale


def mean_and_covariance(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance, divided by N - 1, in half the time of the factor: (N, d) float64 -> (d,), (d, d) float64."""
    mean = values.mean(dim=0)
    covariance = values.new_empty(values.shape[1], values.shape[1])
    _products_of_columns(values - mean, covariance)
    return mean, covariance / (len(values) - 1)


def _products_of_columns(values: Tensor, products: Tensor) -> None:
    """Write X^T X into `products`. It is symmetric: by halves, the block of each pair is multiplied once."""
    columns = values.shape[1]
    if columns <= LEAF:
        torch.mm(values.T, values, out=products)
        return
    half = columns // 2
    _products_of_columns(values[:, :half], products[:half, :half])
    _products_of_columns(values[:, half:], products[half:, half:])
    torch.mm(values[:, half:].T, values[:, :half], out=products[half:, :half])
    products[:half, half:] = products[half:, :half].T


def congruent(triangle: Tensor, symmetric: Tensor) -> Tensor:
    """The lower half of U S U^T, in a third of the time of two plain products; what lies above is not to be read.

    Args:
        triangle: U, (d, d) float64, zero below the diagonal.
        symmetric: S, (d, d) float64.
    """
    product = torch.zeros_like(symmetric)
    _congruent(triangle, symmetric, product)
    return product


def _congruent(upper: Tensor, symmetric: Tensor, product: Tensor) -> None:
    """By halves: U = [[A, B], [0, D]], S = [[P, Q], [Q^T, R]].

    The lower right block of U S U^T is D R D^T and the lower left one D (A Q + B R)^T. The upper left one is
    A P A^T + Z + Z^T with Z = (A Q + B R / 2) B^T.
    """
    size = len(upper)
    if size <= LEAF:
        torch.mm(upper @ symmetric, upper.T, out=product)
        return
    half = size // 2
    _congruent(upper[:half, :half], symmetric[:half, :half], product[:half, :half])
    _congruent(upper[half:, half:], symmetric[half:, half:], product[half:, half:])
    aq, br = upper[:half, :half] @ symmetric[:half, half:], upper[:half, half:] @ symmetric[half:, half:]
    torch.mm(upper[half:, half:], (aq + br).T, out=product[half:, :half])
    z = (aq + br / 2) @ upper[:half, half:].T
    product[:half, :half] += z + z.T
