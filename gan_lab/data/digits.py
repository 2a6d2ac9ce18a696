"""scikit-learn's handwritten digits: 1,797 real images, installed with the library."""

from typing import Any, ClassVar

import numpy as np
import torch

from gan_lab.data.base import ImageData
from gan_lab.data.images import resize
from gan_lab.data.reference import ReferenceSet


class Digits(ImageData):
    """8x8 digits in 17 grey levels, enlarged bicubically (Alpaydin & Kaynak 1998, UCI; by `sklearn.datasets`).

    Splits: `train` is all of them; `held_out` is the part of it that digitnet was not trained on.

    Args:
        common: as `ImageData`.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "held_out")
    channel_choices: ClassVar[tuple[int, ...]] = (1,)

    def __init__(self, **common: Any) -> None:
        super().__init__(**common)
        self.class_names = tuple("0123456789")

    def read(self, split: str) -> ReferenceSet:
        """See `ImageData.read`."""
        from sklearn.datasets import load_digits  # takes a second

        digits = load_digits()
        labels = digits.target.astype(np.int64)
        pixels = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8)).unsqueeze(1)
        images = resize(pixels, self.image_size).numpy()
        if split == "held_out":
            held_out = held_out_fifth(labels)
            images, labels = images[held_out], labels[held_out]
        return ReferenceSet(name=self.name, split=split, images=images, labels=labels)


def held_out_fifth(labels: np.ndarray) -> np.ndarray:
    """Which samples digitnet is not trained on: every fifth of each class.

    The set cycles through 0 .. 9, so every fifth of all would be mostly fours and nines.

    Args:
        labels: (N,) integers, in the set's order.
    Returns:
        (N,) bool.
    """
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        held_out[np.flatnonzero(labels == label)[4::5]] = True
    return held_out
