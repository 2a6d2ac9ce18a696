"""Nearest neighbours in feature space: exact, with memory for a few rows of the matrix of distances, in float64.

All pairs go through |a|^2 + |b|^2 - 2 a.b, whose rounding would part points that are equal. What is kept of them is
therefore measured again by differences, and comparisons with a radius give way by what rounding can move.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

ROWS = 256


def nearest(
    queries: Tensor, points: Tensor, k: int, *, themselves: bool = False, rows: int = ROWS
) -> tuple[Tensor, Tensor]:
    """The k nearest of `points` to each query.

    Args:
        queries: (N, d) float64.
        points: (M, d) float64; M >= k, or k + 1 where the queries are the points.
        themselves: the queries are the points, and none is its own neighbour.
        rows: how many queries are held against all points at a time.
    Returns:
        (N, k) float64 Euclidean distances, rising, and (N, k) int64 indices of points. A distance is exact; which of
        points that are equally near up to rounding is named is not settled.
    Raises:
        ValueError: too few points.
    """
    if len(points) < k + themselves:
        raise ValueError(f"{k} nearest neighbours need at least {k + themselves} points, got {len(points)}")
    distances, indices = [], []
    for start, block, squared, _ in _blocks(queries, points, rows):
        if themselves:
            squared[range(len(block)), range(start, start + len(block))] = torch.inf
        chosen = squared.topk(k, dim=1, largest=False).indices
        near, order = (block[:, None] - points[chosen]).norm(dim=2).sort(dim=1)
        distances.append(near)
        indices.append(chosen.gather(1, order))
    return torch.cat(distances), torch.cat(indices)


def radii(points: Tensor, k: int, rows: int = ROWS) -> Tensor:
    """Distance of each point to its k-th nearest other: (N, d) float64 -> (N,) float64."""
    return nearest(points, points, k, themselves=True, rows=rows)[0][:, -1]


def squared_distances(queries: Tensor, points: Tensor, rows: int = ROWS) -> Iterator[tuple[slice, Tensor]]:
    """Squared distances of a few queries at a time to all points, less what rounding may have added.

    Whether they are at most a squared radius that `radii` gave is then right at the very rim too.

    Args:
        queries, points: (N, d), (M, d) float64.
    Yields:
        which queries, and (rows, M) float64.
    """
    for start, block, squared, rounding in _blocks(queries, points, rows):
        yield slice(start, start + len(block)), squared.sub_(rounding)


def _blocks(queries: Tensor, points: Tensor, rows: int) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
    """Start of a block of queries, the block, its squared distances to all points, and how far off these may be."""
    point_norms = points.square().sum(dim=1)
    # A sum of d products is off by d epsilon / 2 of its terms at most; three sums and a squared radius come together.
    doubt = 2 * (points.shape[1] + 2) * torch.finfo(torch.float64).eps
    for start in range(0, len(queries), rows):
        block = queries[start : start + rows]
        norms = block.square().sum(dim=1, keepdim=True) + point_norms
        yield start, block, torch.addmm(norms, block, points.T, alpha=-2), doubt * norms
