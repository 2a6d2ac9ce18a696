"""VAE, worked by hand: the encoder gives m = b x and log s^2 = c of 2-D points, the decoder scales by a = (1, 1)."""

from math import log, pi

import pytest
import torch
from tiny import REAL, ScalingGenerator, fit, settings
from torch import nn

from gan_lab.augment.instance_noise import InstanceNoise
from gan_lab.models.vae import VAE

NOISE = torch.tensor([[1.0, 0.0], [0.0, -2.0]])


class LinearEncoder(nn.Module):
    """Mean b x with b = 1, log variance c with c = log 4, in both columns."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(()))
        self.log_variance = nn.Parameter(torch.tensor(log(4.0)))

    def forward(self, samples):
        return self.slope * samples, self.log_variance.expand_as(samples)


def vae(*, lr=0.0, **changes):
    gan = settings()
    plumbing = {
        name: gan[name]
        for name in gan
        if name not in ("discriminator", "latent_distribution", "n_critic", "generator_batch_size", "top_k")
    }
    own = {"encoder": LinearEncoder(), "likelihood": "gaussian", "deviation": 1.0, "beta": 1.0}
    plumbing["optimizers"] = {"autoencoder": lambda parameters: torch.optim.SGD(parameters, lr=lr)}
    return VAE(**(plumbing | own | changes))


def fix_noise(module, noise=NOISE):
    module.draws.normal = lambda purpose, count, shape: noise[:count]


def test_losses():
    """z = x + 2 e = (3, 0) and (0, -3), G(z) = z: squares 4 and 16 at s = 1; KL = (|x|^2 + 2 (4 - log 4 - 1)) / 2."""
    module = vae(beta=2.0)
    fix_noise(module)
    fit(module, images=2)
    records = module.take_records()
    misfit, divergence = (4 + 16) / 2 / 2 + log(2 * pi), (1 + 2 * (3 - log(4))) / 2
    assert records["loss/reconstruction"] == pytest.approx(misfit)
    assert records["loss/divergence"] == pytest.approx(divergence)
    assert records["loss/autoencoder"] == pytest.approx(misfit + 2 * divergence)


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_a_step(beta):
    """Off x by r = 2 e = (2, 0) and (0, -4), the slopes of the misfit are, in a: r z = (6, 0) and (0, 12);

    in b: r x = 2 and -4; in c: r s e / 2 = |2 e|^2 / 2 = 2 and 8. Of KL, in b: |x|^2 = 1; in c: (4 - 1) / 2 each.
    """
    module = vae(lr=0.1, beta=beta)
    fix_noise(module)
    fit(module, images=2)
    assert module.generator.scale.tolist() == pytest.approx([1 - 0.1 * 3, 1 - 0.1 * 6])
    assert module.encoder.slope.item() == pytest.approx(1 - 0.1 * (-1 + beta))
    assert module.encoder.log_variance.item() == pytest.approx(log(4) - 0.1 * (5 + 3 * beta))


def test_bernoulli():
    module = vae(likelihood="bernoulli", deviation=None, generator=nn.Sequential(ScalingGenerator(), nn.Tanh()))
    fix_noise(module, torch.zeros(2, 2))
    fit(module, images=2)
    white = torch.sigmoid(2 * torch.tensor(1.0)).item()  # (1 + tanh 1) / 2
    expected = -log(white) + log(2)  # one pixel white, and one half, of which half is believed
    assert module.take_records()["loss/reconstruction"] == pytest.approx(expected, abs=1e-4)


def test_every_sample_and_step_has_noise_of_its_own():
    module, seen = vae(micro_batch_size=1), []
    module.generator.register_forward_pre_hook(lambda network, arguments: seen.append(arguments[0].detach()))
    fit(module, images=4)
    noise = (torch.cat(seen) - REAL.repeat(2, 1)) / 2
    assert len(set(noise.flatten().tolist())) == 8


def test_it_is_a_model_of_one_group():
    module = vae(lr=0.1, ema_half_life_kimg=0.001)
    trainer = fit(module, images=4)
    assert module.steps == {"autoencoder": 2}
    assert trainer.global_step == 2
    assert module.averages["generator"].module.scale.tolist() != module.generator.scale.tolist()
    assert list(module.averages) == ["generator"]
    assert module.inputs_from({"latent_dim": 3}).distribution == "normal"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": None}, "vae needs an encoder, which this network has not; choose network=vae"),
        ({"likelihood": "poisson"}, "likelihood must be one of bernoulli, gaussian; got 'poisson'"),
        ({"deviation": None}, "gaussian needs a deviation of more than 0.*got gaussian with None"),
        ({"deviation": 0.0}, "gaussian needs a deviation of more than 0.*got gaussian with 0"),
        ({"likelihood": "bernoulli"}, "bernoulli has none .*; got bernoulli with 1.0"),
        ({"beta": -1.0}, "beta must be 0 or more, got -1"),
        ({"augment": {"noise": InstanceNoise(0.1, 1)}}, "what a discriminator sees, and vae has none; leave out noise"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        vae(**changes)
