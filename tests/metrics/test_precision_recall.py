"""Improved precision and recall: prdc, torch-fidelity, hand-worked balls, and the direction of each."""

import pytest
import torch
from references import reference_of

from gan_lab.metrics.precision_recall import PrecisionRecall
from gan_lab.metrics.reference import Reference


def normal(count: int, columns: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, columns, generator=torch.Generator().manual_seed(seed))


def scored(real: torch.Tensor, fake: torch.Tensor, k: int = 3) -> tuple[float, float]:
    metric = PrecisionRecall(k=k, extractor=None)
    metric.set_reference(reference_of(real))
    for block in fake.split(37):
        metric.update(block)
    values = metric.compute()
    assert set(values) == {"_precision", "_recall"}
    return values["_precision"], values["_recall"]


def test_hand_worked():
    # k = 1. Reals 0, 1, 10 have radii 1, 1, 9; fakes 2, 20, 22, 30 have 18, 2, 2, 8. Of the fakes 2 alone is in a
    # real's ball (1's, at the rim, and 10's); all reals are in the ball of 2.
    real, fake = torch.tensor([[0.0], [1.0], [10.0]]), torch.tensor([[2.0], [20.0], [22.0], [30.0]])
    assert scored(real, fake, k=1) == (1 / 4, 1.0)
    assert scored(fake, real, k=1) == (1.0, 1 / 4)


def test_the_rim_alone_decides():
    # k = 1, all reals have radius 1, both fakes 48. 2 is on the rim of 1's ball; 0 and 1 are in that of 2.
    real, fake = torch.tensor([[0.0], [1.0], [100.0], [101.0]]), torch.tensor([[2.0], [50.0]])
    assert scored(real, fake, k=1) == (1 / 2, 1 / 2)


@pytest.mark.parametrize(("k", "count", "columns"), [(1, 150, 4), (3, 300, 8), (5, 90, 600)])
def test_equals_prdc(k, count, columns):
    from prdc import compute_prdc

    real, fake = normal(200, columns), 0.9 * normal(count, columns, seed=1) + 0.2
    theirs = compute_prdc(real.double().numpy(), fake.double().numpy(), nearest_k=k)
    assert scored(real, fake, k) == (theirs["precision"], theirs["recall"])
    assert 0 < theirs["precision"] < 1 or 0 < theirs["recall"] < 1


def test_equals_torch_fidelity():
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    real, fake = normal(200), 0.7 * normal(300, seed=1)
    theirs = calculate_precision_recall_full(fake.double(), real.double(), neighborhood=3)
    assert scored(real, fake) == pytest.approx(theirs, abs=1e-7)
    assert theirs[0] > theirs[1] + 0.1


def test_equal_points_score_one():
    assert scored(torch.ones(20, 5), torch.ones(30, 5)) == (1.0, 1.0)


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_copies_score_one(offset):
    real = normal(150, 64) + offset
    assert scored(real, real) == (1.0, 1.0)


def test_a_tight_cluster_is_precise_and_recalls_nothing():
    # It sits on a real: were the two swapped, this would be (0, 1).
    real = normal(200)
    cluster = real[:1] + 1e-4 * normal(200, seed=1)
    precision, recall = scored(real, cluster)
    assert precision == 1.0
    assert recall <= 0.01


def test_noise_lowers_precision_and_lost_classes_lower_recall():
    classes = torch.arange(4).repeat(100)[:, None] * 20.0
    real, fake = normal(400) + classes, normal(400, seed=1) + classes
    good = scored(real, fake)
    noisy = scored(real, fake + 2 * normal(400, seed=2))
    lost = scored(real, fake[classes[:, 0] < 40])
    assert noisy[0] < good[0] - 0.3
    assert lost[1] < good[1] - 0.4
    assert lost[0] == pytest.approx(good[0], abs=0.1)


def test_the_radii_of_a_reference_are_kept_and_those_of_another_are_not(monkeypatch):
    from gan_lab.metrics import balls

    measured = []
    plain = balls.radii
    monkeypatch.setattr(balls, "radii", lambda points, k: measured.append(len(points)) or plain(points, k))
    metric = PrecisionRecall(k=3, extractor=None)
    first, second = reference_of(normal(50)), reference_of(3 * normal(60, seed=1))
    for reference in (first, Reference(first.statistics, first.images, None), second):
        metric.set_reference(reference)
        metric.update(normal(20, seed=2))
        value = metric.compute()
        metric.reset()
    assert measured == [50, 60]
    assert (value["_precision"], value["_recall"]) == scored(3 * normal(60, seed=1), normal(20, seed=2))


def test_name_protocol_and_refusals():
    metric = PrecisionRecall(k=5, extractor=None)
    assert (metric.name, metric.minimum, metric.protocol()["k"]) == ("pr_k5", 6, 5)
    with pytest.raises(ValueError, match="k must be 1 or more, got 0"):
        PrecisionRecall(k=0, extractor=None)
    with pytest.raises(ValueError, match="at least 4 samples, got 3"):
        scored(normal(10), normal(3))
    with pytest.raises(ValueError, match="at least 4 points, got 3"):
        scored(normal(3), normal(10))
    with pytest.raises(ValueError, match="1 of 10 rows of generated features"):
        scored(normal(10), torch.cat([normal(9), torch.full((1, 8), torch.nan)]))
