"""Memorization: nearest training images, and AuthPct (Alaa et al. 2022, section 3.3)."""

import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan_lab.metrics.base import BlockMetric
from gan_lab.metrics.moments import finite_matrix
from gan_lab.metrics.neighbors import nearest
from gan_lab.metrics.reference import Reference

PAIRS = 16
PAIRS_PER_ROW = 4
GAP = 2


def authentic(*, distances: Tensor, real_distances: Tensor) -> Tensor:
    """Whether each sample is farther from its nearest training point than that point is from its own nearest other.

    Args:
        distances: (N,) of each sample to its nearest training point.
        real_distances: (N,) of that training point to its nearest other.
    Returns:
        (N,) bool.
    """
    return distances > real_distances


def digests(images: np.ndarray) -> list[bytes]:
    """One per image of (N, C, H, W) uint8 NumPy: equal for equal bytes."""
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]


class Memorization(BlockMetric):
    """How many samples are no copies of training images.

    The reference must be the split that the generator was trained on (its protocol names the split): against any other,
    the values say nothing of memorization. They are: "" AuthPct, the percentage of samples that are farther from their
    nearest training image than this is from its own nearest; "_identical", the percentage whose pixels are those of a
    training image; "_distance", the mean distance to the nearest training image.

    AuthPct cannot rank runs: noise has 100. Fresh draws of the training distribution itself have some 40, and copies 0.
    Images that are twice in the training set have a neighbour at distance 0, so only exact copies of them are seen.

    Images are looked at block by block, where the stage keeps them (see `BlockStore`): many of them in a temporary
    file.

    Args:
        extractor: see `BlockMetric`.
    """

    name = "authpct"
    higher_is_better = None
    needs = ("features", "images")
    uses_reference = True

    def __init__(self, extractor: str | None) -> None:
        super().__init__(extractor)
        self._real_distances: Tensor | None = None
        self._real_digests: frozenset[bytes] = frozenset()
        self._closest: list[tuple[int, int]] = []

    def set_reference(self, reference: Reference) -> None:
        """What is known of it alone is computed at the first use, and kept while it is the same."""
        if self._reference is None or self._reference.statistics is not reference.statistics:
            self._real_distances = None
        super().set_reference(reference)

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"metric": self.name, "neighbours": "nearest in features, Euclidean", "identical": "all bytes"}

    def compute(self) -> dict[str, float]:
        """Of all samples so far against the reference."""
        fake = finite_matrix(self.values("features"), "generated features")
        real = self.statistics(columns=fake.shape[1]).features.double()
        shape, real_shape = tuple(self._images()[0].shape[1:]), self.reference.images.shape[1:]
        if shape != real_shape:
            raise ValueError(f"{self.name}: samples are {shape}, images of the reference {real_shape}")
        if self._real_distances is None:
            self._real_distances = nearest(real, real, 1, themselves=True)[0][:, 0]
            self._real_digests = frozenset(digests(self.reference.images))
        near, indices = nearest(fake, real, 1)
        distances, neighbours = near[:, 0], indices[:, 0]
        real_distances = self._real_distances[neighbours]
        identical = sum(digest in self._real_digests for block in self._images() for digest in digests(block.numpy()))
        # A copy of an image that has a twin is as close as can be: 0 / 0 is 0 here.
        closeness = torch.where(distances == 0, 0.0, distances / real_distances)
        closest = closeness.argsort(stable=True)[:PAIRS]
        self._closest = list(zip(closest.tolist(), neighbours[closest].tolist(), strict=True))
        is_authentic = authentic(distances=distances, real_distances=real_distances)
        return {
            "": 100 * is_authentic.double().mean().item(),
            "_identical": 100 * identical / len(fake),
            "_distance": distances.mean().item(),
        }

    def pictures(self) -> dict[str, Tensor]:
        """ "neighbours": the samples closest to training images for how close these are to each other, closest first.

        Each stands to the left of its training image.
        """
        pairs = [
            torch.cat(
                [_colours(self._image(sample)), _colours(torch.from_numpy(self.reference.images[neighbour].copy()))], 2
            )
            for sample, neighbour in self._closest
        ]
        return {"neighbours": _in_rows(pairs)}

    def _image(self, index: int) -> Tensor:
        for block in self._images():
            if index < len(block):
                return block[index]
            index -= len(block)
        raise IndexError(f"{self.name}: sample {index} beyond the last")

    def _images(self) -> list[Tensor]:
        return self.blocks_images  # type: ignore[return-value]


def _colours(image: Tensor) -> Tensor:
    """(1, 3 or 4; H, W) uint8 -> (3, H, W): grey repeated, alpha left out."""
    return image.expand(3, -1, -1) if len(image) == 1 else image[:3]


def _in_rows(pictures: list[Tensor]) -> Tensor:
    """Pictures of one size, (3, H, W) uint8 each, on white, PAIRS_PER_ROW in a row."""
    _, height, width = pictures[0].shape
    rows = -(-len(pictures) // PAIRS_PER_ROW)
    columns = min(len(pictures), PAIRS_PER_ROW)
    page = torch.full((3, rows * (height + GAP) + GAP, columns * (width + GAP) + GAP), 255, dtype=torch.uint8)
    for place, picture in enumerate(pictures):
        top = GAP + place // PAIRS_PER_ROW * (height + GAP)
        left = GAP + place % PAIRS_PER_ROW * (width + GAP)
        page[:, top : top + height, left : left + width] = picture
    return page
