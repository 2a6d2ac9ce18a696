"""BEGAN, worked by hand: D makes w times a point of 2 numbers with w = 1/2, so L(v) = |1 - w| mean|v|; G = a z."""

import pytest
import torch
from tiny import LinearCritic, fit, fix_latents, settings
from torch import nn

from gan_lab.models.began import BEGAN
from gan_lab.models.lsgan import LSGAN
from gan_lab.networks.began import BEGANDiscriminator
from gan_lab.networks.dcgan import DCGANDiscriminator
from gan_lab.networks.unet import UNetDiscriminator
from gan_lab.regularizers.r1 import R1

# REAL: L = 1/4 and 1/4. LATENTS (1, 1) and (-1, 0): L(G(z)) = 1/2 and 1/4.
REAL_LOSS, FAKE_LOSS = 0.25, 0.375


class Shrinking(nn.Module):
    """D(x) = w x, with w = 1/2."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))

    def forward(self, samples):
        return self.weight * samples


def began(**changes):
    module = BEGAN(**(settings(discriminator=Shrinking()) | {"gamma": 0.5, "balance_rate": 0.1} | changes))
    fix_latents(module)
    return module


def test_losses():
    module = began(balance_rate=1e-9)
    module.k.fill_(0.5)
    fit(module, images=2)
    records = module.take_records()
    assert records["loss/d"] == pytest.approx(REAL_LOSS - 0.5 * FAKE_LOSS)
    assert records["loss/g"] == pytest.approx(FAKE_LOSS)
    assert records["logits/real"] == pytest.approx(-REAL_LOSS)
    assert records["logits/fake"] == pytest.approx(-FAKE_LOSS)


def test_steps():
    """dL/dw is -mean|v|: D moves by 1/2 - k 3/4 = 1/8 with k = 1/2. Then L(G(z)) has slopes (1 - w) (1/2, 1/4) in a."""
    module = began(**settings(d_lr=1.0, g_lr=1.0, discriminator=Shrinking()))
    module.k.fill_(0.5)
    fit(module, images=2)
    weight = 0.5 + 0.5 - 0.5 * 0.75
    assert module.discriminator.weight.item() == pytest.approx(weight)
    assert module.generator.scale.tolist() == pytest.approx([1 - (1 - weight) / 2, 1 - (1 - weight) / 4])


def test_balance_by_hand():
    """k + 0.1 (0.5 * 0.8 - 0.1) = 0.2 + 0.03; M = 0.8 + 0.3; then both ends of [0, 1]."""
    module = began()
    module.k.fill_(0.2)
    module.balance(torch.tensor(0.8), torch.tensor(0.1))
    assert module.k.item() == pytest.approx(0.23)
    records = module.take_records()
    assert records["balance/k"] == pytest.approx(0.23)
    assert records["convergence/m"] == pytest.approx(1.1)
    module.balance(torch.tensor(0.0), torch.tensor(100.0))
    assert module.k.item() == 0
    assert module.take_records()["convergence/m"] == pytest.approx(100)
    module.balance(torch.tensor(100.0), torch.tensor(0.0))
    assert module.k.item() == 1


def test_k_follows_the_losses_of_training():
    """gamma = 1: 0.1 (0.25 - 0.375) < 0, so k stays 0; with reals twice as far out it grows."""
    module = began(gamma=1.0)
    fit(module, images=2)
    assert module.k.item() == 0
    assert module.take_records()["convergence/m"] == pytest.approx(REAL_LOSS + FAKE_LOSS - REAL_LOSS)
    module = began(gamma=1.0)
    fit(module, images=2, real=torch.tensor([[2.0, 0.0], [0.0, 2.0]]))
    assert module.k.item() == pytest.approx(0.1 * (0.5 - 0.375))


def test_k_waits_for_g_and_is_kept():
    module, moved = began(gamma=1.0, n_critic=3), []
    balance = module.balance
    module.balance = lambda *losses: (moved.append(module.steps["discriminator"]), balance(*losses))
    fit(module, images=12, real=torch.tensor([[2.0, 0.0], [0.0, 2.0]]))
    assert moved == [3, 6]
    assert module.state_dict()["k"].item() == pytest.approx(2 * 0.1 * (0.5 - 0.375))


def test_k_goes_by_the_whole_batch_in_pieces_too():
    ways = []
    for micro in (None, 1):
        module = began(gamma=1.0, micro_batch_size=micro)
        fit(module, images=2, real=torch.tensor([[2.0, 0.0], [0.0, 4.0]]))
        ways.append((module.k.item(), module.take_records()["convergence/m"]))
    assert ways[0] == pytest.approx(ways[1])
    assert ways[0][0] == pytest.approx(0.1 * (0.75 - 0.375))


def test_scores_for_health_and_penalties():
    """More is more real, nothing is known of zero; R1: |grad mean|v| / 2|^2 = 2 (1/4)^2 where no number is 0."""
    module = began()
    images = torch.tensor([[1.0, -1.0], [4.0, 2.0]])
    assert module.judge(images).tolist() == pytest.approx([-0.5, -1.5])
    assert module.boundary is None
    module = began(regularizers={"r1": R1(1.0, 1)})
    fit(module, images=2, real=images)
    assert module.take_records()["reg/r1"] == pytest.approx(2 / 16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gamma": 1.5}, r"gamma must be in \[0, 1\], got 1.5"),
        ({"gamma": -0.1}, r"gamma must be in \[0, 1\], got -0.1"),
        ({"balance_rate": 0.0}, "balance_rate must be more than 0, got 0"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        began(**changes)


def test_an_auto_encoder_is_no_discriminator_of_others():
    autoencoder = BEGANDiscriminator(sample_shape=[1, 16, 16], code_dim=2, width=2, repeats=1, initialization="normal")
    with pytest.raises(ValueError, match=r"lsgan needs a discriminator that gives logits, .* gives images"):
        LSGAN(**settings(discriminator=autoencoder))


def test_a_discriminator_of_logits_is_refused():
    critic = DCGANDiscriminator(
        sample_shape=[1, 16, 16], width=4, max_width=4, normalization="none", initialization="normal"
    )
    with pytest.raises(ValueError, match=r"began needs a discriminator that gives images.*network=began"):
        began(discriminator=critic)
    pixels = UNetDiscriminator(
        sample_shape=[1, 16, 16], width=4, multipliers=[1, 1], normalization="none", initialization="normal"
    )
    with pytest.raises(ValueError, match=r"began needs a discriminator that gives images.*UNet.* gives logits"):
        began(discriminator=pixels)
    with pytest.raises(ValueError, match=r"images of the shape \(2, 2\).*and gave \(2,\)"):
        fit(began(discriminator=LinearCritic()), images=2)
