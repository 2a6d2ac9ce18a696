"""A person's own pictures: a folder, or a zip, of images."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gan_lab.data.copies import digest_of
from gan_lab.data.decoded import DecodedImages
from gan_lab.data.labelling import Classes, classes_of
from gan_lab.data.reference import ReferenceSet
from gan_lab.data.sources import Source, open_source

SIZE_UNLESS_GIVEN = (32, 32)  # in conf/data/folder.yaml


class Folder(DecodedImages):
    """Images of a folder or zip in the order of their names; `train` is all of them,
    and those of a second one are `test`.

    Classes are those of StyleGAN's `dataset.json`, or the subfolders, where all images lie in some that do more than
    arrange files; see `gan_lab.data.labelling`.

    Args:
        root: the folder or zip.
        num_classes: None for the classes that are found; a number decides where there are several readings, and 0 is
            for none.
        test_root: another folder or zip, the split `test`, which is not trained on; None for none.
        settings: as `DecodedImages`.
    Attributes:
        keys: as a person gives `root` and `test_root`.
    """

    keys: tuple[str, str] = ("data.root", "data.test_root")

    def __init__(self, *, root: str, num_classes: int | None, test_root: str | None = None, **settings: Any) -> None:
        super().__init__(num_classes=num_classes or None, **settings)
        self.root = Path(root).expanduser().absolute()
        self.test_root = None if test_root is None else Path(test_root).expanduser().absolute()
        self.splits = ("train",) if test_root is None else ("train", "test")  # type: ignore[misc]
        self._wanted = num_classes

    def source(self, split: str) -> Source:
        """See `DecodedImages`."""
        if split == "train" or self.test_root is None:
            return open_source(self.root, self.keys[0])
        return open_source(self.test_root, self.keys[1])

    def read(self, split: str) -> ReferenceSet:
        """See `ImageData.read`.

        Raises:
            ValueError: the classes of `test` are others than those of `train`.
        """
        images = super().read(split)
        if split == "test":
            names, self.class_names = images.class_names, self.training_set().class_names
            if names != self.class_names:
                raise ValueError(
                    f"data.test_root={self.test_root} has the classes {', '.join(names or ()) or 'none'}, and "
                    f"data.root={self.root} has {', '.join(self.class_names or ()) or 'none'}; give both the same "
                    "subfolders, or set data.num_classes=0"
                )
        return images

    def hint(self, sizes: Mapping[str, int]) -> str:
        """See `DecodedImages`: of pictures much larger than the size that is taken where none is given."""
        shorter = sorted(min(map(int, size.split("x"))) for size, count in sizes.items() for _ in range(count))
        if self.image_size != SIZE_UNLESS_GIVEN or shorter[len(shorter) // 2] < 2 * SIZE_UNLESS_GIVEN[0]:
            return ""
        return (
            "seen at 32x32, the size where none is given, and half of them have at least twice as many pixels a side: "
            f"gan-lab-look {self.keys[0]}={shlex.quote(str(self.root))} names a size, data.image_size=64 asks for it"
        )

    def identity(self) -> str:
        """See `Data`: of both, where there is a test set."""
        return (
            super().identity() if self.test_root is None else digest_of([self.outline("train"), self.outline("test")])
        )

    def classes(self, source: Source, names: list[str]) -> Classes:
        """See `DecodedImages`."""
        return classes_of(source, names, self._wanted)

    def labelling(self) -> int | None:
        """See `DecodedImages`."""
        return self._wanted
