"""R3GAN, worked by hand: a linear critic with w = (3, 4) has the squared slope 25 at reals and at fakes."""

import pytest
import torch
from logistic import softplus
from tiny import LATENTS, REAL, Doubled, fit, fix_latents, settings
from torch import nn

from gan_lab.augment.base import Augmentation
from gan_lab.models.r3gan import R3GAN
from gan_lab.schedules import Ramp

FRESH = torch.tensor([[2.0, 0.0], [0.0, 0.0]])


def module(*, gamma=1.0, **changes):
    built = R3GAN(**settings(**changes), gamma=gamma)
    fix_latents(built)
    built.reals = lambda count: {"real": FRESH[:count]}
    return built


def test_losses():
    trained = module()
    fit(trained, images=2)
    records = trained.take_records()
    assert records["loss/d"] == pytest.approx((softplus(7 - 3) + softplus(-3 - 4)) / 2), "the adversarial part"
    assert (records["reg/r1"], records["reg/r2"]) == pytest.approx((25.0, 25.0))
    assert records["loss/g"] == pytest.approx((softplus(6 - 7) + softplus(0 + 3)) / 2), "with fresh reals"


def test_both_penalties_shrink_the_slope_as_gamma_says():
    """Reals that equal the fakes: what is left is gamma/2 * 2|w|^2, hence w (1 - 2 lr gamma): gamma 1, then 1/2."""
    trained = module(gamma=Ramp(1.0, 0.0, 0, 0.004, "linear"), d_lr=0.1)
    fit(trained, images=4, real=LATENTS)
    assert trained.discriminator.weight.tolist() == pytest.approx([3 * 0.8 * 0.9, 4 * 0.8 * 0.9])


class Bowl(nn.Module):
    """D(x) = a |x|^2 / 2, with a = 1: its slope at x is x."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(1.0))

    def forward(self, samples):
        return self.factor * samples.square().sum(1) / 2


class Shift(Augmentation):
    """Moves all by (1, 1)."""

    def forward(self, images, draws):
        return images + 1


SLOPES = [({}, 1, (2 + 1) / 2), ({"s": Shift()}, 5, (8 + 1) / 2), ({"d": Doubled()}, 16, 16 * (2 + 1) / 2)]


@pytest.mark.parametrize(("augment", "at_reals", "at_fakes"), SLOPES, ids=["none", "shift", "double"])
def test_each_penalty_is_taken_at_its_own_samples_through_their_augmentation(augment, at_reals, at_fakes):
    trained = module(discriminator=Bowl(), augment=augment)
    fit(trained, images=2)
    records = trained.take_records()
    assert (records["reg/r1"], records["reg/r2"]) == pytest.approx((at_reals, at_fakes))


def test_the_penalties_reach_d_in_micro_batches_too():
    trained = []
    for micro in (None, 2):
        torch.manual_seed(0)
        critic = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1), nn.Flatten(0))
        trained.append(module(discriminator=critic, d_lr=0.1, batch_size=4, micro_batch_size=micro))
        fit(trained[-1], images=8, real=torch.cat([REAL, 2 * REAL]))
    whole, pieces = (one.discriminator.state_dict() for one in trained)
    for name, value in whole.items():
        assert torch.allclose(value, pieces[name], atol=1e-6), name


def test_batch_norm_in_the_critic_is_refused():
    critic = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))
    with pytest.raises(ValueError, match=r"^r3gan penalizes.*discriminator\.1 is batch normalization"):
        module(discriminator=critic)


def test_a_negative_gamma_is_refused():
    with pytest.raises(ValueError, match=r"gamma must be 0 or more, got -0\.1"):
        module(gamma=-0.1)
