"""MNIST and Fashion-MNIST: 60,000 training and 10,000 test images, 28x28, grey; and stacks of three of the former."""

from typing import Any, ClassVar

import torch

from gan_lab.data.base import ImageData, truth, whole
from gan_lab.data.download import open_set
from gan_lab.data.images import resize
from gan_lab.data.reference import ReferenceSet
from gan_lab.sampling import numpy_generator


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


class StackedMNIST(MNIST):
    """Three digits as red, green and blue: 1,000 modes (Metz et al. 2017, section 3.3.1).

    Digits are drawn with replacement from those of the same split, by `stack_seed` alone; label abc is red a, green b
    and blue c.

    Args:
        count: stacks to train on; `test` has as many as MNIST's test split has digits.
        stack_seed: of the draw, 0 or more.
        **settings: as `MNIST`.
    """

    channel_choices: ClassVar[tuple[int, ...]] = (3,)

    def __init__(self, *, count: int, stack_seed: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.count, self.stack_seed = whole("count", count, 1), whole("stack_seed", stack_seed, 0)

    def read(self, split: str) -> ReferenceSet:
        """See `ImageData.read`."""
        digits = super().read(split)
        assert digits.labels is not None
        self.class_names = tuple(f"{number:03}" for number in range(1000))
        random = numpy_generator(self.stack_seed, f"stacked digits {split}")
        chosen = random.integers(len(digits), size=(self.count if split == "train" else len(digits), 3))
        return ReferenceSet(
            name=self.name,
            split=split,
            images=digits.images[chosen, 0],
            labels=digits.labels[chosen] @ [100, 10, 1],
        )
