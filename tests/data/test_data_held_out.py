"""data.held_out: which pictures are not trained on follows from their pixels, and copies stay together."""

import numpy as np
import pytest
from folders import folder
from PIL import Image

from gan_lab.data.doubles import apart


def blots(seed, size=24):
    small = Image.fromarray(np.random.default_rng(seed).integers(256, size=(4, 5, 3), dtype=np.uint8))
    return small.resize((size, size), Image.Resampling.BICUBIC)


@pytest.fixture
def root(tmp_path):
    """Twenty pictures, and of the first ten a copy at another size, far from it by name."""
    (place := tmp_path / "set").mkdir()
    for number in range(20):
        blots(number).save(place / f"{number:02d}.png")
        if number < 10:
            blots(number).resize((48, 48), Image.Resampling.LANCZOS).save(place / f"z{number:02d}.png")
    return place


def split(root, tmp_path, **settings):
    data = folder(root, tmp_path, image_size=24, **settings)
    return data, data.reference("train").images, data.reference("held_out").images


def test_copies_are_on_one_side(root, tmp_path):
    data, trained, held = split(root, tmp_path, held_out=6)
    assert 6 <= len(held) <= 7
    assert len(trained) + len(held) == 30
    assert len(data.trained_on()) == len(trained)
    distances = np.abs(trained[:, None].astype(int) - held[None]).mean(axis=(2, 3, 4))
    assert distances.min() > 10, "no picture held out has a copy among those trained on"


def test_names_and_order_make_no_difference(root, tmp_path):
    held = split(root, tmp_path, held_out=6)[2]
    for number, path in enumerate(sorted(root.iterdir(), key=lambda path: path.name[::-1])):
        path.rename(root / f"renamed{number:02d}.png")
    again = split(root, tmp_path / "elsewhere", held_out=6)[2]
    assert {image.tobytes() for image in again} == {image.tobytes() for image in held}


def test_the_first_by_digest_are_held_out():
    """Of flat pictures of one channel the digests are known: the least ones are chosen, and equal ones together."""
    images = np.stack([np.full((1, 4, 4), level, np.uint8) for level in (0, 100, 200, 100)])
    # The SHA-256 of 16 bytes of 200 begins with 29ecb2, of 0 with 374708, of 100 with 90bb1c.
    assert [apart(images, count) for count in (1, 2, 3, 4)] == [[2], [0, 2], [0, 1, 2, 3], [0, 1, 2, 3]]


@pytest.mark.parametrize(("count", "said"), [(30, "leaves none to train on"), (0, "whole number of at least 1")])
def test_a_number_that_cannot_be(count, said, root, tmp_path):
    with pytest.raises(ValueError, match=said):
        split(root, tmp_path, held_out=count)


def test_pictures_that_are_one_cannot_be_divided(tmp_path):
    (place := tmp_path / "set").mkdir()
    for number in range(3):
        blots(0).save(place / f"{number}.png")
    with pytest.raises(ValueError, match="look alike, and cannot be divided"):
        split(place, tmp_path, held_out=1)
