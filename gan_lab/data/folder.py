"""A person's own pictures: a folder, or a zip, of images."""

import hashlib
import shlex
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gan_lab.data.archives import content_at, open_source
from gan_lab.data.base import whole
from gan_lab.data.copies import digest_of
from gan_lab.data.decoded import DecodedImages
from gan_lab.data.doubles import apart
from gan_lab.data.labelling import Classes, by_table, classes_of
from gan_lab.data.reference import ReferenceSet
from gan_lab.data.sources import Source

SIZE_UNLESS_GIVEN = (32, 32)  # in conf/data/folder.yaml


class Folder(DecodedImages):
    """Images of a folder, a zip or a tar in the order of their names: `train` is all of them that are not `held_out`,
    and those of a second one are `test`.

    Classes are those of StyleGAN's `dataset.json`, or the subfolders, where all images lie in some that do more than
    arrange files; see `gan_lab.data.labelling`.

    Args:
        root: the folder, zip or tar.
        num_classes: None for the classes that are found; a number decides where there are several readings, and 0 is
            for none.
        test_root: another folder or zip, the split `test`, which is not trained on; None for none.
        labels: a table of files and classes (CSV with a header), which counts before folders and `dataset.json`; None
            for none. A file, or one in a zip or tar. See `gan_lab.data.labelling.by_table`.
        class_column: its column of classes; None where it has no other than that of the files.
        held_out: so many images are not trained on, the split `held_out`; None for none. Which ones follows from their
            pixels alone, and images that look alike (see `gan_lab.data.doubles`) are on one side, so there may be a
            few more. Both parts are copied into memory.
        settings: as `DecodedImages`.
    Attributes:
        keys: as a person gives `root` and `test_root`.
    """

    keys: tuple[str, str] = ("data.root", "data.test_root")

    def __init__(
        self,
        *,
        root: str,
        num_classes: int | None,
        test_root: str | None = None,  # older stored configs state neither this nor the next ones
        labels: str | None = None,
        class_column: str | None = None,
        held_out: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(num_classes=num_classes or None, **settings)
        self.root = Path(root).expanduser().absolute()
        self.test_root = None if test_root is None else Path(test_root).expanduser().absolute()
        self.held_out = None if held_out is None else whole("held_out", held_out, 1)
        if held_out is not None and type(self) is not Folder:  # whose images go with other files, or are cut out
            raise ValueError(f"data.held_out={held_out} is of data=folder alone; give data.test_root here")
        self.splits = (  # type: ignore[misc]
            "train",
            *(() if held_out is None else ("held_out",)),
            *(() if test_root is None else ("test",)),
        )
        self._parts: dict[str, ReferenceSet] = {}
        self._wanted = num_classes
        self.labels, self.class_column = labels, class_column
        if class_column is not None and labels is None:
            raise ValueError(f"data.class_column={class_column} is of a table: give it as data.labels=FILE")
        if labels is not None and num_classes == 0:
            raise ValueError(f"data.num_classes=0 leaves classes out, and data.labels={labels} brings them: give one")

    def source(self, split: str) -> Source:
        """See `DecodedImages`."""
        if split != "test" or self.test_root is None:
            return open_source(self.root, self.keys[0])
        return open_source(self.test_root, self.keys[1])

    def read(self, split: str) -> ReferenceSet:
        """See `ImageData.read`.

        Raises:
            ValueError: the classes of `test` are others than those of `train`.
        """
        if split != "test" and self.held_out is not None:
            if not self._parts:
                self._parts = self._divided(super().read("train"), self.held_out)
            return self._parts.pop(split)
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

    def _divided(self, images: ReferenceSet, count: int) -> dict[str, ReferenceSet]:
        """The splits `train` and `held_out`."""
        if count >= len(images):
            raise ValueError(
                f"{self.keys[0]} has {len(images)} images, and data.held_out={count} leaves none to train on; give less"
            )
        held = np.zeros(len(images), dtype=bool)
        held[apart(images.stored, count)] = True
        if held.all():
            raise ValueError(
                f"the {len(images)} images of {self.keys[0]} look alike, and cannot be divided into two sets; give "
                "data.held_out=null"
            )
        return {
            "train": images.chosen(np.flatnonzero(~held), f"train without {count} held out"),
            "held_out": images.chosen(np.flatnonzero(held), "held_out"),
        }

    def hint(self, sizes: Mapping[str, int]) -> str:
        """See `DecodedImages`: of pictures much larger than 32x32, which is taken where no size is given."""
        shorter = sorted(min(map(int, size.split("x"))) for size, count in sizes.items() for _ in range(count))
        if self.image_size != SIZE_UNLESS_GIVEN or shorter[len(shorter) // 2] < 2 * SIZE_UNLESS_GIVEN[0]:
            return ""
        return (
            "seen at 32x32, and half of them have at least twice as many pixels a side: data.image_size=64 shows "
            f"more of them, and gan-lab-look {self.keys[0]}={shlex.quote(str(self.root))} names a size"
        )

    def identity(self) -> str:
        """See `Data`: of both, where there is a test set."""
        return (
            super().identity() if self.test_root is None else digest_of([self.outline("train"), self.outline("test")])
        )

    @cached_property
    def _table(self) -> bytes:
        """Read when it is needed: samples are drawn where it is not."""
        return content_at(Path(str(self.labels)), "data.labels")

    def classes(self, source: Source, names: list[str]) -> Classes:
        """See `DecodedImages`."""
        if self.labels is not None:
            return by_table(self._table, names, self.class_column, self.labels)
        return classes_of(source, names, self._wanted)

    def labelling(self) -> Any:
        """See `DecodedImages`."""
        if self.labels is not None:
            return [self._wanted, hashlib.sha256(self._table).hexdigest(), self.class_column]
        return self._wanted
