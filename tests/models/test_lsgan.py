"""LSGAN, worked by hand: logits 3, 4 of reals and 7, -3 of fakes, with w = (3, 4) and a = (1, 1)."""

import pytest
from tiny import fit, fix_latents, settings

from gan_lab.models.lsgan import LSGAN


def test_losses():
    module = LSGAN(**settings())
    fix_latents(module)
    fit(module, images=2)
    records = module.take_records()
    assert records["loss/d"] == pytest.approx((2 + 24.5 + 4.5 + 4.5) / 2)
    assert records["loss/g"] == pytest.approx((18 + 8) / 2)


def test_steps():
    """D: mean[(D(x) - 1) x + D(g) g] = (6, 5), so w = (0, 1.5); then D(g) = 1.5, 0 and G's slope is (0, 0.375)."""
    module = LSGAN(**settings(d_lr=0.5, g_lr=0.5))
    fix_latents(module)
    fit(module, images=2)
    assert module.discriminator.weight.tolist() == pytest.approx([0, 1.5])
    assert module.generator.scale.tolist() == pytest.approx([1, 0.8125])
    assert module.take_records()["loss/g"] == pytest.approx((0.125 + 0.5) / 2)
