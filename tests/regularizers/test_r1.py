"""R1 against a linear critic: D(x) = 3 x_1 + 4 x_2 has a squared slope of 25."""

import pytest
import torch
from plain_gan import plain_gan, weights_after
from tiny import Doubled, LinearCritic, fit
from torch.autograd import gradcheck

from gan_lab.regularizers.r1 import R1, R2, r1_penalty

WEIGHTS = torch.tensor([3.0, 4.0])


def test_linear_critic_gives_25_for_each_sample():
    images = torch.randn(3, 2).requires_grad_()
    assert r1_penalty(real_images=images, real_logits=images @ WEIGHTS).tolist() == pytest.approx([25.0] * 3)


def test_penalties_belong_to_samples():
    """D(x) = |x|^2 / 2 has the slope x: penalties are each image's own squared norm over all its axes."""
    images = torch.tensor([[[[1.0, 2.0]], [[2.0, 0.0]]], [[[0.0, 0.0]], [[0.0, 5.0]]]]).requires_grad_()
    penalties = r1_penalty(real_images=images, real_logits=images.square().flatten(1).sum(1) / 2)
    assert penalties.tolist() == pytest.approx([9.0, 25.0])


def test_patches_are_averaged_as_in_losses():
    images = torch.randn(3, 2).requires_grad_()
    patches = torch.stack([images @ WEIGHTS, images @ (3 * WEIGHTS)], dim=1)
    assert r1_penalty(real_images=images, real_logits=patches).tolist() == pytest.approx([100.0] * 3)


@pytest.mark.parametrize("kind", [R1, R2])
def test_the_slope_is_at_the_sample_before_augmentation(kind):
    """Of D(2 x) it is twice that of D."""
    module = plain_gan(kind(weight=1.0, every=1), augment={"doubled": Doubled()})
    assert weights_after(module)
    name = "reg/r1" if kind is R1 else "reg/r2"
    assert module.take_records()[name] == pytest.approx(100.0)


@pytest.mark.parametrize("kind", [R1, R2])
def test_batch_normalization_is_refused(kind):
    """There the slope at a sample is not its own."""
    normed = torch.nn.Sequential(torch.nn.BatchNorm1d(2), LinearCritic())
    with pytest.raises(ValueError, match=r"r[12] penalizes .* discriminator\.0 is batch normalization"):
        fit(plain_gan(kind(weight=1.0, every=1), discriminator=normed), images=2)


def test_gradient_with_respect_to_the_critic():
    """The penalty is |w|^2, so its gradient is 2 w; and that of a curved critic is right numerically."""
    weights, images = WEIGHTS.clone().requires_grad_(), torch.randn(1, 2).requires_grad_()
    r1_penalty(real_images=images, real_logits=images @ weights).sum().backward()
    assert weights.grad.tolist() == pytest.approx([6.0, 8.0])

    points = torch.randn(2, 2, dtype=torch.float64)
    curved = torch.randn(2, dtype=torch.float64, requires_grad=True)

    def penalty(weights):
        images = points.clone().requires_grad_()
        return r1_penalty(real_images=images, real_logits=(images @ weights).tanh())

    assert gradcheck(penalty, curved)


def test_images_without_grad_are_refused():
    images = torch.randn(3, 2)
    with pytest.raises(RuntimeError, match="requires_grad_"):
        r1_penalty(real_images=images, real_logits=images @ WEIGHTS)
