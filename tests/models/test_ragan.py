"""RaGAN, worked by hand: logits 3, 4 of reals, 7, -3 of fakes, and 6, 0 of the fresh reals of G's step; s = sigmoid."""

import pytest
import torch
from logistic import sigmoid as s
from logistic import softplus
from tiny import REAL, fit, fix_latents, settings

from gan_lab.models.ragan import RaGAN

FRESH = torch.tensor([[2.0, 0.0], [0.0, 0.0]])


def module(**changes):
    built = RaGAN(**settings(**changes))
    fix_latents(built)
    built.reals = lambda count: {"real": FRESH[:count]}
    return built


def loss_of_d(real, fake):
    """The mean over two reals and two fakes, from the paper's formula."""
    means = sum(real) / 2, sum(fake) / 2
    return (sum(softplus(means[1] - r) for r in real) + sum(softplus(f - means[0]) for f in fake)) / 2


def test_losses():
    trained = module()
    fit(trained, images=2)
    records = trained.take_records()
    assert records["loss/d"] == pytest.approx((softplus(-1) + softplus(-2) + softplus(3.5) + softplus(-6.5)) / 2)
    assert records["loss/g"] == pytest.approx((softplus(-4) + softplus(6) + softplus(4) + softplus(-2)) / 2)


def test_step_of_g():
    """The fakes' logits rise by w * z = (3, 4) and (-3, 0), their mean by (0, 2)."""
    trained = module(g_lr=1.0)
    fit(trained, images=2)
    through_mean = 2 * (s(4) + s(-2))
    expected = [1 + 0.5 * (3 * s(-4) - 3 * s(6)), 1 + 0.5 * (4 * s(-4) + through_mean)]
    assert trained.generator.scale.tolist() == pytest.approx(expected)


def test_each_micro_batch_has_its_own_means():
    trained = module(batch_size=4, micro_batch_size=2)
    fit(trained, images=4, real=torch.cat([REAL, FRESH]))
    expected = (loss_of_d([3, 4], [7, -3]) + loss_of_d([6, 0], [7, -3])) / 2
    assert trained.take_records()["loss/d"] == pytest.approx(expected)
    assert expected != pytest.approx((loss_of_d([3, 4], [7, -3]) * 2) / 2)
