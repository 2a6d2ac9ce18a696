"""scikit-learn's handwritten digits: 1,797 real images, installed with the library."""

import gzip
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from gan_lab.data.base import ImageData, whole
from gan_lab.data.images import resize
from gan_lab.data.reference import ReferenceSet


class Digits(ImageData):
    """8x8 digits in 17 grey levels, enlarged bicubically (Alpaydin & Kaynak 1998, UCI; by `sklearn.datasets`).

    Splits: `train` is all of them; `held_out` is the part of it that digitnet was not trained on.

    Args:
        border: black pixels on each side, of `image_size`; 0 or more (MNIST has 4 of its 28).
        common: as `ImageData`.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "held_out")
    channel_choices: ClassVar[tuple[int, ...]] = (1,)

    def __init__(self, *, border: int = 0, **common: Any) -> None:
        super().__init__(**common)
        self.border = whole("border", border, 0)
        if 2 * self.border >= min(self.image_size):
            raise ValueError(f"data.border={border} leaves nothing of data.image_size={list(self.image_size)}")
        self.class_names = tuple("0123456789")

    def read(self, split: str) -> ReferenceSet:
        """See `ImageData.read`."""
        levels, labels = levels_and_labels()
        pixels = torch.from_numpy(np.rint(levels * (255 / 16)).astype(np.uint8)).unsqueeze(1)
        inner = [side - 2 * self.border for side in self.image_size]
        images = torch.nn.functional.pad(resize(pixels, inner), (self.border,) * 4).numpy()
        if split == "held_out":
            held_out = held_out_fifth(labels)
            images, labels = images[held_out], labels[held_out]
        return ReferenceSet(name=self.name, split=split, images=images, labels=labels)


def levels_and_labels() -> tuple[np.ndarray, np.ndarray]:
    """(1797, 8, 8) float64 of whole numbers from 0 to 16, and (1797,) int64.

    From scikit-learn's file, where it lies as expected: importing `sklearn.datasets` takes a second of each start.
    """
    found = find_spec("sklearn")
    file = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz" if found and found.origin else None
    if file is not None and file.is_file():
        with gzip.open(file, "rt", encoding="ascii") as lines:
            table = np.loadtxt(lines, delimiter=",")
        return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images, digits.target.astype(np.int64)


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
