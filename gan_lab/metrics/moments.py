"""Mean and covariance of a set of vectors, in float64, the covariance as a factor or as it is."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

# Matrices up to this size are multiplied as they are: halving them further costs more than it saves.
LEAF = 256
# So many rows are widened and centred at a time: they stay near the processor, and no second copy of all is made.
ROWS = 1024


def finite_matrix(values: Tensor, what: str, minimum: int = 2) -> Tensor:
    """`finite_features` in float64."""
    return finite_features(values, what, minimum).double()


def finite_features(values: Tensor, what: str, minimum: int = 2) -> Tensor:
    """(N, d) on the CPU in its own type, known to be a matrix of at least `minimum` rows of finite numbers.

    Raises:
        ValueError: otherwise; it counts the rows that hold NaN or infinity.
    """
    if values.dim() != 2 or len(values) < minimum:
        raise ValueError(f"{what} must be (N, d) with N >= {minimum}, got shape {tuple(values.shape)}")
    values = values.detach().cpu()
    # Anything that is not finite spoils the sum, which is quicker than looking at each row.
    if not values.sum().isfinite() and (bad := int((~values.isfinite()).any(dim=1).sum())):
        raise ValueError(f"{bad} of {len(values)} rows of {what} hold NaN or infinity")
    return values


def mean_of_rows(values: Tensor) -> Tensor:
    """(N, d) float32 or float64 -> (d,), summed in float64."""
    total = torch.zeros(values.shape[1], dtype=torch.float64)
    for block in values.split(ROWS):
        total += block.double().sum(dim=0)
    return total / len(values)


def mean_and_factor(values: Tensor, rows: int = 8192) -> tuple[Tensor, Tensor]:
    """Mean m and a factor F of the covariance: F^T F = sum (x - m)(x - m)^T / (N - 1).

    With fewer values than columns, F is the centred values; else the triangle of their QR decomposition, taken `rows`
    at a time to bound memory. Nothing is squared: the small directions of a singular covariance keep their precision.

    Args:
        values: (N, d) float32 or float64, N >= 2.
    Returns:
        (d,) and (min(N, d), d), float64; the square one is an upper triangle.
    """
    mean = mean_of_rows(values)
    scale = (len(values) - 1) ** 0.5
    if len(values) < values.shape[1]:
        return mean, (values - mean) / scale
    triangle = mean.new_empty(0, len(mean))
    for block in values.split(rows):
        triangle = torch.linalg.qr(torch.cat([triangle, block - mean]), mode="r").R
    return mean, triangle / scale


def mean_and_covariance(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance, divided by N - 1, in half the time of the factor.

    Args:
        values: (N, d) float32 or float64, N >= 2.
    Returns:
        (d,) and (d, d), float64.
    """
    mean = mean_of_rows(values)
    lower = mean.new_zeros(len(mean), len(mean))
    centred = mean.new_empty(min(ROWS, len(values)), len(mean))
    for block in values.split(ROWS):
        _add_products_of_columns(torch.sub(block, mean, out=centred[: len(block)]), lower)
    covariance = lower.tril_().div_(len(values) - 1)
    covariance += covariance.tril(-1).T
    return mean, covariance


def _add_products_of_columns(values: Tensor, products: Tensor) -> None:
    """Add X^T X to the lower half of `products`, by halves, so that each pair of columns is multiplied once."""
    columns = values.shape[1]
    if columns <= LEAF:
        products.addmm_(values.T, values)
        return
    half = columns // 2
    _add_products_of_columns(values[:, :half], products[:half, :half])
    _add_products_of_columns(values[:, half:], products[half:, half:])
    products[half:, :half].addmm_(values[:, half:].T, values[:, :half])


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


@contextmanager
def one_thread() -> Iterator[None]:
    """A single CPU thread for what is inside, for routines that are bound by memory."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
