"""Relativistic losses against numbers worked by hand: D(x) = log 3 and D(G(z)) = -log 4 differ by log 12."""

from math import exp, log

import pytest
import torch

from gan_lab.losses import relativistic

PAIRED = [relativistic.paired_discriminator_loss, relativistic.paired_generator_loss]
AVERAGE = [relativistic.average_discriminator_loss, relativistic.average_generator_loss]
REAL, FAKE = torch.tensor([log(3.0), 0.0]), torch.tensor([-log(4.0), 1.0])


def test_paired_losses():
    """sigmoid(log 12) = 12/13; sigmoid(-1) = 1 / (1 + e)."""
    loss = relativistic.paired_discriminator_loss(real_logits=REAL, fake_logits=FAKE)
    assert loss.tolist() == pytest.approx([-log(12 / 13), log(1 + exp(1))], abs=1e-6)
    loss = relativistic.paired_generator_loss(real_logits=REAL, fake_logits=FAKE)
    assert loss.tolist() == pytest.approx([-log(1 / 13), log(1 + exp(-1))], abs=1e-6)


def test_average_losses():
    """Reals of 3 and 1, mean 2; fakes of -1 and 0, mean -1/2: the first real is 3.5 above, the first fake 3 below."""
    real, fake = torch.tensor([3.0, 1.0]), torch.tensor([-1.0, 0.0])
    loss = relativistic.average_discriminator_loss(real_logits=real, fake_logits=fake)
    first, second = (log(1 + exp(-3.5)) + log(1 + exp(-3)), log(1 + exp(-1.5)) + log(1 + exp(-2)))
    assert loss.tolist() == pytest.approx([first, second], abs=1e-6)
    loss = relativistic.average_generator_loss(real_logits=real, fake_logits=fake)
    assert loss.tolist() == pytest.approx([first + 3.5 + 3, second + 1.5 + 2], abs=1e-6), (
        "softplus(x) = x + softplus(-x)"
    )


def test_the_means_have_a_gradient():
    """One sample a side: softplus(f - r) twice, each through a logit and a mean, so twice the slope of a pair."""
    real, fake = torch.tensor([1.0], requires_grad=True), torch.tensor([0.0], requires_grad=True)
    relativistic.average_discriminator_loss(real_logits=real, fake_logits=fake).sum().backward()
    slope = 2 / (1 + exp(1))
    assert (real.grad.item(), fake.grad.item()) == pytest.approx((-slope, slope), abs=1e-6)


@pytest.mark.parametrize("loss", [*PAIRED, *AVERAGE])
def test_a_constant_added_to_all_logits_changes_nothing(loss):
    moved = loss(real_logits=REAL + 5, fake_logits=FAKE + 5)
    assert torch.allclose(moved, loss(real_logits=REAL, fake_logits=FAKE), atol=1e-6)


@pytest.mark.parametrize("loss", [*PAIRED, *AVERAGE])
@pytest.mark.parametrize("size", [1000.0, -1000.0])
def test_extreme_logits_stay_finite(loss, size):
    real, fake = torch.tensor([size], requires_grad=True), torch.tensor([-size], requires_grad=True)
    value = loss(real_logits=real, fake_logits=fake)
    value.sum().backward()
    assert value.isfinite().all()
    assert real.grad.isfinite().all()
    assert fake.grad.isfinite().all()


@pytest.mark.parametrize("loss", [*PAIRED, *AVERAGE])
@pytest.mark.parametrize(
    ("dtype", "expected"), [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64,) * 2]
)
def test_one_loss_per_sample_in_float32_or_more(loss, dtype, expected):
    logits = {"real_logits": REAL.to(dtype), "fake_logits": FAKE.to(dtype)}
    losses = loss(**logits)
    assert losses.shape == (2,)
    assert losses.dtype == expected
    assert torch.equal(losses, loss(**{name: values.to(expected) for name, values in logits.items()}))


@pytest.mark.parametrize("loss", PAIRED)
def test_patches_are_paired_and_averaged_per_sample(loss):
    torch.manual_seed(0)
    real, fake = torch.randn(3, 1, 2, 2) * 3, torch.randn(3, 1, 2, 2) * 3
    patches = [
        loss(real_logits=real[:, 0, row, column], fake_logits=fake[:, 0, row, column])
        for row in range(2)
        for column in range(2)
    ]
    losses = loss(real_logits=real, fake_logits=fake)
    assert torch.allclose(losses, torch.stack(patches).mean(0), atol=1e-6)


@pytest.mark.parametrize("loss", AVERAGE)
def test_patches_share_their_means(loss):
    """The mean over samples of the loss is that of all patches taken as samples."""
    torch.manual_seed(0)
    real, fake = torch.randn(3, 1, 2, 2) * 3, torch.randn(3, 1, 2, 2) * 3
    losses = loss(real_logits=real, fake_logits=fake)
    assert losses.shape == (3,)
    flat = loss(real_logits=real.flatten(), fake_logits=fake.flatten())
    assert losses.mean().item() == pytest.approx(flat.mean().item(), abs=1e-6)


@pytest.mark.parametrize("loss", [*PAIRED, *AVERAGE])
def test_sides_of_different_shape_are_refused(loss):
    with pytest.raises(ValueError, match=r"got logits of shape \(4,\) and \(1,\)"):
        loss(real_logits=torch.zeros(4), fake_logits=torch.zeros(1))
