"""DRAGAN, worked by hand: a linear critic with w = (3, 4) has the slope 5 everywhere, so the penalty is (5 - 1)^2."""

import pytest
import torch
from logistic import softplus
from tiny import REAL, fit, fix_latents, settings
from torch import nn

from gan_lab.augment.base import Augmentation
from gan_lab.models import dragan
from gan_lab.models.dragan import DRAGAN
from gan_lab.sampling import Draws


def module(*, weight=10.0, target=1.0, scale=0.5, **changes):
    built = DRAGAN(
        **settings(**changes), gradient_penalty_weight=weight, gradient_penalty_target=target, noise_scale=scale
    )
    fix_latents(built)
    return built


def test_losses():
    trained = module()
    fit(trained, images=2)
    records = trained.take_records()
    assert records["loss/d"] == pytest.approx((softplus(-3) + softplus(-4) + softplus(7) + softplus(-3)) / 2)
    assert records["reg/dragan"] == pytest.approx(16.0)
    assert records["loss/g"] == pytest.approx((softplus(-7) + softplus(3)) / 2), "the non-saturating loss"


@pytest.mark.parametrize(("weight", "target"), [(10.0, 1.0), (2.0, 0.0)])
def test_the_penalty_pulls_the_slope_to_its_target(weight, target):
    """lambda * 2 * (5 - k) * w / 5, beside what the adversarial loss does."""
    weights = []
    for factor in (0.0, weight):
        trained = module(weight=factor, target=target, d_lr=0.01)
        fit(trained, images=2)
        weights.append(trained.discriminator.weight.detach())
    pull = 0.01 * weight * 2 * (5 - target) / 5 * torch.tensor([3.0, 4.0])
    assert (weights[0] - weights[1]).tolist() == pytest.approx(pull.tolist(), rel=1e-4)


class Shift(Augmentation):
    """Moves all by 10."""

    def forward(self, images, draws):
        return images + 10


@pytest.mark.parametrize("augment", [{}, {"shift": Shift()}])
def test_the_penalty_is_taken_around_the_reals_that_d_is_shown(augment, monkeypatch):
    """The four values 1, 0, 0, 1 have the deviation 1/2; one number of noise for each, fresh at each step."""
    points = []
    monkeypatch.setattr(
        dragan, "gradient_penalty", lambda d, at, target: points.append(at.clone()) or d(at).square() * 0
    )
    fit(module(scale=0.25, augment=augment), images=4)
    shift = 10 if augment else 0
    draws = Draws(0)
    for step, at in enumerate(points):
        draws.move_to(2 * step)
        noise = draws.normal_by_blocks("dragan", 2, (2,))
        assert torch.allclose(at, REAL + shift + 0.25 * 0.5 * noise, atol=1e-5)
    assert not torch.equal(points[0], points[1])


def test_batch_norm_in_the_critic_is_refused():
    critic = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))
    with pytest.raises(ValueError, match=r"discriminator\.1 is batch normalization.*normalization=layer"):
        module(discriminator=critic)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": -1}, "gradient_penalty_weight must be 0 or more, got -1"),
        ({"target": -1}, "gradient_penalty_target must be 0 or more, got -1"),
        ({"scale": 0}, "noise_scale must be more than 0, got 0"),
    ],
)
def test_refusals_name_the_value(changes, message):
    with pytest.raises(ValueError, match=message):
        module(**changes)
