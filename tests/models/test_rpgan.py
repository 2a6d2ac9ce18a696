"""RpGAN, worked by hand: logits 3, 4 of reals, 7, -3 of fakes, and 6, 0 of the fresh reals of G's step; s = sigmoid."""

import pytest
import torch
from logistic import sigmoid as s
from logistic import softplus
from tiny import fit, fix_latents, settings

from gan_lab.models.rpgan import RpGAN

FRESH = torch.tensor([[2.0, 0.0], [0.0, 0.0]])


def module(**changes):
    built = RpGAN(**settings(**changes))
    fix_latents(built)
    built.reals = lambda count: {"real": FRESH[:count]}
    return built


def test_losses():
    trained = module()
    fit(trained, images=2)
    records = trained.take_records()
    assert records["loss/d"] == pytest.approx((softplus(7 - 3) + softplus(-3 - 4)) / 2)
    assert records["loss/g"] == pytest.approx((softplus(6 - 7) + softplus(0 + 3)) / 2)


def test_step_of_d():
    """Pairs differ by (0, 1) and (-1, -1)."""
    trained = module(d_lr=1.0)
    fit(trained, images=2)
    expected = [3 + 0.5 * s(-7), 4 - 0.5 * (s(4) - s(-7))]
    assert trained.discriminator.weight.tolist() == pytest.approx(expected)


def test_step_of_g():
    """The logits of the fakes rise by w * z = (3, 4) and (-3, 0)."""
    trained = module(g_lr=1.0)
    fit(trained, images=2)
    expected = [1 + 0.5 * (3 * s(-1) - 3 * s(3)), 1 + 0.5 * 4 * s(-1)]
    assert trained.generator.scale.tolist() == pytest.approx(expected)


def test_top_k_counts_the_pairs_of_the_best_fakes():
    trained = module(top_k=lambda images: 0.5)
    fit(trained, images=2)
    assert trained.take_records()["loss/g"] == pytest.approx(softplus(6 - 7))
