"""Consistency by hand, with D(x) = 3 x_1 + 4 x_2 on pictures of two pixels, which a mirror swaps."""

import pytest
import torch
from plain_gan import Asked, ImageCritic, ImageGenerator, labelled_phase, plain_gan, weights_after
from tiny import REAL, labelled_inputs
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import pad

from gan_lab import collectives
from gan_lab.augment.instance_noise import InstanceNoise
from gan_lab.regularizers.base import Phase
from gan_lab.regularizers.consistency import (
    BalancedConsistency,
    Consistency,
    LatentConsistency,
    LatentDiversity,
    flip_and_shift,
)
from gan_lab.sampling import CodedInputs, Draws

PICTURES = REAL.view(2, 1, 1, 2)
MIRROR = {"weight": 0.1, "every": 1, "flip": True, "max_shift": 0}
NEAR = {"weight": 0.5, "every": 1, "sigma": 0.1}


# Flips and shifts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flip", "shift", "expected"),
    [
        (False, 0, [0, 1, 2, 3]),
        (False, 1, [1, 2, 3, 2]),
        (False, -2, [2, 1, 0, 1]),
        (True, 0, [3, 2, 1, 0]),
        (True, 1, [2, 1, 0, 1]),
        (True, -1, [2, 3, 2, 1]),
    ],
)
def test_a_row(flip, shift, expected):
    row = torch.arange(4.0).view(1, 1, 1, 4).expand(1, 2, 3, 4)
    moved = flip_and_shift(row, flips=torch.tensor([flip]), shifts=torch.tensor([[0, shift]]))
    assert torch.equal(moved, torch.tensor(expected).float().expand(1, 2, 3, 4))


def test_against_reflecting_and_cropping():
    """Each sample by itself, by torch's own padding."""
    torch.manual_seed(0)
    images, reach = torch.randn(5, 3, 6, 7), 4
    flips = torch.tensor([True, False, True, False, True])
    shifts = torch.tensor([[4, -4], [0, 3], [-1, -2], [-4, 4], [2, 0]])
    moved = flip_and_shift(images, flips=flips, shifts=shifts)
    for image, flip, (down, right), found in zip(images, flips, shifts.tolist(), moved, strict=True):
        around = pad((image.flip(2) if flip else image)[None], [reach] * 4, mode="reflect")[0]
        expected = around[:, reach + down : reach + down + 6, reach + right : reach + right + 7]
        assert torch.equal(found, expected)


def test_gradients_of_first_and_second_order():
    images = torch.randn(2, 1, 3, 3, dtype=torch.float64, requires_grad=True)

    def moved(images):
        shifts = torch.tensor([[1, -2], [0, 1]])
        return flip_and_shift(images, flips=torch.tensor([True, False]), shifts=shifts).square()

    assert gradcheck(moved, images)
    assert gradgradcheck(moved, images)


# CR and bCR -----------------------------------------------------------------------------------------------------


def gan(*extras, **given):
    return plain_gan(*extras, discriminator=ImageCritic(), generator=ImageGenerator(), **given)


def fix_integers(module, value):
    """Every flip is this."""
    module.draws.integers = lambda purpose, count, high: torch.full((count,), min(value, high - 1))


def test_consistency_of_reals():
    """Mirrored, 3 and 4 are 4 and 3: the penalty is (w_2 - w_1)^2 = 1, its gradient (-2, 2)."""
    module = gan(Consistency(**MIRROR), d_lr=1.0, g_lr=1.0)
    fix_integers(module, 1)
    critic, scale = weights_after(module, real=PICTURES)
    assert module.take_records()["reg/cr"] == pytest.approx(1.0)
    assert critic == pytest.approx([3 + 0.5 + 0.2, 4 - 0.2])
    assert scale == pytest.approx([1, 1 + 3.8 / 2])


def test_consistency_of_reals_and_fakes():
    """The fakes (1, 1) and (-1, 0) add (0 + (w_2 - w_1)^2) / 2."""
    module = gan(BalancedConsistency(**MIRROR), d_lr=1.0)
    fix_integers(module, 1)
    critic, _ = weights_after(module, real=PICTURES)
    assert module.take_records()["reg/bcr"] == pytest.approx(1.5)
    assert critic == pytest.approx([3 + 0.5 + 0.3, 4 - 0.3])


class PixelCritic(ImageCritic):
    """A logit of the sample and one of each of its pixels, which move as the pixels do."""

    def forward(self, samples):
        return torch.cat([super().forward(samples)[:, None, None, None].expand_as(samples), samples], 1)


@pytest.mark.parametrize("kind", [Consistency, BalancedConsistency])
def test_logits_of_pixels_may_move_with_them(kind):
    """A mirror changes the sample's logit from 3 to 4 and from 4 to 3, and leaves the mean of the pixels'."""
    module = plain_gan(discriminator=PixelCritic(), generator=ImageGenerator())
    fix_integers(module, 1)
    phase = Phase(real=PICTURES, fake=PICTURES)
    penalties = kind(**MIRROR)(module, phase)
    assert penalties.tolist() == pytest.approx([0.25 * (1 if kind is Consistency else 2)] * 2)


def test_passes_know_no_autocast():
    module = gan(Consistency(**MIRROR))
    module.discriminator.weight.data = torch.tensor([3.0, 3.001])  # the same number in bfloat16
    fix_integers(module, 1)
    with torch.autocast("cpu", torch.bfloat16):
        penalties = Consistency(**MIRROR)(module, Phase(real=PICTURES))
    assert penalties.tolist() == pytest.approx([1e-6] * 2, rel=1e-2)


def test_without_flips_there_are_none():
    module = gan(Consistency(weight=1.0, every=1, flip=False, max_shift=1))
    images = torch.arange(9.0).view(1, 1, 3, 3).repeat(64, 1, 1, 1)
    moved = module.regularizers["extra0"]._changed(module, images)
    kinds = {
        tuple(flip_and_shift(images[:1], flips=torch.tensor([False]), shifts=torch.tensor([[a, b]])).flatten().tolist())
        for a in (-1, 0, 1)
        for b in (-1, 0, 1)
    }
    assert {tuple(image.flatten().tolist()) for image in moved} == kinds, "each of the nine, and nothing else"


def test_half_are_flipped():
    module = gan(Consistency(**MIRROR))
    images = torch.arange(2.0).view(1, 1, 1, 2).repeat(1000, 1, 1, 1)
    share = module.regularizers["extra0"]._changed(module, images)[:, 0, 0, 0].mean().item()
    assert 0.4 < share < 0.6


def test_both_sides_are_seen_through_one_augmentation():
    """Nothing is flipped, so noise that both sides share leaves no difference."""
    module = gan(BalancedConsistency(**MIRROR), augment={"noise": InstanceNoise(sigma=1.0, until_kimg=1)})
    fix_integers(module, 0)
    weights_after(module, real=PICTURES)
    assert module.take_records()["reg/bcr"] == 0.0


@pytest.mark.parametrize("world", [2, 4])
def test_changes_do_not_know_the_number_of_ranks(world, monkeypatch):
    images, extra = torch.randn(8, 1, 5, 5), Consistency(weight=1.0, every=1, flip=True, max_shift=2)
    whole = extra._changed(Asked(Draws(0)), images)
    parts = []
    monkeypatch.setattr(collectives, "is_distributed", lambda: True)
    monkeypatch.setattr(collectives, "world", lambda: world)
    for rank, part in enumerate(images.chunk(world)):
        monkeypatch.setattr(collectives, "rank", lambda rank=rank: rank)
        parts.append(extra._changed(Asked(Draws(0)), part))
    assert torch.equal(torch.cat(parts), whole)


def test_labels_go_with_their_samples():
    module = Asked(Draws(0))
    BalancedConsistency(**MIRROR)(module, labelled_phase(1, 2, 2))
    assert module.labels == [[5, 6], [5, 6], [7, 8], [7, 8]]
    module.labels.clear()
    Consistency(**MIRROR)(module, labelled_phase(1, 2, 2))
    assert module.labels == [[5, 6], [5, 6]]


def test_lazily():
    """A step of its own, twice as heavy, the learning rate 2 / 3 of itself for both."""
    module = gan(Consistency(**MIRROR | {"every": 2}), d_lr=0.3)
    fix_integers(module, 1)
    critic, _ = weights_after(module, real=PICTURES)
    slope = 2 * (4 - 3.1)
    assert critic == pytest.approx([3.1 + 0.2 * 2 * 0.1 * slope, 4 - 0.2 * 2 * 0.1 * slope])


@pytest.mark.parametrize("kind", [Consistency, BalancedConsistency])
def test_refusals_of_pictures(kind):
    with pytest.raises(ValueError, match=r"must change its samples.*got max_shift=0, flip=False"):
        kind(weight=1.0, every=1, flip=False, max_shift=0)
    with pytest.raises(ValueError, match=r"got max_shift=-1, flip=True"):
        kind(weight=1.0, every=1, flip=True, max_shift=-1)
    with pytest.raises(ValueError, match=r"longer than max_shift=0, and samples here have the shape \(2,\)"):
        weights_after(plain_gan(kind(**MIRROR)))
    with pytest.raises(ValueError, match=r"longer than max_shift=1, and samples here have the shape \(1, 1, 2\)"):
        weights_after(gan(kind(**MIRROR | {"max_shift": 1})), real=PICTURES)


# zCR ------------------------------------------------------------------------------------------------------------


def fix_noise(module):
    """Noise of latents is (1, 1); latents keep theirs."""
    draw = module.draws.normal
    module.draws.normal = lambda purpose, count, shape: (
        torch.ones(count, *shape) if purpose == "latent consistency" else draw(purpose, count, shape)
    )


def test_consistency_of_latents():
    """D moves by sigma (w_1 + w_2) = 0.7: the penalty is 0.49, its gradient 2 * 0.7 * 0.1 * (1, 1)."""
    module = plain_gan(LatentConsistency(**NEAR), d_lr=1.0, g_lr=1.0)
    fix_noise(module)
    critic, scale = weights_after(module)
    assert module.take_records()["reg/zcr_discriminator"] == pytest.approx(0.49, rel=1e-5)
    assert critic == pytest.approx([3 + 0.5 - 0.07, 4 - 0.07], rel=1e-5)
    assert scale == pytest.approx([1, 1 + 3.93 / 2], rel=1e-5)


def test_diversity_of_latents():
    """G moves by (0.1, 0.1): the mean square is 0.01, and its gradient (0.01, 0.01) is climbed, not descended."""
    module = plain_gan(LatentDiversity(**NEAR), d_lr=1.0, g_lr=1.0)
    fix_noise(module)
    critic, scale = weights_after(module)
    assert module.take_records()["reg/zcr_generator"] == pytest.approx(-0.01, rel=1e-4)
    assert critic == pytest.approx([3.5, 4])
    assert scale == pytest.approx([1 + 0.005, 1 + 2 + 0.005], rel=1e-5)


def test_close_fakes_are_seen_through_one_augmentation():
    """On a linear D noise that both share leaves no difference, and the next draw is a new one."""
    noise = InstanceNoise(sigma=1.0, until_kimg=1)
    module = plain_gan(LatentConsistency(**NEAR), augment={"noise": noise})
    fix_noise(module)
    weights_after(module)
    assert module.take_records()["reg/zcr_discriminator"] == pytest.approx(0.49, rel=1e-4)


def test_latents_are_new_at_every_call():
    module, extra = plain_gan(), LatentConsistency(**NEAR)
    first, second = extra.neighbours(module, 2), extra.neighbours(module, 2)
    assert not torch.equal(first[0]["latents"], second[0]["latents"])
    offsets = [near["latents"] - here["latents"] for here, near in (first, second)]
    assert not torch.allclose(*offsets)
    assert 0.01 < torch.cat(offsets).std().item() < 0.3


def test_close_fakes_are_of_one_class():
    module = Asked(Draws(0), labelled_inputs())
    for extra in (LatentConsistency(**NEAR), LatentDiversity(**NEAR)):
        here, near = extra.neighbours(module, 2)
        assert torch.equal(here["labels"], near["labels"])
    LatentConsistency(**NEAR)(module, Phase(fake=torch.zeros(2, 2)))
    assert module.labels[0] == module.labels[1]


def test_codes_have_no_neighbours():
    module = plain_gan()
    module.inputs = CodedInputs(5, "normal", [2], 1)
    here, near = LatentDiversity(**NEAR).neighbours(module, 4)
    moved = here["latents"] != near["latents"]
    assert moved[:, :2].all()
    assert not moved[:, 2:].any()


@pytest.mark.parametrize("kind", [LatentConsistency, LatentDiversity])
def test_refusals_of_latents(kind):
    with pytest.raises(ValueError, match="sigma must be more than 0, got 0"):
        kind(weight=1.0, every=1, sigma=0.0)
    module = plain_gan()
    module.inputs = None
    with pytest.raises(ValueError, match="needs a generator of latents, which WGAN has not"):
        kind(**NEAR).check(module)
