"""Grids, and how large they are drawn."""

import numpy as np
import torch

from gan_lab.data.pictures import enlarged, grid


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
