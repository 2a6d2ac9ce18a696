"""A named split of images in their stored order: what evaluation compares with, and what the stream draws from."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Self

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
        image_size: (height, width) of what is shown, at most H and W, where training cuts that out of larger images;
            None for all of them.
    Attributes:
        stored: (N, C, H, W) uint8: the images as they were given.
        images: of `image_size`: the middle of these.
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
        image_size: tuple[int, int] | None = None,
    ) -> None:
        if images.dtype != np.uint8 or images.ndim != 4:
            raise ValueError(f"{name}: images must be (N, C, H, W) uint8, got {images.shape} {images.dtype}")
        if labels is not None and labels.shape != (len(images),):
            raise ValueError(f"{name}: {len(images)} images have labels of shape {labels.shape}")
        self.name, self.split, self.stored, self.labels = name, split, images, labels
        self.image_size = image_size
        self.class_names = None if class_names is None else tuple(class_names)
        self._digest = digest

    def __len__(self) -> int:
        return len(self.stored)

    @cached_property
    def images(self) -> np.ndarray:
        """See the class."""
        return self.stored if self.image_size is None else middle(self.stored, self.image_size)

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of each of `images`."""
        return self.images.shape[1:]

    @cached_property
    def digest(self) -> str:
        """sha256 of pixels, shape and labels, in hex."""
        return self._digest or content_digest(self.stored, self.labels)

    def part(self, first: int | None, last: int | None) -> Self:
        """Images `first` to `last` (exclusive), with Python's rules for a slice."""
        bounds = f"{'' if first is None else first}:{'' if last is None else last}"
        return self.chosen(slice(first, last), f"{self.split}[{bounds}]")

    def chosen(self, which: slice | np.ndarray, split: str) -> Self:
        """Some of the images, as a split of that name."""
        labels = None if self.labels is None else self.labels[which]
        return self._with(
            split=split, images=self.stored[which], labels=labels, image_size=self.image_size, digest=None
        )

    def shown_at(self, image_size: tuple[int, int]) -> Self:
        """The same images, of which so much is shown."""
        return self._with(
            split=self.split, images=self.stored, labels=self.labels, image_size=image_size, digest=self._digest
        )

    def _with(self, **changed: Any) -> Self:
        return type(self)(name=self.name, class_names=self.class_names, **changed)

    def blocks(self, size: int) -> Iterator[Tensor]:
        """(size, C, H, W) uint8 tensors on the CPU in order; the last one may be shorter."""
        for first in range(0, len(self), size):
            yield torch.from_numpy(self.images[first : first + size])


def middle(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(N, C, H, W) -> (N, C, height, width) of `size`."""
    top, left = ((whole - shown) // 2 for whole, shown in zip(images.shape[2:], size, strict=True))
    return images[:, :, top : top + size[0], left : left + size[1]]


def content_digest(images: np.ndarray, labels: np.ndarray | None) -> str:
    """sha256 of pixels, shape and labels, in hex; equal content has equal digests wherever it is stored."""
    return finish_digest(hashlib.sha256(np.ascontiguousarray(images).data), images.shape, labels)


def finish_digest(pixels: "hashlib._Hash", shape: tuple[int, ...], labels: np.ndarray | None) -> str:
    """`content_digest` for one who hashed the pixels while writing them."""
    pixels.update(repr(tuple(shape)).encode())
    if labels is not None:
        pixels.update(np.ascontiguousarray(labels, dtype=np.int64).data)
    return pixels.hexdigest()
