"""The training pictures that a sample looks most like, compared as pictures of 16x16 pixels.

So small, copies are found also where details differ, and no network decides what is alike.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gan_lab.data.images import resize
from gan_lab.metrics.neighbors import nearest

SIZE = 16  # height and width at which pictures are compared
PART = 4096  # training pictures that are compared at a time
READ = 64  # training pictures that are shrunk at a time


class Neighbor(NamedTuple):
    """A training picture near a sample.

    Attributes:
        number: its place in the training set.
        distance: root mean square of the differences at 16x16 pixels, in levels, 0 to 255.
        mirrored: it is as near as that when it is mirrored.
    """

    number: int
    distance: float
    mirrored: bool


class PictureNeighbors:
    """Finds the pictures of a set that are nearest to others.

    Args:
        images: (M, C, H, W) uint8, what was trained on; it may be memory-mapped.
        mirrored: compare them mirrored, too, as training shows them.
    """

    def __init__(self, images: np.ndarray, *, mirrored: bool) -> None:
        self.images, self.mirrored = images, mirrored

    def nearest(self, samples: Tensor, count: int) -> list[list[Neighbor]]:
        """Of each sample the nearest training pictures, the nearest first, each once.

        Args:
            samples: (N, C, H, W) uint8 of any size.
            count: of them, 1 or more; fewer where there are fewer.
        """
        queries = shrunk(samples).flatten(1).double()
        found: list[dict[int, Neighbor]] = [{} for _ in queries]
        for first in range(0, len(self._small), PART):
            part = self._small[first : first + PART]
            for turned in [False, True] if self.mirrored else [False]:
                points = (part.flip(3) if turned else part).flatten(1).double()
                distances, places = nearest(queries, points, min(count, len(part)))
                for near, *row in zip(found, distances.tolist(), places.tolist(), strict=True):
                    for distance, place in zip(*row, strict=True):
                        here = Neighbor(first + place, distance / queries.shape[1] ** 0.5, turned)
                        if here.number not in near or here.distance < near[here.number].distance:
                            near[here.number] = here
        return [sorted(near.values(), key=lambda one: (one.distance, one.number))[:count] for near in found]

    def picture(self, neighbor: Neighbor) -> Tensor:
        """(C, H, W) uint8, mirrored where it is near so."""
        picture = torch.from_numpy(np.array(self.images[neighbor.number]))
        return picture.flip(-1) if neighbor.mirrored else picture

    @cached_property
    def _small(self) -> Tensor:
        """(M, C, 16, 16) uint8 of all training pictures."""
        starts = range(0, len(self.images), READ)
        return torch.cat([shrunk(torch.from_numpy(np.array(self.images[start : start + READ]))) for start in starts])


def shrunk(pixels: Tensor) -> Tensor:
    """(N, C, H, W) uint8 at the size at which pictures are compared."""
    return resize(pixels, (SIZE, SIZE))
