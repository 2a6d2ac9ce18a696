"""Grids, and how large they are drawn."""

import numpy as np
import pytest
import torch

from gan_lab.data.pictures import enlarged, grid, sheet


def test_a_grid_has_a_border_around_each_image():
    picture = grid(torch.full((4, 1, 2, 2), 255, dtype=torch.uint8), columns=2, padding=1)
    assert picture.tolist() == [
        [0, 0, 0, 0, 0, 0, 0],
        [0, 255, 255, 0, 255, 255, 0],
        [0, 255, 255, 0, 255, 255, 0],
        [0, 0, 0, 0, 0, 0, 0],
        [0, 255, 255, 0, 255, 255, 0],
        [0, 255, 255, 0, 255, 255, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]


def test_small_pictures_are_enlarged_by_a_whole_number():
    small = np.arange(12, dtype=np.uint8).reshape(2, 6)
    large = enlarged(small)
    assert large.shape == (200, 600)
    assert (large[::100, ::100] == small).all()
    assert (large[99] == large[0]).all()
    assert enlarged(np.zeros((146, 146, 3), dtype=np.uint8)).shape == (584, 584, 3)
    wide = np.zeros((10, 301), dtype=np.uint8)
    assert enlarged(wide).shape == wide.shape, "twice would be 602"


def test_a_sheet_names_rows_and_columns():
    """Grey pictures of 8x8, eight times as large: names lie beside them, and all else is white."""
    images = torch.tensor([10, 20, 30, 40, 50, 60], dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8)
    drawn = sheet(images, ["smile", "a name\nthat is very long indeed and goes on"], ["-1.5", "0", "3"])
    assert drawn.shape[2] == 3
    height, width = drawn.shape[0] - 2 * 68, drawn.shape[1] - 3 * 68
    assert (height, width > 100) == (28, True)
    for number in range(6):
        row, column = divmod(number, 3)
        top, left = height + 68 * row, width + 68 * column
        assert (drawn[top : top + 64, left + 2 : left + 66] == 10 * (number + 1)).all()
    dark = (drawn < 128).all(axis=2)
    assert all(dark[:28, width + 68 * column :][:, :68].any() for column in range(3))
    beside = [dark[height + 68 * row :][:68, :width].any(axis=0).nonzero()[0] for row in range(2)]
    assert beside[0][0] > width / 2 > beside[1][0], "the longer name begins further to the left"
    without = sheet(images, ["", ""], ["", "", ""])
    assert not (without[:, :8] < 255).any()


def test_a_sheet_of_transparent_pictures_is_on_white():
    images = torch.zeros(1, 4, 70, 70, dtype=torch.uint8)
    images[:, 3, 35:] = 255
    drawn = sheet(images, ["0"], ["1"])
    assert [drawn[-70, -30].tolist(), drawn[-10, -30].tolist()] == [[255] * 3, [0] * 3]
    with pytest.raises(ValueError, match="1 images are not 1 rows of 2"):
        sheet(images, ["0"], ["1", "2"])
