"""A person's files as a translator gets them: upright, in 8 bits, with the channels that it wants; and holes."""

import io

import numpy as np
import pytest
from PIL import Image

from gan_lab.data.holes import hole_of_alpha, hole_of_mask
from gan_lab.data.label_maps import Labels
from gan_lab.translation.reading import image_of, read_label_map, read_picture, shrunk_hole

ROWS = np.array([[10, 20, 30], [40, 50, 60]], dtype=np.uint8)


def file_of(picture, kind="PNG", **options) -> bytes:
    buffer = io.BytesIO()
    (Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture).save(buffer, kind, **options)
    return buffer.getvalue()


def test_a_camera_s_turn_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter clockwise makes it upright
    read = read_picture(file_of(ROWS, exif=exif), 1)
    assert read.pixels[..., 0].tolist() == [[40, 10], [50, 20], [60, 30]]
    assert read.size == (3, 2)


def test_sixteen_bits_are_scaled_and_a_dark_file_is_remarked():
    read = read_picture(file_of(np.array([[0, 257, 65535]], dtype=np.uint16)), 3)
    assert read.pixels[0].tolist() == [[0] * 3, [1] * 3, [255] * 3]
    assert read.remarks == []
    (remark,) = read_picture(file_of(np.array([[0, 4095]], dtype=np.uint16)), 1).remarks
    assert "no level is above 4095 of 65535" in remark


def test_grey_becomes_colours_and_colours_their_luma():
    assert read_picture(file_of(ROWS), 3).pixels[1, 2].tolist() == [60, 60, 60]
    red = np.full((1, 1, 3), (255, 0, 0), dtype=np.uint8)
    assert read_picture(file_of(red), 1).pixels.tolist() == [[[76]]]


def test_colours_that_shine_through_are_kept_and_what_is_not_seen_is_white():
    pixels = np.array([[(200, 100, 50, 128), (9, 9, 9, 0), (1, 2, 3, 255)]], dtype=np.uint8)
    read = read_picture(file_of(pixels), 3)
    assert read.pixels[0].tolist() == [[200, 100, 50], [255, 255, 255], [1, 2, 3]]
    assert read.alpha.tolist() == [[128, 0, 255]]
    made = image_of(read.pixels.repeat(2, 0).repeat(2, 1), read.alpha)
    assert made.mode == "RGBA"
    assert made.size == (6, 2)
    assert read_picture(file_of(pixels), 4).pixels[0, 0].tolist() == [200, 100, 50, 128]
    assert read_picture(file_of(pixels[..., :3]), 4).pixels[0, 0].tolist() == [200, 100, 50, 255]


def test_colours_under_nothing_do_not_bleed_where_a_picture_is_shrunk():
    pixels = np.zeros((8, 8, 4), dtype=np.uint8)
    pixels[:, :4] = (200, 100, 50, 255)
    read = read_picture(file_of(pixels), 3, (4, 4))
    seen = read.alpha > 0
    assert abs(read.pixels[seen].astype(int) - (200, 100, 50)).max() <= 20, "of few levels of alpha"


def test_a_broken_file():
    with pytest.raises(ValueError, match="not an image"):
        read_picture(b"GIF or not", 3)
    with pytest.raises(ValueError, match="truncated"):
        read_picture(file_of(np.zeros((64, 64), dtype=np.uint8))[:60], 3)


def test_white_is_hole():
    hole, remarks = hole_of_mask(file_of(np.array([[0, 255], [127, 128]], dtype=np.uint8)), (2, 2))
    assert hole.tolist() == [[False, True], [False, True]]
    assert remarks == ["the mask has 2 pixels between black and white; from 128 on they are white"]
    assert hole_of_mask(file_of(Image.new("1", (2, 1), 1)), (1, 2)) == (pytest.approx(np.ones((1, 2))), [])
    with pytest.raises(ValueError, match="its mask has 3x2 pixels and the picture 2x2"):
        hole_of_mask(file_of(ROWS), (2, 2))
    with pytest.raises(ValueError, match="its mask: it has transparency"):
        hole_of_mask(file_of(np.zeros((2, 2, 4), dtype=np.uint8)), (2, 2))


def test_transparent_is_hole():
    hole, filled, remarks = hole_of_alpha(np.array([[0, 255], [127, 128]], dtype=np.uint8))
    assert hole.tolist() == [[True, False], [True, False]]
    assert filled.tolist() == [[255, 255], [255, 128]]
    assert remarks == ["its transparency has 2 pixels between black and white; from 128 on they are known"]
    with pytest.raises(ValueError, match="masks=alpha, and it has no transparency"):
        hole_of_alpha(None)


def test_a_hole_stays_whole_where_it_is_shrunk():
    hole = np.zeros((8, 8), dtype=bool)
    hole[3, 5] = True
    assert np.argwhere(shrunk_hole(hole, (4, 4))).tolist() == [[1, 2]]
    assert np.argwhere(shrunk_hole(hole, (2, 2))).tolist() == [[0, 1]]


def test_a_label_map_is_shrunk_to_ids_that_it_has():
    ids = np.random.default_rng(0).choice([0, 200], size=(9, 12)).astype(np.uint8)
    picture = read_label_map(file_of(Image.fromarray(ids)), Labels(201), image_size=(4, 6))
    assert picture.size == (9, 12)
    assert picture.pixels.shape == (4, 6, 1)
    assert set(np.unique(picture.pixels)) == {0, 200}
