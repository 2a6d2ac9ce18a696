"""Hinge GAN, worked by hand: logits 3, 4 of reals and 7, -3 of fakes, with w = (3, 4) and a = (1, 1)."""

import pytest
from tiny import fit, fix_latents, settings

from gan_lab.models.hinge_gan import HingeGAN


def test_losses():
    module = HingeGAN(**settings())
    fix_latents(module)
    fit(module, images=2)
    records = module.take_records()
    assert records["loss/d"] == pytest.approx(4.0), "the first fake alone is inside the margin: 1 + 7"
    assert records["loss/g"] == pytest.approx(-2.0)


def test_steps():
    """D: half of that fake, (0.5, 0.5), so w = (2.5, 3.5); then G's slope is -(2.5 - 2.5, 3.5) / 2."""
    module = HingeGAN(**settings(d_lr=1.0, g_lr=1.0))
    fix_latents(module)
    fit(module, images=2)
    assert module.discriminator.weight.tolist() == pytest.approx([2.5, 3.5])
    assert module.generator.scale.tolist() == pytest.approx([1, 2.75])
    assert module.take_records()["loss/g"] == pytest.approx(-(6 - 2.5) / 2)
