"""Projection GAN, worked by hand: see `labelled.py`."""

import pytest
from labelled import assert_regularizers_are_told, module_of, step_once

from gan_lab.models.projection_gan import ProjectionGAN


def test_losses_are_of_samples_with_their_classes():
    module = module_of(ProjectionGAN)
    assert_regularizers_are_told(step_once(module))
    records = module.take_records()
    assert records["loss/d"] == pytest.approx((0.7 + 0 + 7 + 0.7) / 2), "the second real alone is beyond the margin"
    assert records["loss/g"] == pytest.approx(-(6 - 0.3) / 2)


def test_the_step_of_d():
    """By w: -0.1 of the first real, 2 and -0.1 of the fakes, all along the first axis; by s_y: w.x, with its sign."""
    module = module_of(ProjectionGAN, d_lr=1.0)
    step_once(module)
    assert module.discriminator.weight.tolist() == pytest.approx([3 - (-0.1 + 2 - 0.1) / 2, 4])
    assert module.discriminator.factors.tolist() == pytest.approx([0.1 + (3 + 3) / 2, 2 - 3 / 2])


def test_the_step_of_g():
    """By b_y: -s_y w / 2."""
    module = module_of(ProjectionGAN, g_lr=1.0)
    step_once(module)
    assert module.generator.shift.tolist() == [pytest.approx([0.15, 0.2]), pytest.approx([3, 4 - 1])]
