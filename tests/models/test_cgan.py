"""Conditional GAN, worked by hand: see `labelled.py`."""

import pytest
from labelled import assert_regularizers_are_told, module_of, step_once
from logistic import sigmoid, softplus

from gan_lab.models.cgan import CGAN


def test_losses_are_of_samples_with_their_classes():
    module = module_of(CGAN, real_target=1.0)
    assert_regularizers_are_told(step_once(module))
    records = module.take_records()
    assert records["loss/d"] == pytest.approx((softplus(-0.3) + softplus(-8) + softplus(6) + softplus(-0.3)) / 2)
    assert records["loss/g"] == pytest.approx((softplus(-6) + softplus(0.3)) / 2)


def test_the_step_of_d():
    """The slope by w: -(1 - D) s x of reals and D s x of fakes, each halved, with D = sigmoid of the logit."""
    module = module_of(CGAN, d_lr=1.0, real_target=1.0)
    step_once(module)
    first = (-sigmoid(-0.3) * 0.1 + sigmoid(6) * 2 - sigmoid(-0.3) * 0.1) / 2
    second = -sigmoid(-8) * 2 / 2
    assert module.discriminator.weight.tolist() == pytest.approx([3 - first, 4 - second])


def test_the_step_of_g():
    """The slope by b_y: -(1 - D) s_y w of the one fake of the class, halved."""
    module = module_of(CGAN, g_lr=1.0, real_target=1.0)
    step_once(module)
    of_one, of_zero = sigmoid(-6) * 2 / 2, sigmoid(0.3) * 0.1 / 2
    assert module.generator.shift[0].tolist() == pytest.approx([of_zero * 3, of_zero * 4])
    assert module.generator.shift[1].tolist() == pytest.approx([of_one * 3, of_one * 4 - 1])


def test_smoothed_labels_of_reals():
    module = module_of(CGAN, real_target=0.9)
    step_once(module)
    plain = (softplus(-0.3) + softplus(-8) + softplus(6) + softplus(-0.3)) / 2
    assert module.take_records()["loss/d"] == pytest.approx(plain + 0.1 * (0.3 + 8) / 2)
    with pytest.raises(ValueError, match=r"real_target must be in \(0, 1\], got 0"):
        module_of(CGAN, real_target=0.0)
