"""Mean and covariance factor against hand-worked numbers and `torch.cov`."""

import pytest
import torch

from gan_lab.metrics import moments
from gan_lab.metrics.moments import congruent, finite_matrix, mean_and_covariance, mean_and_factor, one_thread


def test_hand_worked():
    mean, factor = mean_and_factor(torch.tensor([[0.0, 1.0], [2.0, 5.0]], dtype=torch.float64))
    assert mean.tolist() == [1.0, 3.0]
    torch.testing.assert_close(factor.T @ factor, torch.tensor([[2.0, 4.0], [4.0, 8.0]], dtype=torch.float64))


@pytest.mark.parametrize("rows", [3, 7, 50, 1000])
@pytest.mark.parametrize("count", [2, 5, 12, 50])
def test_factor_is_of_the_covariance_however_the_rows_are_taken(count, rows):
    values = torch.randn(count, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 100
    mean, factor = mean_and_factor(values, rows)
    assert factor.shape == (min(count, 12), 12)
    torch.testing.assert_close(mean, values.mean(dim=0))
    torch.testing.assert_close(factor.T @ factor, torch.cov(values.T), rtol=1e-11, atol=1e-11)


def test_refuses_what_is_not_finite_with_a_count():
    values = torch.zeros(10, 3)
    values[2, 0] = float("nan")
    values[7] = float("inf")
    with pytest.raises(ValueError, match="2 of 10 rows of features"):
        finite_matrix(values, "features")


def test_huge_numbers_are_finite():
    values = torch.full((10, 3), 3e38)
    assert finite_matrix(values, "features").isfinite().all()
    assert finite_matrix(torch.full((10, 3), 1e308, dtype=torch.float64), "features").isfinite().all()


@pytest.mark.parametrize("shape", [(1, 4), (8,), (2, 3, 4)])
def test_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match="N >= 2"):
        finite_matrix(torch.zeros(shape), "features")


@pytest.mark.parametrize("leaf", [1, 3, 64])
@pytest.mark.parametrize("columns", [1, 2, 11])
def test_covariance_however_it_is_halved(monkeypatch, columns, leaf):
    monkeypatch.setattr(moments, "LEAF", leaf)
    values = torch.randn(30, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 10
    mean, covariance = mean_and_covariance(values)
    torch.testing.assert_close(mean, values.mean(dim=0))
    torch.testing.assert_close(covariance, torch.cov(values.T).reshape(columns, columns), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("leaf", [1, 3, 64])
@pytest.mark.parametrize("size", [1, 2, 11])
def test_congruence_however_it_is_halved(monkeypatch, size, leaf):
    monkeypatch.setattr(moments, "LEAF", leaf)
    generator = torch.Generator().manual_seed(0)
    upper, any_matrix = torch.randn(2, size, size, dtype=torch.float64, generator=generator)
    upper, symmetric = upper.triu(), any_matrix + any_matrix.T
    expected = upper @ symmetric @ upper.T
    torch.testing.assert_close(congruent(upper, symmetric).tril(), expected.tril(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("count", [5, 30])
def test_float32_is_widened_before_anything_is_added(count, monkeypatch):
    monkeypatch.setattr(moments, "ROWS", 8)
    values = torch.randn(count, 12, generator=torch.Generator().manual_seed(0)) + 1000
    for function in (mean_and_factor, mean_and_covariance):
        for narrow, wide in zip(function(values), function(values.double()), strict=True):
            assert narrow.dtype == torch.float64
            assert torch.equal(narrow, wide)


def test_one_thread_gives_the_others_back_also_after_an_error():
    before = torch.get_num_threads()

    def fail():
        with one_thread():
            assert torch.get_num_threads() == 1
            raise ZeroDivisionError

    try:
        torch.set_num_threads(3)
        with pytest.raises(ZeroDivisionError):
            fail()
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
