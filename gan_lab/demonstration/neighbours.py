"""The training pictures that a sample looks most like, where the data of its run is at hand."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gan_lab.data.base import ImageData
from gan_lab.data.images import resize
from gan_lab.data.reference import ReferenceSet
from gan_lab.metrics.neighbors import nearest
from gan_lab.runs.checkpoint import build
from gan_lab.translation.reading import image_of

SIZE = 16  # height and width at which pictures are compared
PART = 4096  # training pictures that are compared at a time
READ = 64  # training pictures that are shrunk at a time


class Neighbours:
    """The training pictures nearest to a sample, compared as pictures of 16x16 pixels.

    So small, copies are found also where details differ, and no network decides what is alike. Training pictures are
    compared mirrored, too, where training mirrors them.

    Args:
        samples: what was trained on.
        mirrored: whether training mirrors.
    """

    def __init__(self, samples: ReferenceSet, *, mirrored: bool) -> None:
        self.samples, self.mirrored = samples, mirrored

    def nearest(self, image: Image.Image, count: int) -> list[tuple[int, float]]:
        """Number and distance of the nearest training pictures, the nearest first.

        Args:
            image: of as many channels as those of training.
            count: of them, 1 or more; fewer where there are fewer.
        Returns:
            Distances are root mean squares of differences in levels, 0 to 255.
        """
        pixels = np.asarray(image).reshape(image.height, image.width, -1).transpose(2, 0, 1)
        query = shrunk(torch.from_numpy(pixels.copy())[None])
        found: dict[int, float] = {}
        for first in range(0, len(self._small), PART):
            part = self._small[first : first + PART]
            for shown in [part, part.flip(3)] if self.mirrored else [part]:
                points = shown.flatten(1).double()
                distances, places = nearest(query.flatten(1).double(), points, min(count, len(part)))
                for distance, place in zip(distances[0].tolist(), places[0].tolist(), strict=True):
                    found[first + place] = min(distance, found.get(first + place, distance))
        numbers = sorted(found, key=lambda number: (found[number], number))[:count]
        return [(number, found[number] / query.numel() ** 0.5) for number in numbers]

    def picture(self, number: int) -> Image.Image:
        """A training picture."""
        return image_of(np.ascontiguousarray(self.samples.images[number].transpose(1, 2, 0)), None)

    @cached_property
    def _small(self) -> Tensor:
        """(N, C, 16, 16) uint8 of all training pictures."""
        return torch.cat([shrunk(block) for block in self.samples.blocks(READ)])


def shrunk(pixels: Tensor) -> Tensor:
    """(N, C, H, W) uint8 at the size at which pictures are compared."""
    return resize(pixels, (SIZE, SIZE))


def training_pictures(config: Mapping[str, Any], trust: Sequence[str]) -> Neighbours:
    """Those of a run, by its stored config; nothing is downloaded.

    Raises:
        ValueError, OSError, ImportError: they are not at hand, or there are none.
    """
    node = config.get("data")
    if not node or "_target_" not in node:
        raise ValueError("the run's settings are not with its data")
    data = build({**node, **({"download": False} if "download" in node else {})}, trust, base=ImageData)
    return Neighbours(data.trained_on(), mirrored=data.flip)
