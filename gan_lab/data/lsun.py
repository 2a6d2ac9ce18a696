"""LSUN: a database of compressed images for each class; 3,033,042 bedrooms."""

from pathlib import Path
from typing import Any, ClassVar

from gan_lab.data.base import whole
from gan_lab.data.decoded import DecodedImages
from gan_lab.data.sources import Source, file_stamps
from gan_lab.installing import install_command


class LSUN(DecodedImages):
    """One class of scenes (Yu et al. 2015) without labels, in the order of its keys.

    The decoded copy of all bedrooms takes 37 GB at 64x64, and is not kept in memory.

    Args:
        root: the folder that holds `<category>_train_lmdb` and, for the split `val`, `<category>_val_lmdb`.
        category: `bedroom`, `church_outdoor`, ...
        first: read only so many images of a split; None for all. Evaluation, too, sees no others.
        settings: as `DecodedImages`.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "val")
    channel_choices: ClassVar[tuple[int, ...]] = (3,)

    def __init__(self, *, root: str, category: str, first: int | None, **settings: Any) -> None:
        super().__init__(**settings)
        self.root, self.category = root, category
        self.first = None if first is None else whole("first", first, 1)

    def source(self, split: str) -> "Database":
        """See `DecodedImages`."""
        folder = Path(self.root).expanduser().absolute() / f"{self.category}_{split}_lmdb"
        if not (folder / "data.mdb").is_file():
            raise FileNotFoundError(
                f"LSUN is not there: {folder / 'data.mdb'} does not exist. Unpack {folder.name}.zip of "
                f"http://dl.yf.io/lsun/scenes in {folder.parent}, or give the folder that holds it as data.root=PATH"
            )
        return Database(folder, f"lsun-{self.category}-{split}", self.first)


class Database(Source):
    """A `Source` of the images in an LMDB, which may be read by several threads.

    Args:
        root: the folder with data.mdb in it.
        title: see `Source`.
        first: how many of its images count, in the order of their keys; None for all.
    Raises:
        ImportError: the extra is not installed.
    """

    def __init__(self, root: Path, title: str, first: int | None) -> None:
        try:
            import lmdb
        except ImportError as error:
            raise ImportError(f"data=lsun needs: {install_command('lsun')}") from error
        self.title, self.place, self._file, self._first = title, str(root), root / "data.mdb", first
        self._database = lmdb.open(self.place, readonly=True, lock=False, readahead=False, meminit=False)
        self._stamps = file_stamps(self._file)

    def stamps(self) -> list[Any]:
        """See `Source`."""
        return [*self._stamps, self._first]

    def outline(self) -> list[Any]:
        """See `Source`: of the whole file, as millions of keys take a while."""
        return [self._file.stat().st_size, self._first]

    def names(self) -> list[str]:
        """See `Source`: the keys."""
        with self._database.begin() as transaction:
            keys = transaction.cursor().iternext(keys=True, values=False)
            return [key.decode() for _, key in zip(range(self._first or 2**62), keys, strict=False)]

    def read(self, name: str) -> bytes:
        """See `Source`."""
        with self._database.begin() as transaction:
            return transaction.get(name.encode(), b"")
