"""A named split of images in their stored order: what evaluation compares with, and what the stream draws from."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Self

import numpy as np
import torch
from torch import Tensor


class ReferenceSet:
    """uint8 images in order: no flips, no shuffling, no padding.

    Args:
        name: of the data set, `cifar10`.
        split: `train`, `test` or a range such as `train[:50000]`.
        images: (N, C, H, W) uint8, possibly memory-mapped.
        labels: (N,) int64, or None.
        digest: of the content, where it was computed before (see `content_digest`).
        class_names: of the labels in their order; None where they are numbers alone, or the data set has the names.
    """

    def __init__(
        self,
        *,
        name: str,
        split: str,
        images: np.ndarray,
        labels: np.ndarray | None,
        digest: str | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        if images.dtype != np.uint8 or images.ndim != 4:
            raise ValueError(f"{name}: images must be (N, C, H, W) uint8, got {images.shape} {images.dtype}")
        if labels is not None and labels.shape != images.shape[:1]:
            raise ValueError(f"{name}: {len(images)} images have labels of shape {labels.shape}")
        self.name, self.split, self.images, self.labels = name, split, images, labels
        self.class_names = None if class_names is None else tuple(class_names)
        self._digest = digest

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def digest(self) -> str:
        """sha256 of pixels, shape and labels, in hex."""
        return self._digest or content_digest(self.images, self.labels)

    @property
    def stored(self) -> np.ndarray:
        """(N, ...) uint8: all that is kept of the samples; the images."""
        return self.images

    def part(self, first: int | None, last: int | None) -> Self:
        """Images `first` to `last` (exclusive), with Python's rules for a slice."""
        bounds = f"{'' if first is None else first}:{'' if last is None else last}"
        return self.chosen(slice(first, last), f"{self.split}[{bounds}]")

    def chosen(self, which: slice | np.ndarray, split: str) -> Self:
        """Some of the images, as a split of that name."""
        return type(self)(
            name=self.name,
            split=split,
            images=self.images[which],
            labels=None if self.labels is None else self.labels[which],
            class_names=self.class_names,
        )

    def blocks(self, size: int) -> Iterator[Tensor]:
        """(size, C, H, W) uint8 tensors on the CPU in order; the last one may be shorter."""
        for first in range(0, len(self), size):
            yield torch.from_numpy(self.images[first : first + size])


def content_digest(images: np.ndarray, labels: np.ndarray | None) -> str:
    """sha256 of pixels, shape and labels, in hex; equal content has equal digests wherever it is stored."""
    return finish_digest(hashlib.sha256(np.ascontiguousarray(images).data), images.shape, labels)


def finish_digest(pixels: "hashlib._Hash", shape: tuple[int, ...], labels: np.ndarray | None) -> str:
    """`content_digest` for one who hashed the pixels while writing them."""
    pixels.update(repr(tuple(shape)).encode())
    if labels is not None:
        pixels.update(np.ascontiguousarray(labels, dtype=np.int64).data)
    return pixels.hexdigest()
