"""SVHN: 73,257 training and 26,032 test digits of house numbers, 32x32, in 10 classes."""

from typing import Any, ClassVar

import numpy as np
import torch

from gan_lab.data.base import ImageData, truth
from gan_lab.data.download import open_set
from gan_lab.data.images import resize
from gan_lab.data.reference import ReferenceSet


class SVHN(ImageData):
    """Digits in the wild (Netzer et al. 2011), cropped, in the original order; other sizes than 32x32 are resized.

    Args:
        root: the folder that holds `train_32x32.mat` and `test_32x32.mat`.
        download: fetch the files there where they are absent.
        common: as `ImageData`.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "test")
    channel_choices: ClassVar[tuple[int, ...]] = (3,)

    def __init__(self, *, root: str, download: bool, **common: Any) -> None:
        super().__init__(**common)
        self.root, self.download = root, truth("download", download)
        self.class_names = tuple("0123456789")

    def prepare_data(self) -> None:
        """Download on request."""
        if self.download:
            for split in self.splits:
                self._open(split, download=True)

    def read(self, split: str) -> ReferenceSet:
        """See `ImageData.read`."""
        stored = self._open(split, download=False)
        images = resize(torch.from_numpy(np.ascontiguousarray(stored.data)), self.image_size).numpy()
        return ReferenceSet(name=self.name, split=split, images=images, labels=stored.labels.astype(np.int64))

    def _open(self, split: str, *, download: bool) -> Any:
        from torchvision import datasets  # takes a second

        return open_set(datasets.SVHN, root=self.root, split=split, download=download)
