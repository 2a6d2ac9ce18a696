"""STL-10: 105,000 training photographs, most of them unlabelled, and 8,000 for testing, 96x96."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from gan_lab.data.base import ImageData, truth
from gan_lab.data.download import open_set
from gan_lab.data.images import RESIZE_BLOCK, resize
from gan_lab.data.reference import ReferenceSet

FILES = {"train": ("train_X.bin", "unlabeled_X.bin"), "test": ("test_X.bin",)}
STORED = (3, 96, 96)  # channels, columns, rows: MATLAB's order


class STL10(ImageData):
    """Photographs (Coates et al. 2011) without labels: `train` is the labelled 5,000, then the 100,000 others.

    Published scores are of 48x48 (Miyato et al. 2018, section 4).

    Args:
        root: the folder that holds `stl10_binary`.
        download: fetch the files there where they are absent.
        common: as `ImageData`.
    """

    splits: ClassVar[tuple[str, ...]] = tuple(FILES)
    channel_choices: ClassVar[tuple[int, ...]] = (3,)

    def __init__(self, *, root: str, download: bool, **common: Any) -> None:
        super().__init__(**common)
        self.root, self.download = root, truth("download", download)

    def prepare_data(self) -> None:
        """Download on request."""
        if self.download:
            from torchvision import datasets  # takes a second

            open_set(datasets.STL10, root=self.root, split="train", download=True)

    def read(self, split: str) -> ReferenceSet:
        """See `ImageData.read`. Read block by block: torchvision's way takes twice the 2.9 GB that lie on the disk."""
        images = np.concatenate([self._resized(name) for name in FILES[split]])
        return ReferenceSet(name=self.name, split=split, images=images, labels=None)

    def _resized(self, name: str) -> np.ndarray:
        path = Path(self.root).expanduser().absolute() / "stl10_binary" / name
        if not path.is_file() or path.stat().st_size % int(np.prod(STORED)):
            raise FileNotFoundError(
                f"STL10 is not complete: {path} is absent or cut short. Let it be downloaded with data.download=true, "
                "or give the folder that holds stl10_binary as data.root=PATH"
            )
        stored = np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, *STORED)
        resized = np.empty((len(stored), 3, *self.image_size), dtype=np.uint8)
        for first in range(0, len(stored), RESIZE_BLOCK):
            block = np.ascontiguousarray(stored[first : first + RESIZE_BLOCK].transpose(0, 1, 3, 2))
            resized[first : first + RESIZE_BLOCK] = resize(torch.from_numpy(block), self.image_size).numpy()
        return resized
