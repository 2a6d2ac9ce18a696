"""Where image files lie: the files of a folder or a zip, which of them are read, and by what their content is known."""

import json
import os
import re
import stat
import time
import zlib
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from PIL import Image

from gan_lab.installing import install_command

# Formats of pictures that people have; those of them that this Pillow reads are images.
PICTURES = (
    ".apng .avif .bmp .dib .gif .j2k .jfif .jp2 .jpe .jpeg .jpf .jpg .jpx .pbm .pcx .pgm .png .pnm .ppm .qoi .tga"
)
HEIF = (".heic", ".heif")  # of telephones: where the extra heic is installed
EXTENSIONS = (*PICTURES.split(), ".tif", ".tiff", ".webp", *HEIF)
# What lies beside pictures and is none: left out without alarm. Whatever else is not read is a finding.
TEXTS = ".cfg .csv .db .htm .html .ini .json .jsonl .log .md .py .sh .toml .tsv .txt .xml .yaml .yml"
BESIDE = frozenset(TEXTS.split())
# How a file of a kind that is not read becomes one that is: a program that does so, and where it comes from.
CAMERAS = ".arw .cr2 .cr3 .dng .nef .orf .raf .rw2"
FILMS = ".avi .m4v .mkv .mov .mp4 .webm"
PACKED = ".7z .bz2 .gz .rar .tar .tgz .xz .zip"
REMEDIES = {
    **dict.fromkeys(HEIF, "heif-convert IN OUT.png (libheif)"),
    ".jxl": "djxl IN OUT.png (libjxl)",
    ".svg": "rsvg-convert IN -o OUT.png (librsvg)",
    ".pdf": "pdftoppm -png IN OUT (poppler)",
    ".psd": "export it as .png",
    "": "give it the extension of its format, such as .jpg",
    **dict.fromkeys(CAMERAS.split(), "develop it, as with darktable-cli IN OUT.png"),
    **dict.fromkeys(FILMS.split(), "ffmpeg -i IN OUT_%05d.png writes its frames"),
    **dict.fromkeys(PACKED.split(), "unpack it"),
}
LABELS = "dataset.json"  # of the layout of StyleGAN's data sets, see gan_lab.data.labelling
FIRST_SAMPLE = re.compile(r"0{6,}\.png")  # what gan_lab.sample calls its first image
SUMMARIES = ("grid.png", "classes.png", "interpolation.png")  # what it leaves beside its images
OF_EVERY_RUN = frozenset(["config.yaml", "run.json", "train.log", "checkpoints"])  # two of these tell one
OF_A_RUN = ("pictures", "checkpoints", "snapshots", "curves.png")  # what training leaves in a run's folder
OF_SCORES = ("curve.png",)  # what evaluating leaves beside scores.jsonl
MACOS = ("__MACOSX", "._")  # doubles of all files that a Mac adds
SHOWN = 10  # names in a report
# Size, modification and change in ns, and number of a file: whoever puts another in its place, as old and as long,
# changes some. Plain tuples of numbers cost the garbage collector nothing, of which there may be a million.
Marks = tuple[int, int, int, int]
YOUNG_NS = 2 * 10**9  # the coarsest clock of file systems in use (FAT)


class Source(Protocol):
    """Where image files lie. A class of your own derives from this one.

    Attributes:
        title: for the name of the decoded copy.
        place: for messages.
    """

    title: str
    place: str

    def stamps(self) -> list[Any]:
        """What changes when the content does at this place, as plain JSON values: path, names, sizes, times."""
        raise NotImplementedError

    def names(self) -> list[str]:
        """Paths of all images relative to the root, with slashes, sorted."""
        raise NotImplementedError

    def read(self, name: str) -> bytes:
        """The content of one image file."""
        raise NotImplementedError

    def outline(self) -> list[Any]:
        """Plain JSON values that are equal where the content is, at any place, and cheap: names and sizes."""
        return [self.names()]

    def checksums(self) -> list[int] | None:
        """CRC-32 of each of `names`, where they are known without reading; None elsewhere."""
        return None

    def labels(self) -> tuple[str, bytes] | None:
        """The file of labels: the folder it lies in, ending with a slash unless it is the root, and its content."""
        return None

    def findings(self) -> list[str]:
        """What is not as one would expect, a line each: what is there and not read, or there twice."""
        return []

    def notes(self) -> list[str]:
        """What is left out as one would expect, a line each."""
        return []


class FolderSource(Source):
    """Image files at any depth below a folder, each real folder once, whatever links lead to it.

    Left out, and named, are hidden files and folders, what gan_lab itself has written (run folders, grids beside
    samples, and samples where there are other images), and Python's environments.
    """

    def __init__(self, root: Path, title: str | None = None) -> None:
        self._root, self.title = root, title or root.stem
        self.place = str(root)

    @cached_property
    def walk(self) -> "Walk":
        """The files that are there, seen once."""
        return Walk(self._root)

    def stamps(self) -> list[Any]:
        """See `Source`."""
        files = self.walk.images | self.walk.labels
        known = [marks for marks in files.values() if marks]
        return [os.path.realpath(self._root), [*files], [*files.values()], *unless_settled(known)]

    def names(self) -> list[str]:
        """See `Source`."""
        return list(self.walk.images)

    def outline(self) -> list[Any]:
        """See `Source`."""
        return [[*self.walk.images], [marks and marks[0] for marks in self.walk.images.values()]]

    def read(self, name: str) -> bytes:
        """See `Source`."""
        if name in self.walk.broken:
            raise OSError(self.walk.broken[name])
        return (self._root / name).read_bytes()

    def labels(self) -> tuple[str, bytes] | None:
        """See `Source`."""
        name = outermost(self.walk.labels)
        return None if name is None else (name.removesuffix(LABELS), (self._root / name).read_bytes())

    def findings(self) -> list[str]:
        """See `Source`."""
        walk = self.walk
        return [
            *line("links to folders that are read already, or hold this one, not followed", walk.loops, "link"),
            *line("run folders of gan_lab, not read", walk.runs, "folder"),
            *line("samples of gan_lab beside other images, not read", walk.sampled, "folder"),
            *line("Python environments, not read", walk.environments, "folder"),
            *strangers(walk.others),
            *same_but_for_case(walk.images),
        ]

    def notes(self) -> list[str]:
        """See `Source`."""
        return [
            *line("left out as hidden", self.walk.hidden, "entry", "entries"),
            *line("left out, summaries that gan_lab has written", self.walk.summaries),
            *beside(self.walk.others),
        ]


class Walk:
    """What lies below a folder.

    Real folders come first and links to folders after them, so that names are those of the real ones; a folder that
    was walked, or that holds the root, is not walked (once more).

    Attributes:
        images: the marks of each by name, sorted; None for those in `broken`.
        broken: why an image that has a name cannot be read.
        labels: the files of labels, by name.
        others: names of files that are no images.
        loops, runs, sampled, environments, hidden, summaries: names of what is left out, by reason.
    """

    def __init__(self, root: Path) -> None:
        self.images: dict[str, Marks | None] = {}
        self.broken: dict[str, str] = {}
        self.labels: dict[str, Marks | None] = {}
        self.others: list[str] = []
        self.loops: list[str] = []
        self.runs: list[str] = []
        self.sampled: list[str] = []
        self.environments: list[str] = []
        self.hidden: list[str] = []
        self.summaries: list[str] = []
        self._samples: dict[str, dict[str, Marks | None]] = {}
        self._links: list[tuple[str, str]] = []
        real = Path(os.path.realpath(root))
        self._walked = {identity_of(parent) for parent in real.parents}
        self._below(str(root), "")
        while self._links:
            name, path = self._links.pop(self._links.index(min(self._links)))
            self._below(path, f"{name}/")
        if self.images:
            self.sampled = [folder.rstrip("/") for folder in self._samples]
        else:
            for images in self._samples.values():
                self.images |= images
        self.images = dict(sorted(self.images.items()))
        for names in (self.others, self.loops, self.runs, self.sampled, self.environments, self.hidden, self.summaries):
            names.sort()

    def _below(self, top: str, inside: str) -> None:
        folders = [(top, inside)]
        while folders:
            path, inside = folders.pop()
            folders += [(f"{path}/{name}", f"{inside}{name}/") for name in self._folder(path, inside)]

    def _folder(self, path: str, inside: str) -> list[str]:
        """Note the files of one folder; the names of those folders in it that are to be walked next."""
        try:
            known = identity_of(path)
            if known in self._walked:
                self.loops.append(inside.rstrip("/"))
                return []
            self._walked.add(known)
            with os.scandir(path) as listing:
                entries = {entry.name: entry for entry in listing}
        except OSError as error:
            if not inside:
                raise
            self.broken[f"{inside}*"] = error.strerror or str(error)
            self.images[f"{inside}*"] = None
            return []
        is_run = len(OF_EVERY_RUN.intersection(entries)) > 1
        if inside and (is_run or "pyvenv.cfg" in entries):
            (self.runs if is_run else self.environments).append(inside.rstrip("/"))
            return []
        has_samples = any(FIRST_SAMPLE.fullmatch(name) for name in entries)
        ours = {
            *(OF_A_RUN if is_run else ()),
            *(SUMMARIES if has_samples else ()),
            *(OF_SCORES if "scores.jsonl" in entries else ()),
        }
        images = self.images
        if inside and has_samples and "grid.png" in entries:
            images = self._samples.setdefault(inside, {})
        folders = []
        for name, entry in entries.items():
            if name.startswith((".", *MACOS)):
                if not name.startswith(MACOS) and (is_image(name) or entry.is_dir()):
                    self.hidden.append(inside + name)
            elif name in ours:
                self.summaries.append(inside + name)
            elif entry.is_dir(follow_symlinks=False):
                folders.append(name)
            elif entry.is_symlink() and os.path.isdir(entry.path):
                self._links.append((inside + name, entry.path))
            elif is_image(name):
                images[inside + name] = self._marks(inside + name, entry)
            elif name == LABELS and entry.is_file():
                self.labels[inside + name] = marks_of(entry.stat())
            elif entry.is_symlink() and "." not in name and not os.path.exists(entry.path):
                images[f"{inside}{name}/*"] = self._marks(f"{inside}{name}/*", entry)  # may well have been a folder
            else:
                self.others.append(inside + name)
        return folders

    def _marks(self, name: str, entry: "os.DirEntry[str]") -> Marks | None:
        try:
            found = entry.stat()
        except OSError as error:
            reason = f"a broken link to {os.readlink(entry.path)}" if entry.is_symlink() else f"{error.strerror}"
        else:
            if stat.S_ISREG(found.st_mode):
                return marks_of(found)
            reason = "not a regular file"
        self.broken[name] = reason
        return None


def names_in(source: Source) -> list[str]:
    """`Source.names`, of which there are some.

    Raises:
        ValueError: there are none.
    """
    names = source.names()
    if not names:
        found = "".join(f"; {finding}" for finding in source.findings())
        raise ValueError(f"no images in {source.place}; accepted are files in {', '.join(extensions())}{found}")
    return names


@cache
def extensions() -> tuple[str, ...]:
    """Those of `EXTENSIONS` that this Pillow reads, with the plugin for HEIF where that is installed."""
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    return tuple(extension for extension in EXTENSIONS if extension in Image.registered_extensions())


def is_image(name: str) -> bool:
    """Whether a file's name ends like an image."""
    return name.lower().endswith(extensions())


def identity_of(folder: str | Path) -> tuple[int, int]:
    """What two names of one folder have in common."""
    found = os.stat(folder)
    return found.st_dev, found.st_ino


def marks_of(found: os.stat_result) -> Marks:
    """Of a file's status."""
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def file_stamps(path: Path) -> list[Any]:
    """`Source.stamps` of a single file."""
    marks = marks_of(path.stat())
    return [os.path.realpath(path), marks, *unless_settled([marks])]


def tree_stamps(root: Path) -> list[Any]:
    """`Source.stamps` of all files below a folder, whatever they are, but for how young they are."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return [os.path.realpath(root), [[path.relative_to(root).as_posix(), marks_of(path.stat())] for path in files]]


def unless_settled(files: Iterable[Marks]) -> list[int]:
    """Nothing; where a file has changed just now, a value that never comes again.

    A second change within the clock's resolution leaves the same times, so that stamps this young prove nothing.
    """
    now = time.time_ns()
    newest = max((max(marks[1:3]) for marks in files), default=0)
    return [now] if newest > now - YOUNG_NS else []


def outermost(names: Iterable[str]) -> str | None:
    """The path with the fewest folders on its way."""
    return min(names, key=lambda name: (name.count("/"), name), default=None)


def checksum(content: bytes) -> int:
    """CRC-32, as zips have it, so that a folder and its zip are known by the same numbers."""
    return zlib.crc32(content)


def spread(names: list[str], count: int) -> list[str]:
    """At most so many of the names, evenly spread."""
    return [names[place * len(names) // count] for place in range(count)] if len(names) > count else names


def strangers(names: Iterable[str]) -> list[str]:
    """A line about files that might have been meant as images, with what makes images of their kinds."""
    chosen = [name for name in names if PurePosixPath(name).suffix.lower() not in BESIDE]
    kinds = sorted({PurePosixPath(name).suffix.lower() for name in chosen} & REMEDIES.keys())
    ways = "; ".join(f"{kind or 'without extension'}: {REMEDIES[kind]}" for kind in kinds)
    if not set(HEIF).isdisjoint(kinds):
        ways += f"; {install_command('heic')} reads .heic as it is"
    remedy = "convert to .png what is an image" + (f" ({ways})" if ways else "")
    return [f"{found}; {remedy}" for found in line(by_kind("not read", chosen), chosen)]


def beside(names: Iterable[str]) -> list[str]:
    """A line about files that are certainly no images."""
    chosen = [name for name in names if PurePosixPath(name).suffix.lower() in BESIDE]
    return line(by_kind("left out", chosen), chosen)


def by_kind(what: str, names: list[str]) -> str:
    """`what`, and how many files there are of each extension."""
    kinds = Counter(PurePosixPath(name).suffix.lower() or "without extension" for name in names)
    return f"{what} ({', '.join(f'{count} {kind}' for kind, count in kinds.most_common())})"


def same_but_for_case(names: Iterable[str]) -> list[str]:
    """A line about names of which some file systems would keep one."""
    counts = Counter(name.lower() for name in names)
    return line("names that differ by case alone", [name for name in names if counts[name.lower()] > 1])


def line(what: str, entries: list[str], noun: str = "file", nouns: str | None = None) -> list[str]:
    """One line that lists the entries; none where there are none."""
    return [f"{what}: {listed(entries, noun, nouns)}"] if entries else []


def listed(entries: list[str], noun: str = "file", nouns: str | None = None) -> str:
    """The count, and the first few."""
    more = f", and {len(entries) - SHOWN} more" if len(entries) > SHOWN else ""
    return f"{len(entries)} {noun if len(entries) == 1 else nouns or noun + 's'}: {', '.join(entries[:SHOWN])}{more}"


def as_json(values: Any) -> bytes:
    """Plain values as bytes to digest."""
    return json.dumps(values).encode()
