"""Drift: logits 3 and 4 of reals cost (9 + 16) / 2, with the gradient (3, 4)."""

import pytest
import torch
from plain_gan import plain_gan, weights_after

from gan_lab.regularizers.base import Phase
from gan_lab.regularizers.drift import Drift, drift_penalty


def test_squares():
    assert drift_penalty(real_logits=torch.tensor([-2.0, 3.0])).tolist() == [4.0, 9.0]
    assert drift_penalty(real_logits=torch.ones(2, dtype=torch.bfloat16)).dtype == torch.float32


def test_it_pulls_logits_of_reals_to_zero():
    module = plain_gan(Drift(weight=0.1, every=1), d_lr=1.0, g_lr=1.0)
    critic, scale = weights_after(module)
    assert module.take_records()["reg/drift"] == pytest.approx(12.5)
    assert critic == pytest.approx([3 + 0.5 - 0.3, 4 - 0.4])
    assert scale == pytest.approx([1, 1 + 3.6 / 2])


def test_refusals():
    with pytest.raises(ValueError, match=r"drift works on what the discriminator step has computed.*every to 1, got 2"):
        weights_after(plain_gan(Drift(weight=0.1, every=2)))
    with pytest.raises(ValueError, match="drift needs the real_logits of the discriminator step, and that of WGAN has"):
        Drift(weight=0.1, every=1)(plain_gan(), Phase(real=torch.zeros(2, 2)))
