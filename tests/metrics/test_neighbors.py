"""Nearest neighbours against scipy's tree, and where rounding would part equal points."""

import pytest
import torch
from scipy.spatial import cKDTree

from gan_lab.metrics.neighbors import nearest, radii, squared_distances


def normal(count: int, columns: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rows", [1, 7, 40, 1000])
def test_equals_a_tree(rows):
    queries, points = normal(40), normal(60, seed=1)
    distances, indices = nearest(queries, points, 4, rows=rows)
    expected, places = cKDTree(points.numpy()).query(queries.numpy(), k=4)
    torch.testing.assert_close(distances, torch.from_numpy(expected), rtol=1e-14, atol=0)
    assert torch.equal(indices, torch.from_numpy(places))


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_a_point_is_not_its_own_neighbour(rows):
    points = normal(50)
    expected = cKDTree(points.numpy()).query(points.numpy(), k=4)[0][:, 3]
    torch.testing.assert_close(radii(points, 3, rows=rows), torch.from_numpy(expected), rtol=1e-14, atol=0)


def test_hand_worked():
    points = torch.tensor([[0.0], [1.0], [3.0], [7.0]], dtype=torch.float64)
    assert radii(points, 1).tolist() == [1, 1, 2, 4]
    assert radii(points, 2).tolist() == [3, 2, 3, 6]
    distances, indices = nearest(torch.tensor([[3.5]], dtype=torch.float64), points, 2)
    assert (distances.tolist(), indices.tolist()) == ([[0.5, 2.5]], [[2, 1]])


@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("columns", [3, 700])
def test_copies_are_at_distance_zero(columns, offset):
    points = normal(90, columns) + offset
    distances, indices = nearest(points[20:70], points, 1)
    assert not distances.any()
    assert torch.equal(indices[:, 0], torch.arange(20, 70))


@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("rows", [1, 3, 64])
def test_the_rim_is_inside_whatever_the_rounding(rows, offset):
    # Each ball reaches its third neighbour exactly: with the point itself it holds four, and no fifth.
    points = normal(90, 300) + offset
    reach = radii(points, 3)
    inside = torch.cat([squared <= reach.square() for _, squared in squared_distances(points, points, rows)])
    assert inside.sum(dim=0).tolist() == [4] * 90
    inside = torch.cat(
        [squared <= reach[chosen, None].square() for chosen, squared in squared_distances(points, points, rows)]
    )
    assert inside.sum(dim=1).tolist() == [4] * 90


def test_squared_distances_are_plain_ones():
    queries, points = normal(30), normal(50, seed=1)
    expected = torch.cdist(queries, points, compute_mode="donot_use_mm_for_euclid_dist").square()
    found = torch.cat([squared for _, squared in squared_distances(queries, points, rows=8)])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_too_few_points():
    with pytest.raises(ValueError, match="3 nearest neighbours need at least 4 points, got 3"):
        radii(normal(3), 3)
    with pytest.raises(ValueError, match="at least 3 points, got 2"):
        nearest(normal(3), normal(2), 3)
