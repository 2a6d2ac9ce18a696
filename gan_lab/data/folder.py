"""A person's own pictures: a folder, or a zip, of images."""

from pathlib import Path
from typing import Any

from gan_lab.data.decoded import DecodedImages
from gan_lab.data.image_files import Source, classes_of, open_source


class Folder(DecodedImages):
    """Images of a folder or zip in the order of their names; `train` is all of them.

    Where all images lie in subfolders, these are the classes.

    Args:
        root: the folder or zip.
        settings: as `DecodedImages`.
    """

    def __init__(self, *, root: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.root = Path(root).expanduser().absolute()

    def source(self, split: str) -> Source:
        """See `DecodedImages`."""
        return open_source(self.root)

    def classes(self, source: Source, names: list[str]) -> tuple[list[str], list[int] | None]:
        """See `DecodedImages`."""
        return classes_of(names)
