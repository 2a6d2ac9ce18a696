"""Losses against numbers worked by hand; finite where D is sure; a loss per sample."""

from functools import partial
from math import log

import pytest
import torch

from gan_lab.losses import hinge, least_squares, minimax, wasserstein

FAMILIES = [minimax, least_squares, hinge, wasserstein]
GENERATOR_LOSSES = [
    minimax.generator_loss_saturating,
    minimax.generator_loss_non_saturating,
    least_squares.generator_loss,
    hinge.generator_loss,
    wasserstein.generator_loss,
]

# D = sigmoid(log 3) = 3/4 on the real sample, sigmoid(-log 4) = 1/5 on the fake one.
REAL, FAKE = log(3), -log(4)


@pytest.mark.parametrize(
    ("family", "real", "fake", "expected"),
    [
        (minimax, REAL, FAKE, -log(3 / 4) - log(1 - 1 / 5)),
        (minimax, 0.0, 0.0, 2 * log(2)),
        (least_squares, 3.0, 2.0, 0.5 * (3 - 1) ** 2 + 0.5 * 2**2),
        (least_squares, 1.0, 0.0, 0.0),
        (hinge, 0.25, -0.5, 0.75 + 0.5),
        (hinge, 2.0, -3.0, 0.0),
        (hinge, -2.0, 3.0, 3.0 + 4.0),
        (wasserstein, 2.0, 5.0, 3.0),
    ],
)
def test_discriminator_losses(family, real, fake, expected):
    loss = family.discriminator_loss(real_logits=torch.tensor([real]), fake_logits=torch.tensor([fake]))
    assert loss.tolist() == pytest.approx([expected], abs=1e-6)


def test_smoothed_labels():
    """With D(x) = 3/4 and D(G(z)) = 1/2."""
    logits = {"real_logits": torch.tensor([REAL]), "fake_logits": torch.tensor([0.0])}
    loss = minimax.discriminator_loss(**logits, real_target=0.9)
    assert loss.tolist() == pytest.approx([-0.9 * log(3 / 4) - 0.1 * log(1 / 4) - log(1 / 2)], abs=1e-6)
    assert minimax.checked_target(0.9) == 0.9
    for wrong in (0.0, 1.1):
        with pytest.raises(ValueError, match=f"real_target must be in .0, 1., got {wrong}"):
            minimax.checked_target(wrong)


@pytest.mark.parametrize(
    ("loss", "fake", "expected"),
    [
        (minimax.generator_loss_saturating, FAKE, log(1 - 1 / 5)),
        (minimax.generator_loss_non_saturating, FAKE, -log(1 / 5)),
        (least_squares.generator_loss, 3.0, 2.0),
        (hinge.generator_loss, 1.5, -1.5),
        (wasserstein.generator_loss, 1.5, -1.5),
    ],
)
def test_generator_losses(loss, fake, expected):
    assert loss(fake_logits=torch.tensor([fake])).tolist() == pytest.approx([expected], abs=1e-6)


@pytest.mark.parametrize("loss", [*(partial(family.discriminator_loss) for family in FAMILIES), *GENERATOR_LOSSES])
@pytest.mark.parametrize("size", [1000.0, -1000.0])
def test_extreme_logits_stay_finite(loss, size):
    logits = {"fake_logits": torch.tensor([size], requires_grad=True)}
    if isinstance(loss, partial):
        logits["real_logits"] = torch.tensor([-size], requires_grad=True)
    value = loss(**logits)
    value.sum().backward()
    assert value.isfinite().all()
    assert all(tensor.grad.isfinite().all() for tensor in logits.values())


def test_saturation_is_where_the_paper_says():
    """At a logit of -20, D is sure of a fake: the saturating loss is flat, the other has slope -1."""
    for loss, slope in ((minimax.generator_loss_saturating, 0.0), (minimax.generator_loss_non_saturating, -1.0)):
        logits = torch.tensor([-20.0], requires_grad=True)
        loss(fake_logits=logits).sum().backward()
        assert logits.grad.item() == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_loss_per_sample_in_float32(family):
    torch.manual_seed(0)
    real, fake = torch.randn(3).bfloat16() / 3, torch.randn(3).bfloat16() / 3
    losses = family.discriminator_loss(real_logits=real, fake_logits=fake)
    assert losses.shape == (3,)
    assert losses.dtype == torch.float32
    alone = family.discriminator_loss(real_logits=real[1:2], fake_logits=fake[1:2])
    assert torch.equal(losses[1:2], alone)
    assert torch.equal(losses, family.discriminator_loss(real_logits=real.float(), fake_logits=fake.float()))


@pytest.mark.parametrize("family", FAMILIES)
def test_patches_are_averaged_per_sample(family):
    """The mean of the patches' losses, not the loss of the mean logit."""
    real, fake = torch.randn(3, 1, 2, 2) * 3, torch.randn(3, 1, 2, 2) * 3
    patches = [
        family.discriminator_loss(real_logits=real[:, 0, row, column], fake_logits=fake[:, 0, row, column])
        for row in range(2)
        for column in range(2)
    ]
    losses = family.discriminator_loss(real_logits=real, fake_logits=fake)
    assert torch.allclose(losses, torch.stack(patches).mean(0), atol=1e-6)


@pytest.mark.parametrize("loss", GENERATOR_LOSSES)
def test_patches_are_averaged_in_the_generator_losses(loss):
    fake = torch.randn(3, 1, 2, 2) * 3
    patches = [loss(fake_logits=fake[:, 0, row, column]) for row in range(2) for column in range(2)]
    assert torch.allclose(loss(fake_logits=fake), torch.stack(patches).mean(0), atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_sides_of_different_length_are_refused(family):
    with pytest.raises(ValueError, match="got 4 and 1 logits"):
        family.discriminator_loss(real_logits=torch.zeros(4), fake_logits=torch.zeros(1))
