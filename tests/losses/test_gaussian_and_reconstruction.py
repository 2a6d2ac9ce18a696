"""Losses of auto-encoders against numbers worked by hand and torch's own distributions."""

from math import log, pi, sqrt

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy

from gan_lab.losses import gaussian, reconstruction


def test_divergence_by_hand():
    """m = (1, 0), v = (1, 4): (1 + 1 - 0 - 1) / 2 + (0 + 4 - log 4 - 1) / 2."""
    mean, log_variance = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, log(4.0)]])
    found = gaussian.divergence_from_standard(mean=mean, log_variance=log_variance)
    assert found.tolist() == pytest.approx([0.5 + (3 - log(4)) / 2])
    assert gaussian.divergence_from_standard(mean=torch.zeros(2, 3), log_variance=torch.zeros(2, 3)).tolist() == [0, 0]


def test_divergence_as_torch_has_it():
    torch.manual_seed(0)
    mean, log_variance = torch.randn(5, 7), 2 * torch.randn(5, 7)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(gaussian.divergence_from_standard(mean=mean, log_variance=log_variance), expected)


def test_likelihood_by_hand():
    """Values 1 and -1 around 0 with s = 2: 2 * (1 / 8 + log(2 sqrt(2 pi)))."""
    found = gaussian.negative_log_likelihood(values=torch.tensor([[1.0, -1.0]]), mean=torch.zeros(1, 2), deviation=2.0)
    assert found.tolist() == pytest.approx([2 * (1 / 8 + log(2 * sqrt(2 * pi)))])


def test_likelihood_as_torch_has_it():
    torch.manual_seed(0)
    values, mean = torch.randn(3, 2, 4, 5), torch.randn(3, 2, 4, 5)
    found = gaussian.negative_log_likelihood(values=values, mean=mean, deviation=0.3)
    torch.testing.assert_close(found, -Normal(mean, 0.3).log_prob(values).flatten(1).sum(1))


def test_bernoulli_by_hand():
    """White where half is believed, log 2; a quarter of white where 3/4 is believed."""
    found = reconstruction.bernoulli(real=torch.tensor([[1.0, -0.5]]), reconstruction=torch.tensor([[0.0, 0.5]]))
    assert found.tolist() == pytest.approx([log(2) - log(3 / 4) / 4 - 3 * log(1 / 4) / 4], abs=1e-4)


def test_bernoulli_as_torch_has_it():
    torch.manual_seed(0)
    real, made = 2 * torch.rand(3, 1, 4, 4) - 1, 1.9 * torch.rand(3, 1, 4, 4) - 0.95
    expected = binary_cross_entropy((made + 1) / 2, (real + 1) / 2, reduction="none").flatten(1).sum(1)
    torch.testing.assert_close(reconstruction.bernoulli(real=real, reconstruction=made), expected, rtol=0, atol=1e-4)


def test_bernoulli_is_finite_and_slopes_where_a_pixel_is_sure_and_wrong():
    sure = torch.tensor([[1.0, -1.0]], requires_grad=True)
    loss = reconstruction.bernoulli(real=torch.tensor([[-1.0, 1.0]]), reconstruction=sure)
    loss.sum().backward()
    assert 20 < loss.item() < 40
    assert sure.grad[0, 0] > 1e4
    assert sure.grad[0, 1] < -1e4


def test_absolute_by_hand():
    images = torch.tensor([[[[1.0, -1.0], [0.0, 0.5]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    seen = torch.tensor([[[[0.0, -1.0], [0.5, 0.0]]], [[[1.0, -1.0], [1.0, -1.0]]]])
    assert reconstruction.absolute(images=images, reconstruction=seen).tolist() == [0.5, 1.0]


def test_logits_in_the_place_of_images_are_refused():
    with pytest.raises(ValueError, match=r"images of the shape \(2, 1, 2, 2\).*and gave \(2,\); .*network=began"):
        reconstruction.absolute(images=torch.zeros(2, 1, 2, 2), reconstruction=torch.zeros(2))
