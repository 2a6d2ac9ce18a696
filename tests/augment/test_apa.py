"""APA: which fakes stand in for reals, and where they cannot."""

import pytest
import torch
from augmenting import over_ranks, pictures
from tiny import REAL, LinearCritic, fit, fix_latents, settings

from gan_lab.augment.apa import APA
from gan_lab.models.conditional import ConditionalGANModule
from gan_lab.models.hinge_gan import HingeGAN
from gan_lab.models.wgan import WGAN
from gan_lab.sampling import Draws


def fixed(p: float) -> APA:
    return APA(p=p, target=None, interval=4, kimg=500, batch_size=2)


@pytest.mark.parametrize("shape", [(2,), (3, 4, 5)])
def test_fakes_stand_in_for_reals(shape):
    """With probability p each by itself, and the fake of the same number."""
    real, fake = torch.zeros(4000, *shape), torch.ones(4000, *shape)
    fake = fake * torch.arange(1, 4001.0).view(-1, *[1] * len(shape))
    shown = fixed(0.3).replace(real, fake, Draws(0)).flatten(1)
    replaced = shown[:, 0] > 0
    assert replaced.float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(shown, torch.where(replaced.unsqueeze(1), fake.flatten(1), real.flatten(1)))
    assert torch.equal(fixed(0.0).replace(real, fake, Draws(0)), real)
    assert torch.equal(fixed(1.0).replace(real, fake, Draws(0)), fake)


def test_what_stands_in_is_as_a_real_without_a_graph():
    fake = torch.ones(4, 2, requires_grad=True)
    assert not fixed(1.0).replace(torch.zeros(4, 2), fake, Draws(0)).requires_grad


def test_all_else_stays():
    images = pictures(4, 3, 5, 5)
    assert fixed(1.0)(images, Draws(0)) is images


@pytest.mark.parametrize("world", [2, 4])
def test_the_number_of_ranks_does_not_matter(world, monkeypatch):
    real, augment = pictures(24, 3), fixed(0.5)
    replace = lambda part, draws: augment.replace(part, -part, draws)  # noqa: E731
    assert torch.equal(over_ranks(replace, real, world, monkeypatch), replace(real, Draws(3)))


def test_d_sees_fakes_as_reals():
    """Reals give D 3 and 4, fakes 7 and -3. At p = 1, D's hinge loss is that of (7, -3) on both sides."""
    module = HingeGAN(**settings(augment={"apa": fixed(1.0)}))
    fix_latents(module)
    fit(module, images=2)
    records = module.take_records()
    assert records["logits/real"] == pytest.approx((7 - 3) / 2)
    assert records["loss/d"] == pytest.approx(((0 + 8) + (4 + 0)) / 2)
    module = HingeGAN(**settings(augment={"apa": fixed(0.0)}))
    fix_latents(module)
    fit(module, images=2)
    assert module.take_records()["logits/real"] == pytest.approx(3.5)


def test_p_follows_what_d_says_of_reals():
    """D says 3 and 4 of both reals: p rises by 2 / 10 a step, from the first on."""
    apa = APA(p=0.0, target=0.6, interval=1, kimg=0.01, batch_size=2)
    module = HingeGAN(**settings(augment={"apa": apa}))
    fit(module, images=2, real=REAL)
    assert apa.strength.item() == 2
    assert apa.probability(Draws(0), REAL).item() == pytest.approx(0.2)


class Conditional(ConditionalGANModule, HingeGAN):
    """A conditional model."""


def test_conditional_models_are_refused():
    module = Conditional(num_classes=3, label_distribution="uniform", **settings(discriminator=LinearCritic()))
    with pytest.raises(ValueError, match="the fakes of Conditional have other labels"):
        fixed(0.5).check(module)


def test_a_critic_has_no_sides():
    own = {"clip_value": 0.5, "warmup_critic": 2, "warmup_iterations": 0, "refresh_every": None}
    module = WGAN(**settings() | own)
    with pytest.raises(ValueError, match="APA adapts"):
        APA(p=0.0, target=0.6, interval=4, kimg=500, batch_size=2).check(module)
    fixed(0.5).check(module)
