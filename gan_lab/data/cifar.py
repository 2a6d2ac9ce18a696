"""CIFAR-10 and CIFAR-100: 50,000 training and 10,000 test images each, 32x32, in 10 or 100 classes."""

from typing import Any, ClassVar

import numpy as np
import torch

from gan_lab.data.base import ImageData, truth
from gan_lab.data.download import open_set
from gan_lab.data.images import resize
from gan_lab.data.reference import ReferenceSet


class CIFAR10(ImageData):
    """Small photographs (Krizhevsky 2009), in the original order; sizes other than 32x32 are resized.

    Args:
        root: the folder that holds `cifar-10-batches-py`.
        download: fetch the files there where they are absent.
        common: as `ImageData`.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "test")
    channel_choices: ClassVar[tuple[int, ...]] = (3,)
    torchvision_name: ClassVar[str] = "CIFAR10"

    def __init__(self, *, root: str, download: bool, **common: Any) -> None:
        super().__init__(**common)
        self.root, self.download = root, truth("download", download)

    def prepare_data(self) -> None:
        """Download on request."""
        if self.download:
            self._open("train", download=True)

    def read(self, split: str) -> ReferenceSet:
        """See `ImageData.read`."""
        stored = self._open(split, download=False)
        self.class_names = tuple(stored.classes)
        pixels = torch.from_numpy(np.ascontiguousarray(stored.data.transpose(0, 3, 1, 2)))
        images = resize(pixels, self.image_size).numpy()
        return ReferenceSet(name=self.name, split=split, images=images, labels=np.array(stored.targets, dtype=np.int64))

    def _open(self, split: str, *, download: bool) -> Any:
        from torchvision import datasets  # takes a second

        set_class = getattr(datasets, self.torchvision_name)
        return open_set(set_class, root=self.root, train=split == "train", download=download)


class CIFAR100(CIFAR10):
    """As CIFAR-10, in 100 fine classes, under `cifar-100-python`."""

    torchvision_name: ClassVar[str] = "CIFAR100"
