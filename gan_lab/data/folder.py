"""A person's own pictures: a folder, or a zip, of images."""

from pathlib import Path
from typing import Any

from gan_lab.data.decoded import DecodedImages
from gan_lab.data.labelling import Classes, classes_of
from gan_lab.data.sources import Source, open_source


class Folder(DecodedImages):
    """Images of a folder or zip in the order of their names; `train` is all of them.

    Classes are those of StyleGAN's `dataset.json`, or the subfolders, where all images lie in some that do more than
    arrange files; see `gan_lab.data.labelling`.

    Args:
        root: the folder or zip.
        num_classes: None for the classes that are found; a number decides where there are several readings, and 0 is
            for none.
        settings: as `DecodedImages`.
    """

    def __init__(self, *, root: str, num_classes: int | None, **settings: Any) -> None:
        super().__init__(num_classes=num_classes or None, **settings)
        self.root = Path(root).expanduser().absolute()
        self._wanted = num_classes

    def source(self, split: str) -> Source:
        """See `DecodedImages`."""
        return open_source(self.root)

    def classes(self, source: Source, names: list[str]) -> Classes:
        """See `DecodedImages`."""
        return classes_of(source, names, self._wanted)

    def labelling(self) -> int | None:
        """See `DecodedImages`."""
        return self._wanted
