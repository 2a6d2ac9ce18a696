"""FD-infinity: the fit by hand, the sizes, and the error against known distances of Gaussians."""

import numpy as np
import pytest
import torch

from gan_lab.metrics.frechet import FrechetDistance, FrechetParts
from gan_lab.metrics.frechet_infinity import FrechetInfinity, fit_in_one_over_n
from gan_lab.metrics.reference import Reference, ReferenceStatistics


def normal(count: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, columns, generator=torch.Generator().manual_seed(seed))


def made(*, points: int = 15, smallest: float = 0.1, seed: int = 0) -> FrechetInfinity:
    return FrechetInfinity(points=points, smallest=smallest, seed=seed)


def standard_normal(columns: int) -> Reference:
    """What infinitely many samples of N(0, I) would have; the features themselves have no part in the distance."""
    mean, factor = torch.zeros(columns, dtype=torch.float64), torch.eye(columns, dtype=torch.float64)
    return Reference(ReferenceStatistics(mean, factor, factor.float()), np.zeros((0, 1, 1, 1), np.uint8), None)


def scored(metric, reference: Reference, features: torch.Tensor) -> dict[str, float]:
    metric.set_reference(reference)
    for block in features.split(50):
        metric.update(block)
    return metric.compute()


def test_a_line_by_hand():
    # 1/N = 1/4, 1/2, 1 and 3 + 2/N exactly; then with the residuals r = (2, -3, 1) / 100, orthogonal to 1 and 1/N.
    sizes = np.array([4, 2, 1])
    assert fit_in_one_over_n(sizes, 3 + 2 / sizes) == pytest.approx((3, 2, 0), abs=1e-12)
    line = fit_in_one_over_n(sizes, 3 + 2 / sizes + np.array([2, -3, 1]) / 100)
    # s^2 = sum r^2 / (3 - 2) = 14e-4; 1/N has mean 7/12 and 7/24 as sum of squares about it: 1/3 + 49/144 * 24/7.
    assert line == pytest.approx((3, 2, (14e-4 * (1 / 3 + 7 / 6)) ** 0.5), rel=1e-12)


def test_sizes_go_from_the_smallest_to_all():
    assert made().sizes(50_000).tolist()[:3] == [5_000, 8_214, 11_429]
    assert made().sizes(50_000)[-1] == 50_000
    assert made(points=3, smallest=0.5).sizes(100).tolist() == [50, 75, 100]
    metric = made(points=90, smallest=0.5)
    assert metric.minimum == 180
    assert len(set(metric.sizes(metric.minimum).tolist())) == 90


@pytest.mark.parametrize("columns", [32, 64])
def test_nearer_to_the_truth_than_the_plain_distance(columns):
    # N(0.1, 1.1^2 I) against N(0, I): d 0.1^2 + d 0.1^2.
    truth = 0.02 * columns
    plain, extrapolated = [], []
    for seed in range(10):
        features = 1.1 * normal(1500, columns, seed) + 0.1
        plain.append(scored(FrechetDistance(), standard_normal(columns), features)[""])
        extrapolated.append(scored(made(), standard_normal(columns), features)[""])
    assert abs(np.mean(extrapolated) - truth) < 0.4 * abs(np.mean(plain) - truth)
    assert np.mean(plain) > truth


def test_the_slope_is_the_bias_and_the_error_is_of_the_intercept():
    # For N(0, I) against itself N times the bias tends to d + d (d + 1) / 8 + ...: the mean's part alone is d = 8.
    result = scored(made(), standard_normal(8), normal(4000, 8))
    assert set(result) == {"", "_slope", "_error"}
    assert 8 < result["_slope"] < 32
    assert 0 < result["_error"] < 0.01
    assert abs(result[""]) < 5 * result["_error"] + 0.002


def test_subsets_have_no_repeats(monkeypatch):
    seen = []

    def watched(*, real_mean, real_factor, fake):
        seen.append(fake)
        return FrechetParts(1.0, 1.0, 0.0)

    monkeypatch.setattr("gan_lab.metrics.frechet_infinity.frechet_distance_of_samples", watched)
    metric, rows = made(points=4, smallest=0.25), torch.arange(200.0).reshape(100, 2)
    scored(metric, standard_normal(2), rows)
    assert [len(values) for values in seen] == [25, 50, 75, 100]
    assert [len(set(values[:, 0].tolist())) for values in seen] == [25, 50, 75, 100]
    assert not set(seen[0][:, 0].tolist()) <= set(seen[1][:, 0].tolist())  # each size has a subset of its own


def test_own_seed_alone_decides():
    features, reference = normal(300, 4), standard_normal(4)
    np.random.seed(0)
    first = scored(made(), reference, features)
    np.random.seed(1)
    assert scored(made(), reference, features) == first
    assert scored(made(seed=1), reference, features) != first
    assert made(seed=1).protocol() != made().protocol()


def test_refusals():
    with pytest.raises(ValueError, match=r"got 2 and 0\.1"):
        made(points=2)
    with pytest.raises(ValueError, match="got 15 and 1"):
        made(smallest=1)
    with pytest.raises(ValueError, match="at least 100 samples, got 99"):
        scored(made(), standard_normal(4), normal(99, 4))
    with pytest.raises(ValueError, match="has 10 of 100 samples, but 6 features need 12: take 120 samples"):
        scored(made(), standard_normal(6), normal(100, 6))
