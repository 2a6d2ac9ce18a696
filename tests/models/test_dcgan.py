"""DCGAN, worked by hand: logits 3, 4 of reals and 7, -3 of fakes, with w = (3, 4) and a = (1, 1)."""

import math

import pytest
import torch
from tiny import REAL, fit, fix_latents, settings
from torch import nn

from gan_lab.models.dcgan import DCGAN


def test_losses():
    module = DCGAN(real_target=1.0, **settings())
    fix_latents(module)
    fit(module, images=2)
    records = module.take_records()
    softplus = {x: math.log1p(math.exp(x)) for x in (-7, -4, -3, 3, 7)}
    assert records["loss/d"] == pytest.approx((softplus[-3] + softplus[7] + softplus[-4] + softplus[-3]) / 2)
    assert records["loss/g"] == pytest.approx((softplus[-7] + softplus[3]) / 2)
    assert records["logits/real"] == 3.5
    assert records["logits/fake"] == 2.0


def test_steps():
    module = DCGAN(real_target=1.0, **settings(g_lr=1.0))
    fix_latents(module)
    fit(module, images=2)
    few, many = 1 / (1 + math.exp(7)), 1 / (1 + math.exp(-3))  # sigmoid(-7), sigmoid(3)
    assert module.generator.scale.tolist() == pytest.approx([1 + (3 * few - 3 * many) / 2, 1 + 4 * few / 2])


def test_reals_and_fakes_pass_d_in_batches_of_their_own():
    """Batch norm must not mix them: the running mean sees reals, then fakes, then the fakes of G's step."""

    class Critic(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(2, momentum=1.0)
            self.means = []

        def forward(self, samples):
            logits = self.norm(samples).sum(1)
            self.means.append(self.norm.running_mean.tolist())
            return logits

    module = DCGAN(real_target=1.0, **settings(discriminator=Critic()))
    fix_latents(module)
    fit(module, images=2)
    assert module.discriminator.means == [REAL.mean(0).tolist(), [0.0, 0.5], [0.0, 0.5]]


def test_fakes_in_d_step_carry_no_graph():
    class Critic(nn.Linear):
        needed = []

        def forward(self, samples):
            self.needed.append(samples.requires_grad)
            return super().forward(samples).squeeze(1)

    module = DCGAN(real_target=1.0, **settings(discriminator=Critic(2, 1)))
    fit(module, images=2)
    assert Critic.needed == [False, False, True]
    assert torch.isfinite(module.generator.scale).all()
