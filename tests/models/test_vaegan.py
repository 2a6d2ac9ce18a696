"""VAE/GAN, by hand: the encoder gives m = b x and log s^2 = c, G is a z, D's features are f x, its logit w.f x.

With b = 1, c = log 4, a = (1, 1), f = 1, w = (3, 4): z = x + 2 e = (3, 0) and (0, 3) are the reconstructions, too.
"""

from functools import partial
from math import log, pi

import pytest
import torch
from tiny import LATENTS, REAL, LinearCritic, fit, fix_latents, settings
from torch import nn
from torch.nn.functional import softplus

from gan_lab.augment.instance_noise import InstanceNoise
from gan_lab.models.vaegan import VAEGAN

NOISE = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
REAL_LOGITS, DECODED_LOGITS, FAKE_LOGITS = torch.tensor([[3.0, 4.0], [9.0, 12.0], [7.0, -3.0]])
MISFIT, DIVERGENCE = 2 + log(2 * pi), (1 + 2 * (3 - log(4))) / 2


class LinearEncoder(nn.Module):
    """Mean b x and log variance c in both columns."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(()))
        self.log_variance = nn.Parameter(torch.tensor(log(4.0)))

    def forward(self, samples):
        return self.slope * samples, self.log_variance.expand_as(samples)


class FeatureCritic(LinearCritic):
    """Its features are f x."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def features(self, samples):
        return self.scale * samples

    def forward(self, samples):
        return super().forward(self.features(samples))


def vaegan(*, d_lr=0.0, e_lr=0.0, g_lr=0.0, noise=NOISE, **changes):
    values = settings(discriminator=FeatureCritic())
    rates = {"discriminator": d_lr, "encoder": e_lr, "generator": g_lr}
    values["optimizers"] = {group: partial(torch.optim.SGD, lr=lr) for group, lr in rates.items()}
    module = VAEGAN(**(values | {"encoder": LinearEncoder(), "gamma": 0.5} | changes))
    fix_latents(module)
    module.draws.normal = lambda purpose, count, shape: noise[:count]
    return module


def test_losses():
    module = vaegan()
    fit(module, images=2)
    records = module.take_records()
    of_d = softplus(-REAL_LOGITS) + softplus(DECODED_LOGITS) + softplus(FAKE_LOGITS)
    assert records["loss/d"] == pytest.approx(of_d.mean().item())
    assert records["loss/divergence"] == pytest.approx(DIVERGENCE)
    assert records["loss/reconstruction"] == pytest.approx(MISFIT)
    assert records["loss/encoder"] == pytest.approx(MISFIT + DIVERGENCE), "without gamma"
    assert records["logits/decoded"] == pytest.approx(10.5)


def test_step_of_the_discriminator():
    """It takes all three kinds apart, and has no part in the reconstruction."""
    module = vaegan(d_lr=1.0)
    fit(module, images=2)
    decoded = torch.tensor([[3.0, 0.0], [0.0, 3.0]])
    logits = torch.cat([REAL_LOGITS, DECODED_LOGITS, FAKE_LOGITS])
    slopes = logits.sigmoid() - torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    of_w = (slopes[:, None] * torch.cat([REAL, decoded, LATENTS])).sum(0) / 2
    assert module.discriminator.weight.tolist() == pytest.approx((torch.tensor([3.0, 4.0]) - of_w).tolist())
    assert module.discriminator.scale.item() == pytest.approx(1 - (slopes * logits).sum().item() / 2)


def test_step_of_the_encoder():
    """Off by r = 2 e: in b r x = 2, in c |2 e|^2 / 2 = 2; of KL 1 in b and 3 in c; D's opinion is nothing to it."""
    module = vaegan(e_lr=0.1)
    fit(module, images=2)
    assert module.encoder.slope.item() == pytest.approx(1 - 0.1 * 3)
    assert module.encoder.log_variance.item() == pytest.approx(log(4) - 0.1 * 5)


@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_step_of_the_generator(gamma):
    """gamma r z = 6 gamma in each half of the batch, and -sigmoid(-l) w z of what is decoded, from x or the prior."""
    module = vaegan(g_lr=0.1, gamma=gamma)
    weight = torch.tensor([0.3, 0.4])
    module.discriminator.weight.data.copy_(weight)
    fit(module, images=2)
    latents = torch.cat([torch.tensor([[3.0, 0.0], [0.0, 3.0]]), LATENTS])
    logits = latents @ weight
    of_a = -(torch.sigmoid(-logits)[:, None] * latents * weight).sum(0) / 2 + 3 * gamma
    assert module.generator.scale.tolist() == pytest.approx((1 - 0.1 * of_a).tolist())
    assert module.take_records()["loss/g"] == pytest.approx(softplus(-logits).sum().item() / 2)


def test_order_of_steps():
    """One encoder step and one of G to n_critic of D's; a batch of reals each for D alone."""
    module = vaegan(n_critic=2)
    fit(module, images=8)
    assert module.steps == {"discriminator": 4, "encoder": 2, "generator": 2}
    assert module.images_seen == 8


def test_real_and_reconstruction_are_augmented_alike():
    """Where x is decoded to x, F(x) and F(r) are the same, whatever the augmentation; all else has its own."""
    module, shown = vaegan(noise=torch.zeros(2, 2), augment={"noise": InstanceNoise(1.0, 1)}), []
    features = module.discriminator.features
    module.discriminator.features = lambda samples: (shown.append(samples.detach()), features(samples))[1]
    fit(module, images=2)
    assert module.take_records()["loss/reconstruction"] == pytest.approx(log(2 * pi), abs=1e-6)
    assert torch.equal(shown[3], shown[4])
    assert torch.equal(shown[7], shown[8])
    assert len({one[0, 0].item() for one in shown}) == len(shown) - 2 == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": None}, "vaegan needs an encoder, and a discriminator with features; choose network=vaegan"),
        ({"discriminator": LinearCritic()}, "needs an encoder, and a discriminator with features"),
        ({"gamma": -0.1}, "gamma must be 0 or more, got -0.1"),
        ({"latent_distribution": "uniform"}, "vaegan's prior is normal: latent_distribution=normal; got 'uniform'"),
        ({"generator_batch_size": 4}, "D's batch of 2, so generator_batch_size has to be 2, got 4"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        vaegan(**changes)
