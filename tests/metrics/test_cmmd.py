"""CMMD: hand-worked points, a plain double loop, the size of its bias."""

from math import exp, sqrt

import numpy as np
import pytest
import torch

from gan_lab.metrics.cmmd import CLIPMaximumMeanDiscrepancy, gaussian_mmd
from gan_lab.metrics.reference import Reference, ReferenceStatistics


def normal(count: int, columns: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, columns, generator=torch.Generator().manual_seed(seed))


def scored(real, fake, *, sigma: float = 10, scale: float = 1000) -> float:
    metric = CLIPMaximumMeanDiscrepancy(sigma=sigma, scale=scale)
    metric.set_reference(Reference(ReferenceStatistics.from_features(real), np.zeros((0, 1, 1, 1), np.uint8), None))
    for block in fake.split(13):
        metric.update(block)
    result = metric.compute()
    assert list(result) == [""]
    return result[""]


def test_two_point_masses():
    # Both at length 1, at right angles, |a - b|^2 = 2: k(a, a) + k(b, b) - 2 k(a, b) = 2 - 2 exp(-2 / 200).
    real, fake = torch.tensor([[3.0, 0.0]]).repeat(5, 1), torch.tensor([[0.0, 0.2]]).repeat(7, 1)
    assert scored(real, fake) == pytest.approx(1000 * (2 - 2 * exp(-0.01)), rel=1e-12)
    assert scored(real, -real) == pytest.approx(1000 * (2 - 2 * exp(-0.02)), rel=1e-12)
    assert scored(real, 7 * real) == pytest.approx(0, abs=1e-9)


def test_hand_worked_with_pairs_of_a_row_with_itself():
    # Reals (1, 0), (0, 1); fakes (1, 0), (3/5, 4/5); sigma = 1, so k = exp(a . b - 1).
    within_real = (2 + 2 * exp(-1)) / 4
    within_fake = (2 + 2 * exp(-0.4)) / 4
    across = (1 + exp(-0.4) + exp(-1) + exp(-0.2)) / 4
    real, fake = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[2.0, 0.0], [3.0, 4.0]])
    assert scored(real, fake, sigma=1, scale=1) == pytest.approx(within_real + within_fake - 2 * across, rel=1e-7)


@pytest.mark.parametrize("rows", [1, 4, 11, 1000])
def test_equals_the_double_loop(rows):
    real, fake = (
        values / values.norm(dim=1, keepdim=True) for values in (normal(11).double(), normal(8, seed=1).double())
    )

    def kernel(a, b):
        return exp(-sum((x - y) ** 2 for x, y in zip(a.tolist(), b.tolist(), strict=True)) / (2 * 0.7**2))

    def mean(a, b):
        return np.mean([kernel(x, y) for x in a for y in b])

    expected = mean(real, real) + mean(fake, fake) - 2 * mean(real, fake)
    assert gaussian_mmd(real=real, fake=fake, sigma=0.7, rows=rows) == pytest.approx(expected, rel=1e-12)


def test_digits_survive_the_wide_kernel():
    # Rows at angle t: |a - b|^2 = 2 - 2 cos t, about 1e-9: of the kernel's 16 digits the plain formula would leave 5.
    for t in (2e-5, 3e-5, 5e-5):
        real, fake = torch.tensor([[1.0, 0.0]]).double(), torch.tensor([[np.cos(t), np.sin(t)]])
        assert gaussian_mmd(real=real, fake=fake, sigma=10) == pytest.approx(t**2 / 100, rel=2e-6, abs=0)


def test_biased_as_published():
    # E of the V-statistic for equal distributions is (1 - E k) (1/N + 1/M); k near 1 - (2 - 2 a . b) / 200.
    values = [scored(normal(40, seed=2 * i), normal(60, seed=2 * i + 1)) for i in range(60)]
    assert min(values) > 0
    expected = 1000 * (1 - exp(-0.01)) * (1 / 40 + 1 / 60)
    assert abs(np.mean(values) - expected) < 4 * np.std(values) / sqrt(60)


def test_lengths_do_not_matter_and_directions_do():
    real, fake = normal(50), normal(60, seed=1)
    assert scored(real, fake * torch.rand(60, 1).add(0.5)) == pytest.approx(scored(real, fake), rel=1e-4)
    assert scored(real, fake + 3) > 10 * scored(real, fake)


def test_refusals():
    with pytest.raises(ValueError, match="above 0, got 0 and 1"):
        CLIPMaximumMeanDiscrepancy(sigma=0, scale=1)
    with pytest.raises(ValueError, match="2 of 9 rows of generated features are zero"):
        scored(normal(5), torch.cat([normal(7), torch.zeros(2, 6)]))
    with pytest.raises(ValueError, match="1 of 9 rows of reference features are zero"):
        scored(torch.cat([normal(8), torch.zeros(1, 6)]), normal(5))
    with pytest.raises(ValueError, match="6 columns, samples have 4"):
        scored(normal(5), normal(5, columns=4))
