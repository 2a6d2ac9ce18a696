"""WGAN-GP, worked by hand: a linear critic with w = (3, 4) has the slope 5 everywhere, so the penalty is (5 - 1)^2."""

import pytest
import torch
from tiny import LATENTS, REAL, LinearCritic, fit, fix_latents, settings
from torch import nn

from gan_lab.models import wgan_gp
from gan_lab.models.wgan_gp import WGANGP


def test_losses():
    module = WGANGP(**settings(), gradient_penalty_weight=10.0)
    fix_latents(module)
    fit(module, images=2)
    records = module.take_records()
    assert records["loss/d"] == pytest.approx(2 - 3.5), "the curve of the loss is the adversarial part"
    assert records["reg/gradient_penalty"] == pytest.approx(16.0)
    assert records["loss/g"] == pytest.approx(-2.0)


@pytest.mark.parametrize("weight", [0.0, 10.0])
def test_the_penalty_pulls_the_slope_to_one(weight):
    """D: (-0.5, 0) + lambda * 2 * (5 - 1) * w / 5 = (-0.5 + 4.8 lambda, 6.4 lambda)."""
    module = WGANGP(**settings(d_lr=0.01), gradient_penalty_weight=weight)
    fix_latents(module)
    fit(module, images=2)
    expected = [3 - 0.01 * (-0.5 + 4.8 * weight), 4 - 0.01 * 6.4 * weight]
    assert module.discriminator.weight.tolist() == pytest.approx(expected)


def test_the_penalty_is_taken_between_pairs(monkeypatch):
    """One coefficient per pair, for both coordinates, fresh at every step and in every piece."""
    points = []
    monkeypatch.setattr(
        wgan_gp, "gradient_penalty", lambda d, at, target: points.append(at.clone()) or d(at).square() * 0
    )
    module = WGANGP(**settings(batch_size=4, micro_batch_size=2), gradient_penalty_weight=10.0)
    fix_latents(module)
    fit(module, images=8, real=REAL.repeat(2, 1))
    mixes = torch.cat([mix_of(some) for some in points])
    assert len(mixes) == 8
    assert len(set(mixes.tolist())) == 8
    assert ((mixes >= 0) & (mixes < 1)).all()


def mix_of(points: torch.Tensor) -> torch.Tensor:
    """e in e x + (1 - e) g, the same from each coordinate in which x and g differ."""
    mixes = (points - LATENTS) / (REAL - LATENTS)
    first, second = mixes[0], mixes[1]
    assert torch.isnan(first[0]) or REAL[0, 0] == LATENTS[0, 0]
    torch.testing.assert_close(second[0], second[1])
    return torch.stack([first[1], second[0]])


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(2), nn.SyncBatchNorm(2)])
def test_batch_norm_in_the_critic_is_refused(norm):
    critic = nn.Sequential(nn.Linear(2, 2), norm, nn.Linear(2, 1))
    with pytest.raises(ValueError, match=r"discriminator\.1 is batch normalization.*normalization=layer"):
        WGANGP(**settings(discriminator=critic), gradient_penalty_weight=10.0)


def test_batch_norm_in_the_generator_is_fine():
    WGANGP(**settings(generator=nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))), gradient_penalty_weight=10.0)


def test_a_negative_weight_is_refused():
    with pytest.raises(ValueError, match="gradient_penalty_weight must be 0 or more, got -1"):
        WGANGP(**settings(discriminator=LinearCritic()), gradient_penalty_weight=-1)
