"""Pictures of unequal size, whole, one after the other in one file; of each, what is seen is a window of one size."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan_lab.data.image_files import ArrayWriter
from gan_lab.data.reference import ReferenceSet, finish_digest

PIXELS, SIZES, DIGESTS = "images.npy", "sizes.npy", "digests.npy"  # the files of a copy
BLOCK = 64  # pictures of which windows are cut out at once


class UnequalPictures:
    """N pictures of C channels and of any sizes, to `ReferenceSet` what an (N, C, H, W) array is to others.

    Args:
        pixels: (bytes,) uint8, of all pictures of a copy: row by row, all channels of a pixel together, so that a
            window lies in few pages of a memory-mapped file.
        starts: (N,) int64, where each begins in `pixels`.
        sizes: (N, 2) int64, height and width of each.
        digests: (N, 32) uint8, the SHA-256 of each.
        channels: C.
        path: of the .npy that `pixels` are mapped from; None where they lie in memory.
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(
        self,
        *,
        pixels: Tensor,
        starts: np.ndarray,
        sizes: np.ndarray,
        digests: np.ndarray,
        channels: int,
        path: Path | None,
    ) -> None:
        self.pixels, self.starts, self.sizes, self.digests = pixels, starts, sizes, digests
        self.channels, self.path = channels, path

    @property
    def shape(self) -> tuple[int, int]:
        """(N, C): height and width are each picture's own."""
        return len(self), self.channels

    @property
    def nbytes(self) -> int:
        """Of all that is held of them, which is the whole copy even where some of its pictures are left out."""
        return self.pixels.numel()

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, which: slice | np.ndarray) -> "UnequalPictures":
        return self._with(starts=self.starts[which], sizes=self.sizes[which], digests=self.digests[which])

    def to(self, device: torch.device) -> "UnequalPictures":
        """The same pictures on a device."""
        return self._with(pixels=self.pixels.to(device))

    def windows(self, index: np.ndarray, corners: np.ndarray, size: Sequence[int]) -> Tensor:
        """What is seen of some of the pictures, at their own size.

        Args:
            index: (n,) int64, which ones, in any order.
            corners: (n, 2) int64, upper row and left column of each window.
            size: (height, width) of the windows.
        Returns:
            (n, C, height, width) uint8, where the pictures are.
        """
        (height, width), channels = size, self.channels
        pitches = self.sizes[index, 1] * channels
        firsts = self.starts[index] + corners[:, 0] * pitches + corners[:, 1] * channels
        windows = [
            self.pixels.as_strided((height, width, channels), (pitch, channels, 1), first)
            for first, pitch in zip(firsts.tolist(), pitches.tolist(), strict=True)
        ]
        return torch.stack(windows).permute(0, 3, 1, 2).contiguous()

    def __getstate__(self) -> dict[str, Any]:
        """For workers that are spawned, not forked: what is mapped travels as its file's name, not as its content."""
        return vars(self) | ({} if self.path is None else {"pixels": None})

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if self.path is not None:
            self.pixels = mapped(self.path)

    def _with(self, **changed: Any) -> "UnequalPictures":
        return UnequalPictures(**(vars(self) | changed))


class UnequalSet(ReferenceSet):
    """Whole pictures in order: what training sees of each is a window anywhere in it, and evaluation its middle.

    Args:
        settings: as `ReferenceSet`; its images are `UnequalPictures`, and `image_size` is that of the windows, at most
            the size of the smallest picture.
    Attributes:
        images: the windows in the middle, cut out when they are first asked for, and kept in memory then.
    """

    stored: UnequalPictures  # type: ignore[assignment]
    image_size: tuple[int, int]

    @cached_property
    def images(self) -> np.ndarray:
        """See the class."""
        corners = (self.stored.sizes - self.image_size) // 2
        found = np.empty((len(self), *self.shape), dtype=np.uint8)
        for first in range(0, len(self), BLOCK):
            index = np.arange(first, min(first + BLOCK, len(self)))
            found[index] = self.stored.windows(index, corners[index], self.image_size).numpy()
        return found

    @property
    def shape(self) -> tuple[int, ...]:
        """See `ReferenceSet`."""
        return self.stored.channels, *self.image_size

    @cached_property
    def digest(self) -> str:
        """See `ReferenceSet`: of the whole pictures, and of how large the windows are."""
        content = hashlib.sha256(np.ascontiguousarray(self.stored.digests).data)
        content.update(np.ascontiguousarray(self.stored.sizes).data)
        return finish_digest(content, (len(self), *self.shape), self.labels)


class UnequalWriter(ArrayWriter):
    """As `ArrayWriter`, of pictures of unequal size: a copy's three files.

    Args:
        folder: of the copy.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / PIXELS, ())
        self._folder = folder
        self._sizes: list[tuple[int, int]] = []
        self._digests: list[bytes] = []

    def add(self, pixels: np.ndarray) -> None:
        """Append one (H, W, C) uint8 picture."""
        content = pixels.tobytes()
        self._file.write(content)
        self._count += len(content)  # of the flat array's one axis
        self._sizes.append(pixels.shape[:2])
        self._digests.append(hashlib.sha256(content).digest())
        self.sha256.update(self._digests[-1])

    def __exit__(self, *raised: object) -> None:
        super().__exit__(*raised)
        digests = np.frombuffer(b"".join(self._digests), dtype=np.uint8).reshape(-1, hashlib.sha256().digest_size)
        np.save(self._folder / SIZES, np.array(self._sizes, dtype=np.int64).reshape(-1, 2))
        np.save(self._folder / DIGESTS, digests)


def open_unequal(copy: Path, channels: int) -> UnequalPictures:
    """The pictures of a copy, mapped.

    Args:
        copy: its folder.
        channels: of all of them.
    Raises:
        OSError, ValueError: it is damaged.
    """
    pixels, sizes, digests = mapped(copy / PIXELS), np.load(copy / SIZES), np.load(copy / DIGESTS)
    lengths = sizes.prod(axis=1) * channels
    if lengths.sum() != len(pixels) or len(digests) != len(sizes):
        raise ValueError(f"{PIXELS} holds {len(pixels)} bytes, not {lengths.sum()} of {len(digests)} pictures")
    return UnequalPictures(
        pixels=pixels,
        starts=np.cumsum(lengths) - lengths,
        sizes=sizes,
        digests=digests,
        channels=channels,
        path=copy / PIXELS,
    )


def mapped(path: Path) -> Tensor:
    """The array of a .npy as a tensor that is read from the file where it is used."""
    return torch.from_numpy(np.load(path, mmap_mode="c"))
