"""CelebA: 202,599 faces of celebrities, aligned and cropped to 178x218."""

from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from gan_lab.data.base import truth
from gan_lab.data.decoded import DecodedImages
from gan_lab.data.download import open_set
from gan_lab.data.sources import FolderSource, Walk
from gan_lab.installing import install_command

PARTITIONS = {"train": "0", "valid": "1", "test": "2"}


class CelebA(DecodedImages):
    """Faces (Liu et al. 2015) without labels, in the authors' partition: 162,770, 19,867 and 19,962.

    The usual crops before resizing are the middle 108x108 and 148x148 pixels; scores depend on it.

    Args:
        root: the folder that holds `celeba`, with `img_align_celeba` and `list_eval_partition.txt` in it.
        download: fetch the files there where they are absent (by torchvision, from Google Drive).
        settings: as `DecodedImages`.
    """

    splits: ClassVar[tuple[str, ...]] = tuple(PARTITIONS)
    channel_choices: ClassVar[tuple[int, ...]] = (3,)

    def __init__(self, *, root: str, download: bool, **settings: Any) -> None:
        super().__init__(**settings)
        self.root, self.download = root, truth("download", download)

    def prepare_data(self) -> None:
        """Download on request, and decode.

        Raises:
            ImportError: the extra that downloads is not installed.
        """
        if self.download and not self._is_there():
            if find_spec("gdown") is None:
                raise ImportError(f"data=celeba data.download=true needs: {install_command('celeba')}")
            from torchvision import datasets  # takes a second

            open_set(datasets.CelebA, root=self.root, split="all", download=True)
        super().prepare_data()

    def source(self, split: str) -> FolderSource:
        """See `DecodedImages`."""
        images, partition = self._places()
        if not self._is_there():
            raise FileNotFoundError(
                f"CelebA is not complete under {images.parent.parent}: {images} and {partition} are wanted. Unpack "
                "img_align_celeba.zip there, try data.download=true, or give the folder that holds celeba as "
                "data.root=PATH"
            )
        lines = (line.split() for line in partition.read_text(encoding="utf-8").splitlines())
        wanted = {name for name, number in lines if number == PARTITIONS[split]}
        return ChosenFiles(images, f"celeba-{split}", wanted)

    def _places(self) -> tuple[Path, Path]:
        folder = Path(self.root).expanduser().absolute() / "celeba"
        return folder / "img_align_celeba", folder / "list_eval_partition.txt"

    def _is_there(self) -> bool:
        images, partition = self._places()
        return images.is_dir() and partition.is_file()


class ChosenFiles(FolderSource):
    """Those files of a folder whose relative paths are `chosen`; one that is not there cannot be read."""

    def __init__(self, root: Path, title: str, chosen: set[str]) -> None:
        super().__init__(root, title)
        self._chosen = chosen

    @cached_property
    def walk(self) -> Walk:
        """See `FolderSource`."""
        walk = Walk(self._root)
        absent = self._chosen.difference(walk.images)
        walk.broken |= dict.fromkeys(absent, "not there")
        walk.images = {name: walk.images.get(name) for name in sorted(self._chosen)}
        return walk
