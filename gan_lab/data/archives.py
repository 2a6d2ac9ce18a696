"""Image files in one file, a zip or a tar, and in a folder of it; what a path names."""

import tarfile
import zipfile
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any

from gan_lab.data.sources import (
    FIRST_SAMPLE,
    LABELS,
    MACOS,
    SUMMARIES,
    FolderSource,
    Source,
    beside,
    file_stamps,
    is_image,
    line,
    listed,
    outermost,
    same_but_for_case,
    strangers,
)


class ArchiveSource(Source):
    """Image files at any depth in one file, which may be read by several threads.

    Args:
        root: the file.
        key: as a person gives it.
    """

    def __init__(self, root: Path, key: str = "data.root") -> None:
        self._root, self.title, self._key = root, root.stem, key
        self.place = str(root)

    def entries(self) -> list[str]:
        """The names of all files in it, in their order; one that is there twice stands twice."""
        raise NotImplementedError

    def size(self, name: str) -> int:
        """Bytes of an entry's content; of the last one where the name is there more than once."""
        raise NotImplementedError

    def stamps(self) -> list[Any]:
        """See `Source`: the archive itself stands for all that is in it."""
        return self._stamps

    def names(self) -> list[str]:
        """See `Source`."""
        return list(self._sorted["images"])

    def outline(self) -> list[Any]:
        """See `Source`."""
        return [self.names(), [self.size(name) for name in self.names()]]

    def labels(self) -> tuple[str, bytes] | None:
        """See `Source`."""
        name = outermost(self._sorted["labels"])
        return None if name is None else (name.removesuffix(LABELS), self.read(name))

    def findings(self) -> list[str]:
        """See `Source`."""
        twice = [name for name, count in Counter(self.entries()).items() if count > 1 and is_image(name)]
        return [
            *line("entries of a name that is there more than once, of which the last is read", twice),
            *strangers(self._sorted["others"]),
            *same_but_for_case(self._sorted["images"]),
        ]

    def notes(self) -> list[str]:
        """See `Source`."""
        return [
            *line("left out as hidden", self._sorted["hidden"]),
            *line("left out, summaries that gan_lab has written", self._sorted["summaries"]),
            *beside(self._sorted["others"]),
        ]

    @cached_property
    def _stamps(self) -> list[Any]:
        return file_stamps(self._root)

    @cached_property
    def _sorted(self) -> dict[str, list[str]]:
        """The names of all files: `images`, sorted, and `labels`, `others`, `hidden`, `summaries`."""
        sorts: dict[str, list[str]] = {kind: [] for kind in ("images", "labels", "others", "hidden", "summaries")}
        parts = {name: name.rpartition("/") for name in sorted(set(self.entries())) if not name.endswith("/")}
        samples = {folder for folder, _, file in parts.values() if FIRST_SAMPLE.fullmatch(file)}
        for name, (folder, _, file) in parts.items():
            if any(part.startswith(MACOS) for part in (*folder.split("/"), file)):
                continue
            if any(part.startswith(".") and part != "." for part in (*folder.split("/"), file)):
                kind = "hidden"
            elif is_image(file):
                kind = "summaries" if folder in samples and file in SUMMARIES else "images"
            else:
                kind = "labels" if file == LABELS else "others"
            sorts[kind].append(name)
        return sorts


class ZipSource(ArchiveSource):
    """Of a zip."""

    def entries(self) -> list[str]:
        """See `ArchiveSource`."""
        return self._zip.namelist()

    def size(self, name: str) -> int:
        """See `ArchiveSource`."""
        return self._zip.getinfo(name).file_size

    def checksums(self) -> list[int] | None:
        """See `Source`: the zip's own."""
        return [self._zip.getinfo(name).CRC for name in self.names()]

    def read(self, name: str) -> bytes:
        """See `Source`."""
        return self._zip.read(name)

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self._root)
        except zipfile.BadZipFile as error:
            raise ValueError(
                f"{self._key}={self._root} is not a readable zip: {error}. Give a folder, or a zip, of images"
            ) from error


class TarSource(ArchiveSource):
    """Of a tar that is not compressed: nothing is unpacked, so that it does not matter where its names would lead.

    Links, devices and sparse files in it are named, and not read.
    """

    def entries(self) -> list[str]:
        """See `ArchiveSource`."""
        return [name_of(member) for member in self._members if is_plain(member)]

    def size(self, name: str) -> int:
        """See `ArchiveSource`."""
        return self._files[name].size

    def read(self, name: str) -> bytes:
        """See `Source`.

        Raises:
            OSError: the tar ends before.
        """
        member = self._files[name]
        with self._root.open("rb") as file:
            file.seek(member.offset_data)
            content = file.read(member.size)  # no more than there is, whatever the tar says
        if len(content) < member.size:
            raise OSError(f"the tar ends {member.size - len(content)} bytes before it")
        return content

    def findings(self) -> list[str]:
        """See `Source`."""
        others = [member.name for member in self._members if not is_plain(member) and not member.isdir()]
        return [*super().findings(), *line("links, devices and sparse files in a tar, which are not read", others)]

    @cached_property
    def _members(self) -> list[tarfile.TarInfo]:
        try:
            with tarfile.open(self._root, "r:") as archive:
                return archive.getmembers()
        except (tarfile.TarError, OSError) as error:
            raise ValueError(
                f"{self._key}={self._root} is not a readable tar: {error}. Give a folder, or a zip, of images"
            ) from error

    @cached_property
    def _files(self) -> dict[str, tarfile.TarInfo]:
        return {name_of(member): member for member in self._members if is_plain(member)}


def name_of(member: tarfile.TarInfo) -> str:
    """Of an entry, as it would be below the folder that was packed: `tar -c .` has "./" before each."""
    return member.name.removeprefix("./")


def is_plain(member: tarfile.TarInfo) -> bool:
    """Whether an entry of a tar is a file whose content lies there in one piece."""
    return member.isreg() and not member.issparse()


def archive(root: Path, key: str) -> ArchiveSource:
    """The images of a zip, or of a tar that is not compressed.

    Raises:
        ValueError: it is something else.
    """
    if not zipfile.is_zipfile(root):
        if is_image(root.name):
            raise ValueError(f"{key}={root} is one picture: give the folder that it is in, {key}={root.parent}")
        if tarfile.is_tarfile(root):
            if not is_uncompressed(root):
                raise ValueError(
                    f"{key}={root} is a compressed tar, which can only be read from its beginning: unpack it (tar -xf "
                    f"{root.name}), and give the folder"
                )
            return TarSource(root, key)
    return ZipSource(root, key)


def is_uncompressed(root: Path) -> bool:
    """Whether a tar can be read at any place."""
    try:
        with tarfile.open(root, "r:"):
            return True
    except tarfile.TarError:
        return False


class Below(Source):
    """The files of another source, a zip or a tar, that lie below a folder.

    Args:
        whole: that source.
        inside: the folder, ending with a slash.
    """

    def __init__(self, whole: Source, inside: str) -> None:
        self._whole, self._inside = whole, inside
        self.title, self.place = whole.title, f"{whole.place}/{inside.rstrip('/')}"

    def stamps(self) -> list[Any]:
        """See `Source`: those of all."""
        return [self._inside, self._whole.stamps()]

    def names(self) -> list[str]:
        """See `Source`."""
        return [name.removeprefix(self._inside) for name in self._whole.names() if name.startswith(self._inside)]

    def read(self, name: str) -> bytes:
        """See `Source`."""
        return self._whole.read(self._inside + name)

    def outline(self) -> list[Any]:
        """See `Source`."""
        names, sizes = self._whole.outline()
        return [self.names(), self._below(names, sizes)]

    def checksums(self) -> list[int] | None:
        """See `Source`."""
        checksums = self._whole.checksums()
        return None if checksums is None else self._below(self._whole.names(), checksums)

    def findings(self) -> list[str]:
        """See `Source`: those of all."""
        return self._whole.findings()

    def notes(self) -> list[str]:
        """See `Source`: those of all."""
        return self._whole.notes()

    def _below(self, names: list[str], values: list[Any]) -> list[Any]:
        return [value for name, value in zip(names, values, strict=True) if name.startswith(self._inside)]


def content_at(path: Path, key: str) -> bytes:
    """Of a file, or of one in a zip or a tar, such as `pictures.zip/labels.csv`.

    Args:
        key: as a person gives the path.
    Raises:
        FileNotFoundError: there is none.
    """
    path = path.expanduser().absolute()
    if path.is_file():
        return path.read_bytes()
    for whole in path.parents:
        if whole.is_file():
            packed, inside = archive(whole, key), path.relative_to(whole).as_posix()
            if inside in packed.entries():
                return packed.read(inside)
    raise FileNotFoundError(f"{key}={path} does not exist: give a file")


def open_source(root: Path, key: str = "data.root") -> Source:
    """The image files of a folder or a zip, or of a folder in a zip; a damaged zip shows when it is asked for names.

    Args:
        root: where they lie, such as `pictures.zip/faces` for a folder in one; a tar is as good.
        key: as a person gives the root.
    Raises:
        FileNotFoundError: there is nothing at `root`.
        ValueError: the zip that `root` leads into is damaged, or it is no archive.
    """
    if root.is_dir():
        return FolderSource(root)
    if root.is_file():
        return archive(root, key)
    for whole in root.parents:
        if whole.is_file():
            packed = archive(whole, key)
            inside = Below(packed, f"{root.relative_to(whole).as_posix()}/")
            if inside.names():
                return inside
            folders = sorted({name.rpartition("/")[0] or "its top" for name in packed.names()})
            where = f"they lie in {listed(folders, 'folder')}" if folders else "and there are none in it"
            raise FileNotFoundError(f"{key}={root} leads into {whole.name}, which has no images there; {where}")
    raise FileNotFoundError(f"{key}={root} does not exist: give a folder, or a zip, of images")
