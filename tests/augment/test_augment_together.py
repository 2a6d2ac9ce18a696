"""What D sees beside its images moves with them: the same picture stays the same, a mask keeps to its picture."""

import logging

import pytest
import torch
from augmenting import over_ranks, pictures
from test_diffaugment import fixed
from tiny import Doubled

from gan_lab.augment.ada import ADA, MOVING
from gan_lab.augment.apa import APA
from gan_lab.augment.diffaugment import DiffAugment
from gan_lab.augment.instance_noise import InstanceNoise
from gan_lab.layers.moving import moved_together
from gan_lab.sampling import Draws


def ada(**groups: float) -> ADA:
    return ADA(groups, p=0.8, target=None, interval=4, kimg=500, batch_size=8)


MOVES = {group: ada(**{group: 1.0}) for group in MOVING}
MOVES |= {f"diffaugment {policy}": DiffAugment([policy]) for policy in ("translation", "cutout")}
BLENDS = {"geometry"}  # a mask's values are then between 0 and 1


class Sees:
    """A model whose D sees these."""

    def __init__(self, *names: str) -> None:
        self.sees, self.boundary, self.inputs = names, 0.0, None


def test_by_hand(monkeypatch):
    """A row moved by one pixel to the right: zero comes in, which in a mask is no hole."""
    fixed(monkeypatch, 0.5, 0.99)
    row = torch.arange(1.0, 9.0).view(1, 1, 1, 8)
    mask = torch.tensor([0.0, 0, 1, 1, 0, 0, 0, 1]).view(1, 1, 1, 8)
    beside = {"condition": 10 * row.expand(-1, 2, -1, -1), "mask": mask}
    images, found = DiffAugment(["translation"]).together(row, beside, Draws(0))
    assert images.flatten().tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert found["condition"].flatten(2).tolist() == [[[0, 10, 20, 30, 40, 50, 60, 70]] * 2]
    assert found["mask"].flatten().tolist() == [0, 0, 0, 1, 1, 0, 0, 0]


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("size", [(8, 8), (6, 9)], ids=str)
def test_all_move_alike(move, size):
    """The target is the source, and the mask says where it is light; images move as they would without the others."""
    images = pictures(24, 3, *size)
    beside = {"condition": images.clone(), "mask": (images[:, :1] > 0).float()}
    moved, found = MOVES[move].together(images, beside, Draws(3))
    assert torch.equal(moved, found["condition"])
    assert (moved != images).flatten(1).any(1).sum() > 8
    torch.testing.assert_close(moved, MOVES[move](images, Draws(3)), rtol=0, atol=1e-6)
    if move not in BLENDS:
        assert torch.equal(found["mask"], (moved[:, :1] > 0).float())


def test_a_mask_between_pixels_stays_in_its_range():
    mask = (pictures(24, 1, 8, 8) > 0).float()
    geometry = MOVES["geometry"]
    _, found = geometry.together(pictures(24, 3, 8, 8), {"mask": mask}, Draws(3))
    as_picture = geometry(mask, Draws(3))
    assert as_picture.min() < -0.01, "the filter overshoots"
    torch.testing.assert_close(found["mask"], as_picture.clamp(0, 1), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("augment", "moving", "lost"),
    [
        (
            ada(blit=1.0, color=1.0, filter=1.0, noise=1.0, cutout=0.5),
            ada(blit=1.0, cutout=0.5),
            "color, filter, noise",
        ),
        (DiffAugment(["color", "cutout", "translation"]), DiffAugment(["cutout", "translation"]), "color"),
    ],
)
def test_what_changes_values_is_left_out_aloud(augment, moving, lost, caplog):
    images, source = pictures(24, 3, 8, 8), pictures(24, 1, 8, 8)
    found = augment.together(images, {"condition": source}, Draws(0))
    expected = moving.together(images, {"condition": source}, Draws(0))
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1]["condition"], expected[1]["condition"])
    with caplog.at_level(logging.INFO, "gan_lab"):
        for model in (Sees(), Sees("condition", "mask")):
            augment.check(model)
        moving.check(Sees("mask"))
    (said,) = caplog.messages
    assert f"goes without {lost}: D of sees sees the condition and the mask beside its images" in said


@pytest.mark.parametrize(
    ("augment", "said"),
    [
        (
            ada(color=1.0, noise=1.0),
            "ADA would change nothing: .* only blit, geometry, cutout .* not color, noise; add",
        ),
        (DiffAugment(["color"]), "DiffAugment would change nothing: .* only translation, cutout .* not color; add"),
        (Doubled(), "Doubled changes images alone, and D of sees sees the mask beside its images; leave it out"),
    ],
)
def test_refused_where_nothing_can_move_alike(augment, said):
    augment.check(Sees())
    with pytest.raises(ValueError, match=said):
        augment.check(Sees("mask"))


def test_noise_and_fakes_for_reals_leave_the_others_alone():
    images, source = pictures(4, 3, 5, 5), pictures(4, 1, 5, 5)
    noise = InstanceNoise(sigma=1.0, until_kimg=1)
    shown, beside = noise.together(images, {"condition": source}, Draws(0))
    assert torch.equal(shown, noise(images, Draws(0)))
    assert beside["condition"] is source
    apa = APA(p=1.0, target=None, interval=4, kimg=500, batch_size=4)
    assert all(
        left is right for left, right in zip(apa.together(images, beside, Draws(0)), (images, beside), strict=True)
    )
    for augment in (noise, apa):
        augment.check(Sees("condition"))


def test_sources_of_another_size_are_refused():
    with pytest.raises(
        ValueError, match=r"images of 8x8 cannot move a condition of 4x4 alike; leave out model\.augment"
    ):
        MOVES["blit"].together(pictures(2, 3, 8, 8), {"condition": pictures(2, 3, 4, 4)}, Draws(0))


def test_half_precision_fakes_meet_full_precision_sources():
    fakes, sources = pictures(4, 3, 6, 6).bfloat16(), pictures(4, 1, 6, 6)
    moved, beside = moved_together(lambda together: together.flip(-1), fakes, {"condition": sources})
    assert torch.equal(moved, fakes.float().flip(-1))
    assert torch.equal(beside["condition"], sources.flip(-1))


@pytest.mark.parametrize("augment", [ada(blit=1.0, geometry=1.0, cutout=1.0), DiffAugment(["translation", "cutout"])])
def test_the_number_of_ranks_does_not_matter(augment, monkeypatch):
    def seen(images, draws):
        shown, beside = augment.together(images, {"condition": -images, "mask": (images[:, :1] > 0).double()}, draws)
        return torch.cat([shown, beside["condition"], beside["mask"]], dim=1)

    images = pictures(24, 3, 8, 6, dtype=torch.float64)
    parts = over_ranks(seen, images, 2, monkeypatch)
    torch.testing.assert_close(parts, seen(images, Draws(3)), rtol=0, atol=1e-12)
