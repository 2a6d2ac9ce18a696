"""The Fréchet distance: closed forms, symmetries, singular covariances, torch-fidelity's formula."""

import numpy as np
import pytest
import torch
from references import reference_of

from gan_lab.metrics.frechet import FrechetDistance, _from_eigenvalues, frechet_distance, frechet_distance_of_samples
from gan_lab.metrics.moments import mean_and_factor


def normal(count: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def between(real: torch.Tensor, fake: torch.Tensor):
    (real_mean, real_factor), (fake_mean, fake_factor) = mean_and_factor(real), mean_and_factor(fake)
    return frechet_distance(real_mean=real_mean, real_factor=real_factor, fake_mean=fake_mean, fake_factor=fake_factor)


def scored(real: torch.Tensor, *blocks: torch.Tensor) -> dict[str, float]:
    metric = FrechetDistance()
    metric.set_reference(reference_of(real))
    for block in blocks:
        metric.update(block)
    return metric.compute()


def test_hand_worked_in_one_dimension():
    # Means 1 and 2, variances (N - 1) 2 and 8: 1 + (sqrt 2 - sqrt 8)^2 = 3.
    assert scored(torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [4.0]])) == pytest.approx(
        {"": 3.0, "_mean_part": 1.0, "_trace_part": 2.0}, abs=1e-12
    )


def test_hand_worked_rank_one():
    # C1 = a a^T, C2 = b b^T: |a|^2 + |b|^2 - 2 |a . b| = 25 + 25 - 48.
    zero = torch.zeros(2, dtype=torch.float64)
    a, b = torch.tensor([[3.0, 4.0]], dtype=torch.float64), torch.tensor([[4.0, 3.0]], dtype=torch.float64)
    parts = frechet_distance(real_mean=zero, real_factor=a, fake_mean=zero, fake_factor=b)
    assert parts == pytest.approx((2.0, 0.0, 2.0), abs=1e-12)


def test_diagonal_covariances():
    a, b = torch.tensor([1.0, 4.0, 9.0, 0.0]).double(), torch.tensor([4.0, 4.0, 1.0, 25.0]).double()
    zero = torch.zeros(4, dtype=torch.float64)
    parts = frechet_distance(real_mean=zero, real_factor=a.sqrt().diag(), fake_mean=zero, fake_factor=b.sqrt().diag())
    assert parts.distance == pytest.approx(1 + 0 + 4 + 25, abs=1e-12)


@pytest.mark.parametrize("count", [5, 40])
def test_a_shift_is_its_squared_length(count):
    real = normal(count, 16)
    parts = between(real, real + torch.arange(16) / 8)
    assert parts.distance == pytest.approx(sum((k / 8) ** 2 for k in range(16)), abs=1e-10)
    assert parts.trace_part == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize(("count", "columns", "rank"), [(200, 32, 32), (200, 32, 3), (20, 32, 20), (33, 32, 1)])
def test_a_set_is_at_distance_zero_from_itself(count, columns, rank):
    values = 10 * normal(count, rank) @ normal(rank, columns, seed=1)
    assert -1e-9 <= between(values, values).distance <= 1e-9
    values = values / values.std()
    assert -1e-12 <= between(values, values).distance <= 1e-9


@pytest.mark.parametrize("count", [10, 300])
def test_symmetry_and_rotation(count):
    real, fake = normal(300, 24), 0.5 + normal(count, 24, seed=1) @ normal(24, 24, seed=2)
    rotation = torch.linalg.qr(normal(24, 24, seed=3)).Q
    distance = between(real, fake).distance
    assert between(fake, real).distance == pytest.approx(distance, rel=1e-12)
    assert between(real @ rotation, fake @ rotation).distance == pytest.approx(distance, rel=1e-11)


@pytest.mark.parametrize("count", [20, 100])
def test_equals_the_root_of_the_product(count):
    real, fake = normal(100, 24), 0.5 + 1.5 * normal(count, 24, seed=1)
    product = torch.cov(real.T) @ torch.cov(fake.T)
    root = torch.linalg.eigvals(product).real.clamp(min=0).sqrt().sum()
    mean_part = (real.mean(dim=0) - fake.mean(dim=0)).square().sum()
    expected = mean_part + torch.cov(real.T).trace() + torch.cov(fake.T).trace() - 2 * root
    assert between(real, fake).distance == pytest.approx(expected.item(), rel=1e-7 if count < 24 else 1e-12)


def samples_with_condition(count: int, condition: float, seed: int) -> torch.Tensor:
    """Samples whose columns' deviations fall from 1 to 1 / condition, in a turned basis."""
    rotation = torch.linalg.qr(normal(24, 24, seed=9)).Q
    return normal(count, 24, seed) * condition ** -torch.linspace(0, 1, 24, dtype=torch.float64) @ rotation


@pytest.mark.parametrize("shift", [0.0, 0.3, 100.0])
@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4, 1e8, 1e300])
@pytest.mark.parametrize("count", [24, 25, 300])
def test_the_quick_way_agrees_with_singular_values(count, condition, shift):
    real, fake = samples_with_condition(300, condition, seed=1), 1.3 * samples_with_condition(count, condition, seed=2)
    exact = between(real, fake + shift)
    mean, factor = mean_and_factor(real)
    parts = frechet_distance_of_samples(real_mean=mean, real_factor=factor, fake=fake + shift)
    assert parts.distance == pytest.approx(exact.distance, rel=1e-9)
    assert parts.mean_part == pytest.approx(exact.mean_part, rel=1e-12)


def test_the_quick_way_is_taken_where_it_is_exact_and_there_alone():
    def quick(real, fake):
        mean, factor = mean_and_factor(real)
        return _from_eigenvalues(real_mean=mean, real_factor=factor, fake=fake)

    well, ill = samples_with_condition(300, 1e2, seed=1), samples_with_condition(300, 1e8, seed=1)
    assert quick(well, 1.3 * samples_with_condition(300, 1e2, seed=2)) is not None
    assert quick(ill, 1.3 * samples_with_condition(300, 1e8, seed=2)) is None
    assert quick(well, well) is None


def test_equals_torch_fidelity():
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    real, fake = normal(300, 24).float(), (0.5 + 1.5 * normal(200, 24, seed=1)).float()

    def theirs(dtype):
        statistics = [fid_features_to_statistics(values.to(dtype)) for values in (real, fake)]
        return fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]

    ours = scored(real, fake)[""]
    assert ours == pytest.approx(theirs(torch.float64), rel=1e-11)
    assert ours == pytest.approx(theirs(torch.float32), rel=1e-5)


def test_blocks_and_reset():
    real, fake = normal(60, 8).float(), normal(50, 8, seed=1).float()
    assert scored(real, *fake.split(7)) == scored(real, fake)
    metric = FrechetDistance()
    metric.set_reference(reference_of(real))
    metric.update(fake + 5)
    metric.compute()
    metric.reset()
    metric.update(fake)
    assert metric.compute() == scored(real, fake)


def test_a_collapsed_generator_is_far():
    real = normal(500, 8)
    one = real[:1].repeat(500, 1)
    assert scored(real, one)["_trace_part"] == pytest.approx(torch.cov(real.T).trace().item(), rel=1e-6)
    assert scored(real, one)[""] > 100 * scored(real, normal(500, 8, seed=1))[""]


def test_refusals():
    metric = FrechetDistance()
    metric.update(torch.zeros(1, 4))
    with pytest.raises(ValueError, match="at least 2 samples, got 1"):
        metric.compute()
    metric.update(torch.zeros(1, 4))
    with pytest.raises(RuntimeError, match="set_reference"):
        metric.compute()
    metric.set_reference(reference_of(torch.zeros(3, 5)))
    with pytest.raises(ValueError, match="5 columns, samples have 4"):
        metric.compute()
    metric.update(torch.full((3, 4), np.nan))
    with pytest.raises(ValueError, match="3 of 5 rows of generated features"):
        metric.compute()
