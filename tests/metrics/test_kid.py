"""The kernel distance: closed forms, the estimator against a double loop, torch-fidelity's numbers."""

import numpy as np
import pytest
import torch
from references import reference_of

from gan_lab.metrics.kid import KernelDistance, cubic_kernel, unbiased_mmd


def normal(count: int, columns: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, columns, generator=torch.Generator().manual_seed(seed))


def scored(real, fake, *, subsets=20, subset_size=30, seed=2020, full_limit=1000) -> dict[str, float]:
    metric = KernelDistance(subsets=subsets, subset_size=subset_size, seed=seed, full_limit=full_limit)
    metric.set_reference(reference_of(real))
    for block in fake.split(13):
        metric.update(block)
    return metric.compute()


def test_two_point_masses():
    # k(a, a) = (2 / 2 + 1)^3 = 8, k(0, 0) = k(a, 0) = 1: 8 + 1 - 2.
    result = scored(torch.ones(40, 2), torch.zeros(35, 2))
    assert result == pytest.approx({"": 7.0, "_std": 0.0, "_full": 7.0}, abs=1e-12)


@pytest.mark.parametrize("rows", [1, 4, 11, 1000])
def test_the_estimator_is_a_mean_over_pairs_of_different_samples(rows):
    real, fake = normal(11).double(), normal(8, seed=1).double() + 0.3

    def kernel(a, b):
        return (sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True)) / 6 + 1) ** 3

    def within(values):
        return np.mean([kernel(a, b) for i, a in enumerate(values) for j, b in enumerate(values) if i != j])

    expected = within(real) + within(fake) - 2 * np.mean([kernel(a, b) for a in real for b in fake])
    assert unbiased_mmd(real=real, fake=fake, rows=rows) == pytest.approx(expected, rel=1e-12)
    assert cubic_kernel(real, fake).shape == (11, 8)


def test_unbiased_around_zero():
    values = [unbiased_mmd(real=normal(50, seed=2 * k), fake=normal(50, seed=2 * k + 1)) for k in range(200)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(200)
    assert min(values) < 0 < max(values)


def test_equals_torch_fidelity_on_its_own_subsets():
    from torch_fidelity.metric_kid import kid_features_to_metric

    real, fake = normal(70), 1.2 * normal(90, seed=1) + 0.1
    theirs = kid_features_to_metric(
        fake.double(),
        real.double(),
        kid_subsets=20,
        kid_subset_size=30,
        rng_seed=2020,
        verbose=False,
        kid_kernel="poly",
        kid_kernel_poly_degree=3,
        kid_kernel_poly_gamma=None,
        kid_kernel_poly_coef0=1,
    )
    ours = scored(real, fake)
    assert ours[""] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-10)
    assert ours["_std"] == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-10)


def test_full_sample_equals_torchmetrics():
    from torchmetrics.image.kid import poly_mmd

    real, fake = normal(60).double(), normal(60, seed=1).double() + 0.2
    assert unbiased_mmd(real=real, fake=fake) == pytest.approx(poly_mmd(real, fake).item(), rel=1e-10)


def test_few_samples_make_subsets_of_all():
    real, fake = normal(25), normal(40, seed=1)[:25] + 0.2
    result = scored(real, fake)
    assert result["_std"] == pytest.approx(0, abs=1e-12)
    assert result[""] == pytest.approx(result["_full"], rel=1e-10)


def test_full_sample_is_left_out_beyond_its_limit():
    assert set(scored(normal(40), normal(60, seed=1), full_limit=60)) == {"", "_std", "_full"}
    assert set(scored(normal(40), normal(60, seed=1), full_limit=59)) == {"", "_std"}
    assert set(scored(normal(60), normal(40, seed=1), full_limit=59)) == {"", "_std"}


def test_own_seed_alone_decides():
    real, fake = normal(50), normal(50, seed=1)
    np.random.seed(0)
    first = scored(real, fake)
    np.random.seed(1)
    assert scored(real, fake) == first
    assert scored(real, fake, seed=1)[""] != first[""]


def test_refusals():
    with pytest.raises(ValueError, match="got 0 and 1"):
        KernelDistance(subsets=0, subset_size=1, seed=0, full_limit=0)
    with pytest.raises(ValueError, match="4 of 40 rows of generated features"):
        scored(normal(50), torch.cat([normal(36), torch.full((4, 6), torch.nan)]))
