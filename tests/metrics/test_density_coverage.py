"""Density and coverage: prdc, hand-worked balls, copies, and the direction of each."""

import pytest
import torch
from references import reference_of

from gan_lab.metrics.density_coverage import DensityCoverage
from gan_lab.metrics.reference import Reference


def normal(count: int, columns: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, columns, generator=torch.Generator().manual_seed(seed))


def scored(real: torch.Tensor, fake: torch.Tensor, k: int = 5) -> tuple[float, float]:
    metric = DensityCoverage(k=k, extractor=None)
    metric.set_reference(reference_of(real))
    for block in fake.split(37):
        metric.update(block)
    values = metric.compute()
    assert set(values) == {"_density", "_coverage"}
    return values["_density"], values["_coverage"]


def test_hand_worked():
    # k = 1: reals 0, 1, 10 have radii 1, 1, 9. Fakes 2, 11, 50 lie in 2, 1 and 0 balls, of the reals 1 and 10.
    real, fake = torch.tensor([[0.0], [1.0], [10.0]]), torch.tensor([[2.0], [11.0], [50.0]])
    assert scored(real, fake, k=1) == (3 / 3, 2 / 3)
    # k = 2: radii 10, 9, 10; 2 lies in all three balls and 11 in that of 10 alone.
    assert scored(real, fake, k=2) == (4 / (2 * 3), 1.0)


@pytest.mark.parametrize(("k", "count", "columns"), [(1, 150, 4), (5, 300, 8), (5, 90, 600)])
def test_equals_prdc(k, count, columns):
    from prdc import compute_prdc

    real, fake = normal(200, columns), 0.9 * normal(count, columns, seed=1) + 0.2
    theirs = compute_prdc(real.double().numpy(), fake.double().numpy(), nearest_k=k)
    assert scored(real, fake, k) == pytest.approx((theirs["density"], theirs["coverage"]), rel=1e-14)
    assert theirs["density"] > 0


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_copies_lie_in_k_balls_and_their_own(offset):
    real = normal(150, 64) + offset
    assert scored(real, real) == (6 / 5, 1.0)


def test_equal_points_are_covered():
    assert scored(torch.ones(20, 5), torch.ones(30, 5)) == (20 / 5, 1.0)


def test_coverage_of_the_same_distribution():
    # 1 - 2^-k in the limit of large sets of one size (section 3.3 of the paper).
    density, coverage = scored(normal(2000, 4), normal(2000, 4, seed=1))
    assert coverage == pytest.approx(1 - 2**-5, abs=0.02)
    assert density == pytest.approx(1, abs=0.05)


def test_collapse_and_lost_classes_lower_coverage():
    classes = torch.arange(4).repeat(100)[:, None] * 20.0
    real, fake = normal(400) + classes, normal(400, seed=1) + classes
    good = scored(real, fake)
    assert scored(real, fake[classes[:, 0] < 40])[1] < good[1] - 0.4
    assert scored(real, real[:1].repeat(400, 1))[1] < 0.1
    assert scored(real, fake + 2 * normal(400, seed=2))[0] < good[0] - 0.3


def test_an_outlier_among_reals_lifts_recall_and_not_coverage():
    real = torch.cat([normal(200, 2), torch.tensor([[1000.0, 0.0]])])
    far = torch.tensor([100.0, 0.0]) + 0.01 * normal(200, 2, seed=1)
    density, coverage = scored(real, far)
    assert density == pytest.approx(1 / 5, abs=1e-12)
    assert coverage == pytest.approx(1 / 201, abs=1e-12)


def test_the_radii_of_a_reference_are_kept_and_those_of_another_are_not(monkeypatch):
    from gan_lab.metrics import balls

    measured = []
    plain = balls.radii
    monkeypatch.setattr(balls, "radii", lambda points, k: measured.append(len(points)) or plain(points, k))
    metric = DensityCoverage(k=5, extractor=None)
    first, second = reference_of(normal(50)), reference_of(3 * normal(60, seed=1))
    for reference in (first, Reference(first.statistics, first.images, None), second):
        metric.set_reference(reference)
        metric.update(normal(20, seed=2))
        value = metric.compute()
        metric.reset()
    assert measured == [50, 60]
    assert (value["_density"], value["_coverage"]) == scored(3 * normal(60, seed=1), normal(20, seed=2))


def test_name_protocol_and_refusals():
    metric = DensityCoverage(k=3, extractor=None)
    assert (metric.name, metric.protocol()["k"]) == ("dc_k3", 3)
    with pytest.raises(ValueError, match="k must be 1 or more, got 0"):
        DensityCoverage(k=0, extractor=None)
    with pytest.raises(ValueError, match="at least 6 points, got 5"):
        scored(normal(5), normal(10))
