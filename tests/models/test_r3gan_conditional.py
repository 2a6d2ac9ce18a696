"""R3GAN with classes, worked by hand: see `labelled.py`, where now fakes are of the classes of their reals.

They are (1, 1) of class 0 and (-1, -1) of class 1, of which D says 0.7 and -14; of the reals it says 0.3 and 8.
"""

import pytest
import torch
from labelled import REAL_LABELS, module_of, step_once
from logistic import sigmoid, softplus
from tiny import Doubled

from gan_lab.models.r3gan_conditional import ConditionalR3GAN


def test_each_real_is_held_against_a_fake_of_its_class():
    module = module_of(ConditionalR3GAN, gamma=1.0)
    told = step_once(module)
    records = module.take_records()
    assert records["loss/d"] == pytest.approx((softplus(0.7 - 0.3) + softplus(-14 - 8)) / 2)
    assert records["loss/g"] == pytest.approx((softplus(0.3 - 0.7) + softplus(8 + 14)) / 2)
    slopes = (0.1**2 * 25 + 2**2 * 25) / 2
    assert (records["reg/r1"], records["reg/r2"]) == pytest.approx((slopes, slopes)), "s_y^2 |w|^2"
    for phase in told.values():
        assert torch.equal(phase["real_labels"], REAL_LABELS)
        assert torch.equal(phase["fake_labels"], REAL_LABELS)
        torch.testing.assert_close(phase["fake"], torch.tensor([[1.0, 1.0], [-1.0, -1.0]]))


def test_the_step_of_d():
    """By s_y: of the loss -sigmoid(D(fake) - D(x)) w.(x - fake); of gamma/2 (|slope|^2 twice) gamma s_y |w|^2 * 2."""
    module = module_of(ConditionalR3GAN, gamma=0.01, d_lr=1.0)
    step_once(module)
    loss = [-sigmoid(0.4) * (3 - 7) / 2, -sigmoid(-22) * (4 + 7) / 2]
    penalty = [0.5 * 0.01 * 2 * 2 * s * 25 / 2 for s in (0.1, 2)]
    expected = [s - (loss[i] + penalty[i]) for i, s in enumerate((0.1, 2.0))]
    assert module.discriminator.factors.tolist() == pytest.approx(expected)


def test_the_step_of_g():
    """By b_y: -sigmoid(D(x) - D(fake)) s_y w / 2."""
    module = module_of(ConditionalR3GAN, gamma=1.0, g_lr=1.0)
    step_once(module)
    of_zero, of_one = sigmoid(-0.4) * 0.1 / 2, sigmoid(22) * 2 / 2
    assert module.generator.shift[0].tolist() == pytest.approx([of_zero * 3, of_zero * 4])
    assert module.generator.shift[1].tolist() == pytest.approx([of_one * 3, of_one * 4 - 1])


def test_slopes_are_at_the_samples_through_their_augmentation():
    module = module_of(ConditionalR3GAN, gamma=1.0, augment={"doubled": Doubled()})
    step_once(module)
    records = module.take_records()
    slopes = 4 * (0.1**2 * 25 + 2**2 * 25) / 2
    assert (records["reg/r1"], records["reg/r2"]) == pytest.approx((slopes, slopes))


def test_refusals():
    with pytest.raises(ValueError, match=r"gamma must be 0 or more, got -0\.1"):
        module_of(ConditionalR3GAN, gamma=-0.1)
