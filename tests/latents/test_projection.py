"""Pictures are projected to where they come from; schedules, framing and refusals by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_generators import generator

from gan_lab.latents.projection import Distance, Projector, Search, checked_space, framed
from gan_lab.latents.space import space_of
from gan_lab.sampling import LabelledInputs


def projector(kind: str, steps: int, **further) -> Projector:
    space = space_of(generator("latents" if kind == "z" else "styles"), seed=2)
    search = Search(steps=steps, rate=0.1, noise=0.05)
    return Projector(space, kind=kind, distance=Distance(None, 1.0), search=search, **further)


@pytest.mark.parametrize("kind", ["w", "w+", "z"])
def test_a_picture_of_the_generator_is_found_again(kind):
    """The distance falls far below that of its start, and the same command gives the same bits, one by one or not."""
    steps = 150 if kind == "z" else 60  # latents begin near already: at the nearest of 100
    found = projector(kind, steps)
    pictures = list(found.space.pictures(found.space.samples(9, [500, 501])))
    first, second = (found(picture[0]) for picture in pictures)
    for projection in (first, second):
        assert projection.last < 0.1 * projection.first
    again = projector(kind, steps)(pictures[1][0])
    assert torch.equal(again.points.positions, second.points.positions)
    assert torch.equal(next(found.space.pictures(second.points)), second.picture)
    assert second.progress.shape == (8, 1, 8, 8)
    shape = {"w": (1, 8), "w+": (1, found.space.loaded.network.num_layers if kind == "w+" else 0, 8), "z": (1, 6)}
    assert second.points.positions.shape == shape[kind]


def test_the_published_schedule():
    """At 1000 steps, by hand: full rate from 5 % to 75 %, a half of it at 87.5 %; noise (1 - t / 0.75)^2."""
    search = Search(steps=1000, rate=0.1, noise=0.05)
    assert [search.rate_at(step) for step in (24, 49, 500, 750)] == pytest.approx([0.05, 0.1, 0.1, 0.1])
    assert search.rate_at(875) == pytest.approx(0.05)
    assert search.rate_at(999) < 1e-5
    assert [search.noise_at(step) for step in (0, 375, 750, 999)] == pytest.approx([0.05, 0.0125, 0, 0])
    for wrong, message in (
        ({"steps": 0}, "steps must be 1 or more, got 0"),
        ({"rate": 0.0}, "rate must be more than 0, got 0.0"),
        ({"noise": -1.0}, "noise must be 0 or more, got -1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(search, **wrong)


class Sums:
    """An extractor whose only feature is the sum of a picture."""

    def differentiable(self, images):
        return images.flatten(1).sum(1, keepdim=True)


def test_the_distance_by_hand():
    """8x8 has two levels: one pixel off by 1 is 1/64 there, and 1/16 of a quarter squared at 4x4."""
    made, target = torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 8, 8)
    made[1, 0, 2, 3] = 1.0
    pixels = (1 / 64 + 0.25**2 / 16) / 2
    assert Distance(None, 1.0)(made, target).tolist() == pytest.approx([0, pixels])
    assert Distance(Sums(), 3.0)(made, target).tolist() == pytest.approx([0, pixels + 3.0])


def test_framing_is_said():
    pixels = np.zeros((6, 12, 3), np.uint8)
    pixels[:, 3:9] = 200
    cropped, said = framed(pixels, (3, 3), "crop")
    assert said == "12x6, cropped to 6x6 at (3, 0), resized to 3x3"
    assert (cropped == 200).all()
    squeezed, said = framed(pixels, (6, 6), "squeeze")
    assert said == "12x6, resized to 6x6"
    assert np.array_equal(squeezed, squeezed[:, ::-1]), "the whole picture, whose halves mirror each other"
    assert squeezed[:, 0].max() < 20 < 180 < squeezed[:, 2].min()
    same, said = framed(pixels[..., :1], (6, 12), "crop")
    assert said == "12x6"
    assert np.array_equal(same, pixels[..., :1])


def test_what_cannot_be_projected_is_refused():
    styled, plain = space_of(generator("styles")), space_of(generator("latents"))
    assert [checked_space(None, space) for space in (styled, plain)] == ["w", "z"]
    with pytest.raises(ValueError, match=r"space=z is not of StyleGAN2Generator: choose w or w\+"):
        checked_space("z", styled)
    with pytest.raises(ValueError, match=r"space=w\+ is not of MLPGenerator: choose z"):
        checked_space("w+", plain)
    with pytest.raises(ValueError, match=r"space must be w, w\+ or z, got 'x'"):
        checked_space("x", plain)
    labelled = replace(generator("latents"), inputs=LabelledInputs(6, "normal", 4, "uniform"))
    given = {"kind": "z", "distance": Distance(None, 1.0), "search": Search(1, 0.1, 0.0)}
    with pytest.raises(ValueError, match=r"name the picture's, classes=\[3\]"):
        Projector(space_of(labelled), **given)
    assert Projector(space_of(labelled), classes=[3], **given).labels.tolist() == [3]
