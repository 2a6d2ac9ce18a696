"""The intra-class Fréchet distance: classes by hand, singular covariances, and what the plain distance cannot see."""

import pytest
import torch
from references import reference_of

from gan_lab.metrics import intraclass
from gan_lab.metrics.frechet import FrechetDistance, frechet_distance
from gan_lab.metrics.intraclass import IntraclassFrechet
from gan_lab.metrics.moments import mean_and_factor


def normal(count: int, columns: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, columns, generator=torch.Generator().manual_seed(seed))


def scored(real, real_labels, fake, fake_labels) -> dict[str, float]:
    metric = IntraclassFrechet(extractor=None)
    metric.set_reference(reference_of(real, real_labels))
    for start in range(0, len(fake), 7):
        metric.update(fake[start : start + 7], fake_labels[start : start + 7])
    return metric.compute()


def plain(real: torch.Tensor, fake: torch.Tensor) -> float:
    (real_mean, real_factor), (mean, factor) = mean_and_factor(real.double()), mean_and_factor(fake.double())
    return frechet_distance(real_mean=real_mean, real_factor=real_factor, fake_mean=mean, fake_factor=factor).distance


def test_hand_worked():
    # Class 0: means 1 and 2, variances 2 and 8: 1 + (sqrt 2 - sqrt 8)^2 = 3. Class 4: a shift by 3: 9.
    real = torch.tensor([[0.0], [2.0], [5.0], [5.5], [7.0]])
    fake = torch.tensor([[8.0], [0.0], [8.5], [4.0], [10.0]])
    result = scored(real, torch.tensor([0, 0, 4, 4, 4]), fake, torch.tensor([4, 0, 4, 0, 4]))
    expected = {"": 6.0, "_worst": 9.0, "_fewest": 2.0, "_class0": 3.0, "_class4": 9.0}
    assert result == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("columns", [5, 30, 100])
def test_each_class_is_the_plain_distance_also_where_covariances_are_singular(columns):
    real, fake = normal(90, columns), 1.5 * normal(60, columns, seed=1) + 0.2
    real_labels, fake_labels = torch.arange(90) % 3, torch.arange(60).flip(0) % 3
    result = scored(real, real_labels, fake, fake_labels)
    expected = [plain(real[real_labels == label], fake[fake_labels == label]) for label in range(3)]
    assert [result[f"_class{label}"] for label in range(3)] == pytest.approx(expected, rel=1e-9)
    assert result[""] == pytest.approx(sum(expected) / 3, rel=1e-9)
    assert result["_worst"] == pytest.approx(max(expected), rel=1e-9)


def test_copies_are_at_distance_zero():
    real, labels = normal(40, 30), torch.arange(40) % 4
    assert scored(real, labels, real, labels)["_worst"] == pytest.approx(0, abs=1e-9)


def test_it_sees_labels_that_do_not_matter():
    labels = torch.arange(200) % 2
    real = normal(200) + 10.0 * labels[:, None]
    fake = normal(200, seed=1) + 10.0 * labels[:, None]
    overall = FrechetDistance(extractor=None)
    overall.set_reference(reference_of(real))
    overall.update(fake)
    assert overall.compute()[""] < 1
    assert scored(real, labels, fake, labels)[""] < 2
    assert scored(real, labels, fake, 1 - labels)[""] > 500


def test_many_classes_have_no_scores_of_their_own(monkeypatch):
    real, labels = normal(66), torch.arange(66) % 22
    assert set(scored(real, labels, real, labels)) == {"", "_worst", "_fewest"}
    monkeypatch.setattr(intraclass, "FEW_CLASSES", 22)
    assert len(scored(real, labels, real, labels)) == 3 + 22


@pytest.mark.parametrize("few", [2, 20])
def test_the_reference_is_kept_and_another_is_not_taken_for_it(monkeypatch, few):
    monkeypatch.setattr(intraclass, "FEW_CLASSES", few)
    measured = []
    monkeypatch.setattr(
        intraclass, "mean_and_factor", lambda values: measured.append(len(values)) or mean_and_factor(values)
    )
    labels = torch.arange(30) % 3
    metric = IntraclassFrechet(extractor=None)
    first, second = reference_of(normal(30), labels), reference_of(2 * normal(36), torch.arange(36) % 3)
    for reference in (first, first, second):
        metric.set_reference(reference)
        metric.update(normal(30, seed=1), labels)
        result = metric.compute()
        metric.reset()
    assert measured == ([10] * 3 + [12] * 3 if few == 20 else [10] * 6 + [12] * 3)
    assert result[""] == scored(2 * normal(36), torch.arange(36) % 3, normal(30, seed=1), labels)[""]


def test_refusals():
    labels = torch.arange(20) % 2
    lonely = torch.tensor([5] + [0] * 19)
    with pytest.raises(ValueError, match="class 1 has 0 of the samples, at least 2"):
        scored(normal(20), labels, normal(20), torch.zeros(20, dtype=torch.int64))
    with pytest.raises(ValueError, match="class 5 has 1 of the reference, at least 2"):
        scored(normal(20), lonely, normal(20), lonely)
    with pytest.raises(ValueError, match="samples of class 2, of which the reference has none"):
        scored(normal(20), labels, normal(20), torch.arange(20) % 3)
    with pytest.raises(ValueError, match="the reference has no labels"):
        scored(normal(20), None, normal(20), labels)
