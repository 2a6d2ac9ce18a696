"""Any data set of images in Hugging Face's format: by its name on the hub, or in a local folder."""

from pathlib import Path
from typing import Any

from gan_lab.data.copies import digest_of
from gan_lab.data.decoded import DecodedImages
from gan_lab.data.sources import Source, tree_stamps
from gan_lab.installing import install_command

SAVED = ("dataset_info.json", "dataset_dict.json")  # what save_to_disk leaves


class HuggingFace(DecodedImages):
    """A split of a data set of the library `datasets`, in its order; `train` is all of it. No code of it is run.

    Args:
        path: `owner/name` on the hub (downloaded into `cache_dir`), a folder of image or Parquet files, or one that
            `save_to_disk` has left.
        config_name: which configuration, where there are several.
        revision: branch, tag or commit on the hub; None for the newest.
        split: what is trained on: `train`, `train+test`, `train[:1000]`.
        image_column, label_column: their names; None for no labels.
        settings: as `DecodedImages`.
    """

    def __init__(
        self,
        *,
        path: str,
        config_name: str | None,
        revision: str | None,
        split: str,
        image_column: str,
        label_column: str | None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.path, self.config_name, self.revision, self.split = path, config_name, revision, split
        self.image_column, self.label_column = image_column, label_column

    def source(self, split: str) -> "Table":
        """See `DecodedImages`."""
        try:
            import datasets
        except ImportError as error:
            raise ImportError(f"data=huggingface needs: {install_command('huggingface')}") from error
        folder, place = Path(self.path).expanduser(), f"data.path={self.path} data.split={self.split}"
        stamps = tree_stamps(folder) if folder.is_dir() else []
        try:
            if any((folder / name).is_file() for name in SAVED):
                table = datasets.load_from_disk(str(folder))
                if isinstance(table, datasets.DatasetDict):
                    table = table[self.split]
                elif self.split not in ("train", str(table.split)):
                    raise ValueError("it was saved as one split, of which data.split=train takes all")
            else:
                path = str(folder) if folder.exists() else self.path
                cache = str(self._copies.folder / "huggingface" / (digest_of(stamps)[:20] if stamps else ""))
                table = datasets.load_dataset(
                    path, self.config_name, split=self.split, revision=self.revision, cache_dir=cache
                )
        except Exception as error:  # of the hub, of the disk, of files that are none of its formats
            raise ValueError(
                f"{place} cannot be loaded: {error}. Give a folder, or the name of a data set on huggingface.co that "
                "this machine can reach, and one of its splits"
            ) from error
        if not isinstance(table.features.get(self.image_column), datasets.Image):
            raise ValueError(f"{place}: {self.image_column!r} is no column of images; there are: {described(table)}")
        table = table.cast_column(self.image_column, datasets.Image(decode=False))
        return Table(table, self.image_column, self.label_column, place, stamps)

    def classes(self, source: Source, names: list[str]) -> tuple[list[str], list[int] | None]:
        """See `DecodedImages`."""
        if self.label_column is None:
            return [], None
        assert isinstance(source, Table)
        feature = source.table.features.get(self.label_column)
        labels = source.table[self.label_column][:] if feature is not None else []
        if not labels or not all(isinstance(label, int) and label >= 0 for label in labels):
            raise ValueError(
                f"{source.place}: data.label_column={self.label_column} must hold whole numbers from 0 on; there are: "
                f"{described(source.table)}"
            )
        return getattr(feature, "names", None) or [str(number) for number in range(max(labels) + 1)], labels


class Table(Source):
    """A `Source` of the images in a column of a `datasets.Dataset`, by their numbers.

    Args:
        table: whose images are not decoded.
        images, labels: names of the columns.
        place: see `Source`.
        stamps: of the folder it was read from, as the library's own key goes by times that files may have in common.
    """

    def __init__(self, table: Any, images: str, labels: str | None, place: str, stamps: list[Any]) -> None:
        self.table, self._images, self._labels, self._stamps = table, images, labels, stamps
        self.place, self.title = place, "huggingface"

    def stamps(self) -> list[Any]:
        """See `Source`."""
        fingerprint = self.table._fingerprint  # the library's own key of its caches
        return [fingerprint, self._images, self._labels, len(self.table), self._stamps]

    def names(self) -> list[str]:
        """See `Source`."""
        return [str(number) for number in range(len(self.table))]

    def outline(self) -> list[Any]:
        """See `Source`."""
        return [len(self.table)]

    def read(self, name: str) -> bytes:
        """See `Source`."""
        stored = self.table[int(name)][self._images]
        if stored is None:
            raise ValueError("the row has no image")
        return stored["bytes"] if stored["bytes"] is not None else Path(stored["path"]).read_bytes()


def described(table: Any) -> str:
    """The columns of a table and their kinds, for messages."""
    return ", ".join(f"{name} ({type(kind).__name__})" for name, kind in table.features.items())
