"""The original GAN, worked by hand: logits 3, 4 of reals and 7, -3 of fakes, with w = (3, 4) and a = (1, 1)."""

import pytest
from logistic import sigmoid, softplus
from tiny import fit, fix_latents, settings

from gan_lab.models.gan import GAN


def trained(generator_loss, **rates) -> GAN:
    module = GAN(generator_loss=generator_loss, real_target=1.0, **settings(**rates))
    fix_latents(module)
    fit(module, images=2)
    return module


def test_losses():
    records = trained("non_saturating").take_records()
    assert records["loss/d"] == pytest.approx((softplus(-3) + softplus(7) + softplus(-4) + softplus(-3)) / 2)
    assert records["loss/g"] == pytest.approx((softplus(-7) + softplus(3)) / 2)
    assert records["logits/real"] == 3.5
    assert records["logits/fake"] == 2.0


def test_minimax_loss():
    records = trained("saturating").take_records()
    assert records["loss/g"] == pytest.approx(-(softplus(7) + softplus(-3)) / 2)


def test_discriminator_step():
    """-sigmoid(-D(x)) x + sigmoid(D(g)) g, averaged."""
    module = trained("non_saturating", d_lr=1.0)
    slope = [
        (-sigmoid(-3) + sigmoid(7) - sigmoid(-3)) / 2,
        (sigmoid(7) - sigmoid(-4)) / 2,
    ]
    assert module.discriminator.weight.tolist() == pytest.approx([3 - slope[0], 4 - slope[1]])


def test_generator_steps():
    """dD/da = w * z: (3, 4) and (-3, 0)."""
    module = trained("non_saturating", g_lr=1.0)
    expected = [1 + (3 * sigmoid(-7) - 3 * sigmoid(3)) / 2, 1 + 4 * sigmoid(-7) / 2]
    assert module.generator.scale.tolist() == pytest.approx(expected)
    module = trained("saturating", g_lr=1.0)
    expected = [1 + (3 * sigmoid(7) - 3 * sigmoid(-3)) / 2, 1 + 4 * sigmoid(7) / 2]
    assert module.generator.scale.tolist() == pytest.approx(expected)


def test_an_unknown_generator_loss_is_refused():
    with pytest.raises(ValueError, match="non_saturating, saturating, got 'wasserstein'"):
        trained("wasserstein")
