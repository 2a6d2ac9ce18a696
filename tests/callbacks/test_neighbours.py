"""Samples beside the training images nearest to them."""

import numpy as np
import torch

from gan_lab.callbacks.neighbours import beside_nearest
from gan_lab.metrics.picture_neighbors import PictureNeighbors


def levels(*values):
    """Grey images of 32x32 pixels, the left half dark, the right half of a level each."""
    images = np.zeros((len(values), 1, 32, 32), dtype=np.uint8)
    for image, value in zip(images, values, strict=True):
        image[..., 16:] = value
    return images


def test_the_nearest_come_first():
    images = levels(10, 200, 120, 90)
    rows = beside_nearest(torch.from_numpy(levels(100, 190)), PictureNeighbors(images, mirrored=False), 2)
    assert rows[:, :, 0, 0, 31].tolist() == [[100, 90, 120], [190, 200, 120]]


def test_mirrored_ones_are_found_and_drawn_mirrored_where_training_shows_them():
    images = levels(200, 30)
    sample = torch.from_numpy(levels(200)).flip(-1)
    alone = beside_nearest(sample, PictureNeighbors(images, mirrored=False), 1)
    both = beside_nearest(sample, PictureNeighbors(images, mirrored=True), 5)
    assert alone[0, 1, 0, 0, [0, 31]].tolist() == [0, 30]
    assert both[0, :, 0, 0, [0, 31]].tolist() == [[200, 0], [200, 0], [30, 0]]  # each image once
