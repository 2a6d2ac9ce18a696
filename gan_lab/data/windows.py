"""The stream of windows that are cut out of pictures of unequal size."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan_lab.data.stream import DrawnPerPlace, Order, Reader, RealStream, mirror
from gan_lab.data.unequal import UnequalPictures, UnequalSet
from gan_lab.sampling import send


class WindowPlaces(DrawnPerPlace):
    """Where the window of each place lies, as shares of the room that its picture leaves: (n, 2) in [0, 1), down and to
    the right."""

    def _of_pass(self, random: np.random.Generator) -> np.ndarray:
        return random.random((self._size, 2))


class WindowReader(Reader):
    """Windows by places of the sequence: what a worker process runs, or what a device holds.

    Args:
        pictures: what they are cut out of, on any device.
        order: on the CPU.
        places: of the windows.
        size: (height, width) of the windows.
    """

    images: UnequalPictures  # type: ignore[assignment]

    def __init__(self, pictures: UnequalPictures, order: Order, places: WindowPlaces, size: Sequence[int]) -> None:
        super().__init__(pictures, order)  # type: ignore[arg-type]
        self._places, self._size = places, size

    @property
    def sample_bytes(self) -> int:
        """See `Reader`."""
        return self.images.channels * self._size[0] * self._size[1]

    def read(self, first: int, last: int) -> Tensor:
        """(last - first, C, height, width) uint8 windows of `first` .. `last` - 1, on the device of the pictures."""
        index, mirrored = self._order.at(first, last)
        chosen = index.numpy()
        room = self.images.sizes[chosen] - self._size
        corners = (self._places.at(first, last) * (room + 1)).astype(np.int64)
        windows = self.images.windows(chosen, corners, self._size)
        return mirror(windows, send(mirrored, windows.device)) if self._order.flip else windows

    def __getstate__(self) -> dict[str, Any]:
        """All of it: pictures that are mapped know how to travel."""
        return vars(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


class WindowStream(RealStream):
    """Windows of one size out of pictures at their own size, elsewhere at each pass; see `RealStream`.

    Each picture comes once in a pass, whatever its size, and each place in it is as likely as any other.
    """

    samples: UnequalSet

    def _new_crops(self, seed: int) -> None:
        """None: windows are cut out as they are read."""

    def _hold(self, device: torch.device) -> None:
        self._windows = self._reader_of(self.samples.stored.to(device))

    def _held(self, first: int, last: int) -> Tensor:
        return self._windows.read(first, last)

    def _new_reader(self) -> WindowReader:
        return self._reader_of(self.samples.stored)

    def _reader_of(self, pictures: UnequalPictures) -> WindowReader:
        places = WindowPlaces(size=len(self.samples), seed=self.seed, purpose=self._purposes.crops)
        return WindowReader(pictures, self._new_order(torch.device("cpu")), places, self.samples.image_size)
