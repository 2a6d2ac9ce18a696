"""R1 against a linear critic: D(x) = 3 x_1 + 4 x_2 has a squared slope of 25."""

import pytest
import torch
from plain_gan import plain_gan, weights_after
from tiny import Doubled, LinearCritic, fit
from torch.autograd import gradcheck

from gan_lab.regularizers.base import Phase
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


@pytest.mark.parametrize("kind", [R1, R2])
def test_the_slope_is_taken_without_autocast(kind):
    """In bfloat16, weights of 1 + 2^-9 would be 1."""
    critic = torch.nn.Sequential(torch.nn.Linear(2, 1, bias=False), torch.nn.Flatten(0))
    critic[0].weight.data = torch.full((1, 2), 1 + 2**-9)
    module = plain_gan(kind(weight=1.0, every=1), discriminator=critic)
    samples = torch.randn(3, 2).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        penalties = kind(weight=1.0, every=1)(module, Phase(real=samples, fake=samples))
    assert penalties.tolist() == pytest.approx([2 * (1 + 2**-9) ** 2] * 3, rel=1e-6)


def test_squares_are_summed_in_float32():
    images = torch.randn(1, 1000, dtype=torch.bfloat16).requires_grad_()
    weights = torch.full((1000,), 1 + 2**-7, dtype=torch.bfloat16)
    penalty = r1_penalty(real_images=images, real_logits=images @ weights)
    assert penalty.dtype == torch.float32
    assert penalty.item() == pytest.approx(1000 * (1 + 2**-7) ** 2, rel=1e-6)


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
