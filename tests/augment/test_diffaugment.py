"""DiffAugment, by hand on small pictures."""

import pytest
import torch
from augmenting import over_ranks, pictures

from gan_lab.augment import diffaugment, pixels
from gan_lab.augment.diffaugment import POLICIES, DiffAugment
from gan_lab.sampling import Draws


def fixed(monkeypatch, *numbers: float) -> None:
    """Let every sample draw these."""
    monkeypatch.setattr(diffaugment, "uniforms", lambda draws, purpose, images, count: tuple(
        images.new_full((len(images), 1, 1, 1), number) for number in numbers
    ))  # fmt: skip


# Colour -----------------------------------------------------------------------------------------------------------


def test_brightness(monkeypatch):
    fixed(monkeypatch, 0.75, 0.5, 0.5)
    images = pictures(2, 3, 4, 5)
    torch.testing.assert_close(DiffAugment(["color"])(images, Draws(0)), images + 0.25)


def test_saturation(monkeypatch):
    fixed(monkeypatch, 0.5, 0.75, 0.5)
    image = torch.tensor([0.1, 0.4, 0.7]).view(1, 3, 1, 1)  # grey 0.4; 1.5 times as far from it
    assert diffaugment.color(image, Draws(0)).flatten().tolist() == pytest.approx([-0.05, 0.4, 0.85])
    fixed(monkeypatch, 0.5, 0.0, 0.5)
    assert diffaugment.color(image, Draws(0)).flatten().tolist() == pytest.approx([0.4, 0.4, 0.4])


def test_contrast(monkeypatch):
    fixed(monkeypatch, 0.5, 0.5, 0.0)
    image = torch.tensor([[0.0, 0.2], [0.4, 1.0]]).view(1, 1, 2, 2)  # mean 0.4; half as far from it
    assert diffaugment.color(image, Draws(0)).flatten().tolist() == pytest.approx([0.2, 0.3, 0.4, 0.7])
    two = torch.cat([image, image + 7])
    torch.testing.assert_close(diffaugment.color(two, Draws(0))[1:], diffaugment.color(image + 7, Draws(0)))


def test_colours_of_grey_pictures_and_of_pictures_with_alpha():
    draws, images = Draws(0), pictures(50, 1, 4, 4)
    out = diffaugment.color(images, draws)
    slopes = (out - out.mean((1, 2, 3), keepdim=True)) / (images - images.mean((1, 2, 3), keepdim=True))
    assert (slopes.amax((1, 2, 3)) - slopes.amin((1, 2, 3))).max() < 1e-3, "brightness and contrast alone"
    assert slopes.min() >= 0.499
    assert slopes.max() <= 1.501
    alpha = pictures(50, 4, 4, 4)
    out = diffaugment.color(alpha, Draws(0))
    assert torch.equal(out[:, 3:], alpha[:, 3:])
    assert torch.equal(out[:, :3], diffaugment.color(alpha[:, :3], Draws(0)))
    with pytest.raises(ValueError, match="pictures of 1, 3 or 4 channels, got 2"):
        diffaugment.color(pictures(1, 2, 4, 4), draws)


# Places -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("down", "right", "rows", "columns"), [(0.0, 0.99, -2, 1), (0.5, 0.5, 0, 0), (0.9, 0.0, 2, -1)]
)
def test_translation(down, right, rows, columns, monkeypatch):
    """An eighth of 16 is 2, of 8 is 1; by hand: what is shifted out is gone, zeros come in."""
    fixed(monkeypatch, down, right)
    images = pictures(2, 3, 16, 8)
    expected = torch.zeros_like(images)
    for i in range(16):
        for j in range(8):
            if 0 <= i - rows < 16 and 0 <= j - columns < 8:
                expected[:, :, i, j] = images[:, :, i - rows, j - columns]
    assert torch.equal(DiffAugment(["translation"])(images, Draws(0)), expected)


@pytest.mark.parametrize(("side", "most"), [(20, 3), (36, 5), (52, 7), (28, 4), (32, 4)])
def test_half_a_pixel_is_rounded_up(side, most, monkeypatch):
    """An eighth of 20 is 2.5, and the authors' code has 3; rounding to even would make 2."""
    image = torch.zeros(1, 1, side, side)
    image[:, :, side // 2, side // 2] = 1
    fixed(monkeypatch, 0.0, 0.999)
    (place,) = DiffAugment(["translation"])(image, Draws(0))[0, 0].nonzero().tolist()
    assert place == [side // 2 - most, side // 2 + most]


@pytest.mark.parametrize(("side", "cut"), [(5, 3), (7, 4), (9, 5)])
def test_half_of_an_odd_side_is_rounded_up(side, cut, monkeypatch):
    fixed(monkeypatch, 0.5, 0.5)
    assert (DiffAugment(["cutout"])(torch.ones(1, 1, side, side), Draws(0)) == 0).sum() == cut**2


def test_all_translations_are_as_likely():
    image = torch.zeros(5000, 1, 16, 8)
    image[:, :, 8, 4] = 1
    frequency = DiffAugment(["translation"])(image, Draws(0)).mean((0, 1))
    assert frequency[6:11, 3:6].flatten().tolist() == pytest.approx([1 / 15] * 15, abs=0.015)
    assert frequency.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("high", "left", "rows", "columns"),
    [(0.0, 0.0, (0, 4), (0, 2)), (0.5, 0.5, (4, 12), (2, 5)), (0.999, 0.999, (12, 16), (4, 6))],
)
def test_cutout(high, left, rows, columns, monkeypatch):
    """Half of 16 is 8, about one of 17 corners; half of 6 is 3, about one of 6 pixels."""
    fixed(monkeypatch, high, left)
    images = pictures(2, 3, 16, 6)
    expected = images.clone()
    expected[:, :, slice(*rows), slice(*columns)] = 0
    assert torch.equal(DiffAugment(["cutout"])(images, Draws(0)), expected)


# All of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_each_sample_is_changed_by_itself(policy, channels):
    images = pictures(8, channels, 6, 9)
    augment = DiffAugment([policy])
    out = augment(images, Draws(0))
    assert out.shape == images.shape
    assert out.dtype == torch.float32
    assert sum(not torch.equal(*pair) for pair in zip(out, images, strict=True)) >= 6
    other = images.clone()
    other[3] = 0.5
    changed = augment(other, Draws(0))
    keep = torch.arange(8) != 3
    assert torch.equal(changed[keep], out[keep])


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("world", [2, 4])
def test_the_number_of_ranks_does_not_matter(policy, world, monkeypatch):
    images, augment = pictures(24, 3, 8, 8), DiffAugment([policy])
    assert torch.equal(over_ranks(augment, images, world, monkeypatch), augment(images, Draws(3)))


@pytest.mark.parametrize("policy", POLICIES)
def test_gradients_of_gradients(policy):
    images = pictures(2, 3, 4, 5, dtype=torch.float64).requires_grad_()
    augment = DiffAugment([policy])
    assert torch.autograd.gradcheck(lambda x: augment(x, Draws(1)), images)
    assert torch.autograd.gradgradcheck(lambda x: augment(x, Draws(1)).pow(3), images)


def test_policies_go_by_name():
    images = pictures(4, 3, 8, 8)
    both = DiffAugment(["translation", "cutout"])(images, Draws(0))
    one = DiffAugment(["cutout"])(DiffAugment(["translation"])(images, Draws(0)), Draws(0))
    assert torch.equal(both, one)
    for policies in (["colour"], []):
        with pytest.raises(ValueError, match="policies of DiffAugment are color, translation, cutout, got"):
            DiffAugment(policies)
    with pytest.raises(ValueError, match=r"pictures of shape \(B, C, H, W\), got \(5, 2\)"):
        DiffAugment(["cutout"])(torch.zeros(5, 2), Draws(0))


# What augmentations share -----------------------------------------------------------------------------------------


def test_reflecting():
    assert pixels.reflect(torch.arange(-5, 9), 4).tolist() == [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert pixels.reflect(torch.tensor([-0.25, 3.25, 6.0]), 4).tolist() == [0.25, 2.75, 0.0]
    assert pixels.reflect(torch.tensor([-3, 0, 8]), 1).tolist() == [0, 0, 0]


def test_taking_pixels():
    images = pictures(2, 3, 4, 5)
    rows, columns = torch.tensor([[[[3], [0]]], [[[1], [1]]]]), torch.tensor([4, 2, 0]).view(1, 1, 1, 3)
    taken = pixels.take(images, rows, columns)
    assert taken.shape == (2, 3, 2, 3)
    assert torch.equal(taken[0], images[0][:, [3, 0]][:, :, [4, 2, 0]])
    assert torch.equal(taken[1], images[1][:, [1, 1]][:, :, [4, 2, 0]])


def test_half_precision_is_as_full():
    """Fakes of a G in bfloat16 are moved as reals in float32 are: places are drawn in float32."""
    images = pictures(64, 1, 32, 32).bfloat16()
    augment = DiffAugment(["translation", "cutout"])
    with torch.autocast("cpu", torch.bfloat16):
        shown = augment(images, Draws(0))
    assert shown.dtype == torch.float32
    assert torch.equal(shown, augment(images.float(), Draws(0)))
