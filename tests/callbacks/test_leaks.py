"""Leaks of augmentations: fakes that are reals, changed or not, and fakes of a generator that has not learnt."""

import math

import pytest
import torch

from gan_lab.augment.color import recolor
from gan_lab.callbacks.leaks import CHANGES, change_of, colours, layout, leaked_share
from gan_lab.data.images import from_uint8, to_uint8
from gan_lab.sampling import Draws

COUNT = 256


def pictures(seed, count=COUNT, side=32):
    """Slanted strokes under a light from the upper left, in warm colours, each elsewhere and of other strength."""
    random = torch.Generator().manual_seed(seed)
    place, slant, light, red, blue = torch.rand(5, count, 1, 1, generator=random)
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    stroke = (-((x - 0.6 * (place - 0.5) + (0.4 + 0.4 * slant) * y) / 0.25).square()).exp()
    shade = 0.5 * (light + 0.5) * (-x - y) / 2
    grey = 0.9 * stroke + shade - 0.3
    image = torch.stack([grey + 0.25 + 0.2 * red, grey, grey - 0.2 - 0.2 * blue], 1)
    return to_uint8((image + 0.1 * torch.randn(image.shape, generator=random)).clamp(-1, 1))


def leak(kind, share, seed=2):
    """Pictures of the same kind as reals, of which a share is changed: turned by right angles, tinted as by p = 0.8."""
    made = pictures(seed)
    part = round(share * COUNT)
    if kind == "mirrored":
        made[:part] = made[:part].flip(-1)
    elif kind == "turned":
        for image in range(part):
            made[image] = made[image].rot90(1 + image % 3, (-2, -1))
    elif part:
        tint = recolor(from_uint8(made[:part]), torch.tensor(0.8), Draws(7, across_ranks=False))
        made[:part] = to_uint8(tint.clamp(-1, 1))
    return made


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_a_share_of_changed_samples_is_found(kind, seed):
    change = change_of(kind, pictures(1))
    assert leaked_share(change, leak(kind, 0.4, seed)) == pytest.approx(0.4, abs=0.2 if kind == "tinted" else 0.1)
    assert leaked_share(change, pictures(seed)) == 0


def test_one_change_is_not_taken_for_another():
    changes = {kind: change_of(kind, pictures(1)) for kind in CHANGES}
    for leaked in CHANGES:
        found = {kind: leaked_share(change, leak(leaked, 0.4)) for kind, change in changes.items()}
        assert [kind for kind, share in found.items() if share > 0.15] == [leaked]


@pytest.mark.parametrize(
    "fakes",
    [
        torch.full((COUNT, 3, 32, 32), 120, dtype=torch.uint8),
        torch.randint(0, 256, (COUNT, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(3)),
        pictures(5)[:1].expand(COUNT, -1, -1, -1),
        to_uint8(from_uint8(pictures(5)) * 0.7),
    ],
    ids=["grey", "noise", "collapsed", "dull"],
)
def test_a_generator_that_has_not_learnt_leaks_nothing(fakes):
    for kind in CHANGES:
        assert leaked_share(change_of(kind, pictures(1)), fakes) < 0.15, kind


def test_reals_that_look_alike_either_way_tell_nothing():
    both = torch.cat([pictures(1, 64), pictures(2, 64).flip(-1)])[torch.randperm(128)]
    share = leaked_share(change_of("mirrored", both), leak("mirrored", 1.0))
    assert share == 0 or math.isnan(share)
    grey = torch.full((16, 1, 8, 8), 9, dtype=torch.uint8)
    assert math.isnan(leaked_share(change_of("turned", grey), grey))


def test_features_of_one_image():
    """Light on the left alone: its edges, where there are any, look to the left, mirrored to the right."""
    image = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    image[..., :4] = 255
    light, edges = layout(image)[0].split([64, 16])
    assert light.view(8, 8)[0].tolist() == [0.5] * 4 + [-0.5] * 4
    assert edges.argmax() == 8
    assert layout(image.flip(-1))[0, 64:].argmax() == 0
    orange = torch.tensor([204, 102, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    assert colours(orange)[0].tolist() == pytest.approx([0.4, 0.4, 0.6])
