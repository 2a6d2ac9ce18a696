"""Image files of a folder or a zip: which there are, what is odd about them, and all of them as one uint8 array."""

import hashlib
import io
import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from multiprocessing.pool import ThreadPool
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from rich.progress import track

EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
SUMMARIES = ("grid.png", "classes.png", "interpolation.png")  # what gan_lab.sample leaves beside its images
SHOWN = 10  # names in a report
THREADS = 16  # at most; Pillow decodes outside the interpreter's lock
AT_ONCE = 32  # files that a thread takes at a time


class Source(Protocol):
    """Where image files lie.

    Attributes:
        title: for the name of the decoded copy.
        place: for messages.
    """

    title: str
    place: str

    def stamps(self) -> list[Any]:
        """What changes when the content does, as plain JSON values: names, sizes, modification times in ns."""

    def names(self) -> list[str]:
        """Paths of all images relative to the root, with slashes, sorted."""

    def read(self, name: str) -> bytes:
        """The content of one image file."""


class FolderSource:
    """Image files at any depth below a folder, but for the grid that `gan_lab.sample` leaves beside its images."""

    def __init__(self, root: Path, title: str | None = None) -> None:
        self._root, self.title = root, title or root.stem
        self.place = str(root)

    def stamps(self) -> list[tuple[str, int, int]]:
        """See `Source`."""
        stats = ((name, (self._root / name).stat()) for name in self.names())
        return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]

    def names(self) -> list[str]:
        """See `Source`."""
        found = []
        for folder, _, files in os.walk(self._root, followlinks=True):
            inside = Path(folder).relative_to(self._root)
            skipped = SUMMARIES if any(re.fullmatch(r"0{6,}\.png", file) for file in files) else ()
            found += [(inside / file).as_posix() for file in files if file not in skipped]
        return sorted(filter(is_image, found))

    def read(self, name: str) -> bytes:
        """See `Source`."""
        return (self._root / name).read_bytes()


class ZipSource:
    """Image files at any depth in a zip, which may be read by several threads."""

    def __init__(self, root: Path) -> None:
        self._root, self.title = root, root.stem
        self.place = str(root)

    def stamps(self) -> list[tuple[str, int, int]]:
        """See `Source`: the zip itself stands for all that is in it."""
        stat = self._root.stat()
        return [(self._root.name, stat.st_size, stat.st_mtime_ns)]

    def names(self) -> list[str]:
        """See `Source`."""
        return sorted(filter(is_image, self._zip.namelist()))

    def read(self, name: str) -> bytes:
        """See `Source`."""
        return self._zip.read(name)

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self._root)
        except zipfile.BadZipFile as error:
            raise ValueError(f"data.root={self._root} is not a readable zip: {error}") from error


def open_source(root: Path) -> Source:
    """The image files of a folder or a zip; a damaged zip shows when it is asked for names.

    Raises:
        FileNotFoundError: there is nothing at `root`.
    """
    if root.is_dir():
        return FolderSource(root)
    if root.is_file():
        return ZipSource(root)
    raise FileNotFoundError(f"data.root={root} does not exist: give a folder, or a zip, of images")


def is_image(name: str) -> bool:
    """Whether a relative path ends like an image and neither it nor a folder on its way is hidden."""
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and name.lower().endswith(EXTENSIONS)


def classes_of(names: list[str]) -> tuple[list[str], list[int] | None]:
    """Class names, sorted, and the class of each image: the folder it lies in, where all lie in one.

    A single folder around everything is no class; it is looked through.
    """
    paths = [PurePosixPath(name).parts for name in names]
    depth = 0
    while all(len(path) > depth + 1 for path in paths) and len({path[depth] for path in paths}) == 1:
        depth += 1
    if not all(len(path) > depth + 1 for path in paths):
        return [], None
    class_names = sorted({path[depth] for path in paths})
    numbers = {name: number for number, name in enumerate(class_names)}
    return class_names, [numbers[path[depth]] for path in paths]


class Shape(NamedTuple):
    """How images are wanted: (height, width), channels, and whether what sticks out is cut off or squeezed in.

    Of a `crop` there is only the square of so many pixels in the middle.
    """

    image_size: tuple[int, int]
    channels: int
    center_crop: bool
    crop: int | None = None


class Decoded(NamedTuple):
    """One file's pixels, (C, H, W) uint8, or the error; its own mode and size."""

    pixels: np.ndarray | None
    mode: str = ""
    width: int = 0
    height: int = 0
    error: str = ""


def decode(content: bytes, shape: Shape) -> Decoded:
    """Read one image, upright by its EXIF orientation, resized with an antialiasing filter (Lanczos)."""
    try:
        with Image.open(io.BytesIO(content)) as stored:
            mode, upright = stored.mode, ImageOps.exif_transpose(stored)
        image = with_channels(upright, shape.channels)
    except UnidentifiedImageError:
        return Decoded(None, error="not an image")
    except Exception as error:  # Pillow's plugins raise whatever a damaged file makes them stumble over
        return Decoded(None, error=f"{error}" or type(error).__name__)
    height, width = shape.image_size
    if shape.crop is not None:
        if shape.crop > min(image.size):
            return Decoded(None, error=f"{image.width}x{image.height}, too small for data.crop={shape.crop}")
        left, top = (image.width - shape.crop) // 2, (image.height - shape.crop) // 2
        image = image.crop((left, top, left + shape.crop, top + shape.crop))
    if shape.center_crop:
        fitted = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    else:
        fitted = image.resize((width, height), Image.Resampling.LANCZOS)
    pixels = np.asarray(fitted).reshape(height, width, shape.channels).transpose(2, 0, 1)
    return Decoded(pixels, mode, *image.size)


def with_channels(image: Image.Image, channels: int) -> Image.Image:
    """`image` in 8 bits: grey, RGB or RGBA. What is transparent becomes white where no alpha is wanted."""
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip
        levels = np.clip(np.rint(np.asarray(image, dtype=np.float64) / 257), 0, 255)
        image = Image.fromarray(levels.astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if channels != 4:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(MODES[channels])


class Survey:
    """What is odd about the files read so far."""

    def __init__(self, channels: int) -> None:
        self._mode = MODES[channels]
        self.unreadable: list[str] = []
        self._modes: list[str] = []
        self._sizes: list[tuple[str, str]] = []

    def add(self, name: str, decoded: Decoded) -> None:
        """Note one file."""
        if decoded.pixels is None:
            self.unreadable.append(f"{name} ({decoded.error})")
            return
        if decoded.mode != self._mode:
            self._modes.append(f"{name} ({decoded.mode})")
        self._sizes.append((name, f"{decoded.width}x{decoded.height}"))

    def findings(self) -> list[str]:
        """A line for each kind of oddity among the readable files."""
        lines = []
        if self._modes:
            lines.append(f"converted to {self._mode}: {listed(self._modes)}")
        sizes = Counter(size for _, size in self._sizes)
        if len(sizes) > 1:
            usual = sizes.most_common(1)[0][0]
            odd = [f"{name} ({size})" for name, size in self._sizes if size != usual]
            lines.append(f"of another size than most ({usual}), all are brought to one: {listed(odd)}")
        return lines


def listed(entries: list[str]) -> str:
    """The count, and the first few."""
    more = f", and {len(entries) - SHOWN} more" if len(entries) > SHOWN else ""
    noun = "file" if len(entries) == 1 else "files"
    return f"{len(entries)} {noun}: {', '.join(entries[:SHOWN])}{more}"


def decode_all(source: Source, names: list[str], shape: Shape) -> Iterator[tuple[str, Decoded]]:
    """Every file in order, decoded by threads, under a progress bar."""

    def read(name: str) -> Decoded:
        try:
            content = source.read(name)
        except Exception as error:  # a zip entry with a wrong checksum, an encrypted one, a file without permission
            return Decoded(None, error=f"{error}" or type(error).__name__)
        return decode(content, shape)

    with ThreadPool(min(THREADS, os.cpu_count() or 1)) as pool:
        decoded = pool.imap(read, names, chunksize=AT_ONCE)
        yield from zip(names, track(decoded, "Reading images", total=len(names)), strict=True)


class ArrayWriter:
    """A context that writes a .npy of images whose number is known only at its end, digesting the pixels on the way."""

    def __init__(self, path: Path, sample_shape: tuple[int, ...]) -> None:
        self._file = path.open("wb")
        self._sample_shape, self._count = sample_shape, 0
        self.sha256 = hashlib.sha256()

    def __enter__(self) -> "ArrayWriter":
        self._write_header()
        return self

    def add(self, pixels: np.ndarray) -> None:
        """Append one uint8 image."""
        content = pixels.tobytes()
        self._file.write(content)
        self.sha256.update(content)
        self._count += 1

    def __exit__(self, *raised: object) -> None:
        with self._file:
            self._file.seek(0)
            self._write_header()  # NumPy's headers leave room for a longer first axis

    def _write_header(self) -> None:
        shape = (self._count, *self._sample_shape)
        np.lib.format.write_array_header_1_0(self._file, {"descr": "|u1", "fortran_order": False, "shape": shape})
