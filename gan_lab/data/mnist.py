"""MNIST and Fashion-MNIST: 60,000 training and 10,000 test images, 28x28, grey."""

from typing import Any, ClassVar

import torch

from gan_lab.data.base import ImageData, truth
from gan_lab.data.download import open_set
from gan_lab.data.images import resize
from gan_lab.data.reference import ReferenceSet


class MNIST(ImageData):
    """Handwritten digits (LeCun et al. 1998). 32x32 is 28x28 with a black border of 2; other sizes are resized.

    Args:
        root: the folder that holds `MNIST/raw`.
        download: fetch the files there where they are absent.
        common: as `ImageData`.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "test")
    channel_choices: ClassVar[tuple[int, ...]] = (1,)
    torchvision_name: ClassVar[str] = "MNIST"

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
        pixels = stored.data.unsqueeze(1)
        if self.image_size == (32, 32):
            pixels = torch.nn.functional.pad(pixels, (2, 2, 2, 2))
        images = resize(pixels, self.image_size).numpy()
        return ReferenceSet(name=self.name, split=split, images=images, labels=stored.targets.long().numpy())

    def _open(self, split: str, *, download: bool) -> Any:
        from torchvision import datasets  # takes a second

        set_class = getattr(datasets, self.torchvision_name)
        return open_set(set_class, root=self.root, train=split == "train", download=download)


class FashionMNIST(MNIST):
    """Articles of clothing (Xiao et al. 2017), in the format of MNIST, under `FashionMNIST/raw`."""

    torchvision_name: ClassVar[str] = "FashionMNIST"
