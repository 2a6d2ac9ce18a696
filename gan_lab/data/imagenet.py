"""ImageNet (ILSVRC 2012): 1,281,167 photographs in 1,000 classes, a folder each."""

from pathlib import Path
from typing import Any, ClassVar

from gan_lab.data.decoded import DecodedImages
from gan_lab.data.labelling import Classes, levels, of_folders
from gan_lab.data.sources import FolderSource, Source, listed


class ImageNet(DecodedImages):
    """Photographs (Russakovsky et al. 2015); classes are the WordNet numbers of their folders, sorted.

    The decoded copy takes 16 GB at 64x64 and 63 GB at 128x128, and is not kept in memory.

    Args:
        root: the folder that holds `train/<class>/*.JPEG` and, for the split `val`, `val/<class>/*.JPEG`.
        settings: as `DecodedImages`.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "val")
    channel_choices: ClassVar[tuple[int, ...]] = (3,)

    def __init__(self, *, root: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.root = root

    def source(self, split: str) -> FolderSource:
        """See `DecodedImages`."""
        folder = Path(self.root).expanduser().absolute() / split
        if not folder.is_dir():
            raise FileNotFoundError(
                f"ImageNet is not there: {folder} is no folder. Unpack the archives of image-net.org so that each "
                f"class has a folder, {folder / 'n01440764'} and so on, and give what holds {split} as data.root=PATH"
            )
        return FolderSource(folder, f"imagenet-{split}")

    def classes(self, source: Source, names: list[str]) -> Classes:
        """See `DecodedImages`."""
        _, outside = next(levels(names))
        if outside:
            raise ValueError(
                f"{source.place}: all images must lie in a folder of their class, but not {listed(outside)}"
            )
        return of_folders(names, 0)
