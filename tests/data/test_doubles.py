"""Near-duplicates, by pictures whose hashes are worked by hand and by copies that a person makes."""

import io

import numpy as np
from PIL import Image, ImageFilter

from gan_lab.data.doubles import BLOCK, grid_of, groups_of_alike, hashes


def drawn(seed: int, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """Coloured blots, as different for two seeds as photographs are."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(256, size=(5, 6, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=quality)
    return Image.open(file)


def groups(*images: Image.Image) -> list[list[int]]:
    return groups_of_alike(np.stack([grid_of(image) for image in images]))


def test_a_hash_says_which_part_is_lighter_than_its_left_neighbour():
    """Nine columns of 10, 20, 20, 30, 29, 90, 0, 2, 5: lighter by more than 2 are the first, third, fifth and last."""
    columns = np.array([10, 20, 20, 30, 29, 90, 0, 2, 5], np.uint8)
    picture = Image.fromarray(np.broadcast_to(columns.repeat(4), (32, 36)).copy())
    row = [True, False, True, False, True, False, False, True]
    assert hashes(grid_of(picture)[None]).tolist() == [row * 8]


def test_copies_are_found_and_others_are_not():
    picture = drawn(0)
    resized, compressed = picture.resize((40, 30), Image.Resampling.LANCZOS), as_jpeg(picture, 40)
    mirrored = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    negative = Image.fromarray(255 - np.asarray(picture))
    assert groups(picture, mirrored, resized, drawn(1), compressed, negative) == [[0, 2, 4]]


def test_flat_pictures_are_known_by_their_colour():
    """The hash of each has no bit set."""
    colours = [
        Image.new("RGB", size, colour) for size, colour in (((9, 9), "red"), ((50, 40), "blue"), ((8, 8), "red"))
    ]
    assert groups(*colours) == [[0, 2]]


def test_a_part_that_differs_makes_another_picture():
    """As faces of emoji do, which agree nearly everywhere."""
    face = Image.new("RGB", (64, 64), "gold")
    other = face.copy()
    other.paste("black", (24, 40, 40, 44))
    assert groups(face, other) == []
    assert groups(other, other.filter(ImageFilter.GaussianBlur(0.5))) == [[0, 1]]


def test_all_pairs_are_held_against_each_other_across_blocks():
    grids = np.stack([grid_of(drawn(seed)) for seed in range(BLOCK + 20)])
    copies = grids[[3, BLOCK + 10]]
    found = groups_of_alike(np.concatenate([grids, copies]))
    assert found == [[3, BLOCK + 20], [BLOCK + 10, BLOCK + 21]]
