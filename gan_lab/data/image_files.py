"""Image files, decoded: each as uint8 pixels, what is odd about them, and all of them as one array."""

import hashlib
import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from rich.progress import track

from gan_lab.data.sources import Source, checksum, line, listed

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
SPACES = {"1": ("L", "RGB"), "L": ("L", "RGB"), "LA": ("L", "RGB"), "CMYK": ("CMYK",)}  # of profiles; else RGB
FULL = 65535  # white of 16 bits
WHITES = (255, 4095, FULL)  # of 8, 12 and 16 bits: the least of them that nothing exceeds
UPPER_OF_12 = 15  # the most that is left of 12 bits in 16 where the lower 8 are dropped
PROBE = 17  # levels of each colour by which a profile is compared with sRGB
NEAR = 2  # levels by which a profile may differ from sRGB and still be it
BIT_DEPTH, BITS_PER_SAMPLE = 24, 258  # where a PNG and a TIFF have it: a byte of the file, a tag
ORIENTATION, TURNS = 0x0112, range(2, 9)  # of EXIF; all but 1, which is upright
THREADS = 16  # at most; Pillow decodes outside the interpreter's lock
AT_ONCE = 32  # files that a thread takes at a time
UNREAD = -1  # in place of the checksum of a file that could not be read


class Shape(NamedTuple):
    """How images are wanted: (height, width), channels, and whether what sticks out is cut off or squeezed in.

    Of a `crop` there is only the square of so many pixels in the middle.
    """

    image_size: tuple[int, int]
    channels: int
    center_crop: bool
    crop: int | None = None


class Decoded(NamedTuple):
    """One file.

    Attributes:
        pixels: (C, H, W) uint8; None where there is an error.
        mode, width, height: the file's own, upright.
        error: why it cannot be read.
        checksum: of its bytes; `UNREAD` where there are none.
        peak: the greatest level of one that has more than 8 bits.
        upper_only: whether Pillow drops all but the upper 8 bits, which `peak` then is of.
        remarks: what was done about it, as a heading of a report.
        source: of a pair, what there is to say about the source; the rest is of the target, but for `pixels` of both.
        holes: what there is to say about each mask that belongs to it; see `gan_lab.data.holes`.
        ids: of a label map, id -> how many pixels have it.
        format: Pillow's name of the file's, such as PNG, whatever extension it has.
        bits: of a channel in the file.
        turned: whether its EXIF orientation has turned or mirrored it.
    """

    pixels: np.ndarray | None
    mode: str = ""
    width: int = 0
    height: int = 0
    error: str = ""
    checksum: int = UNREAD
    peak: int | None = None
    upper_only: bool = False
    remarks: tuple[str, ...] = ()
    source: "Decoded | None" = None
    holes: tuple[Any, ...] = ()
    ids: Mapping[int, int] | None = None
    format: str = ""
    bits: int = 8
    turned: bool = False


def decode(content: bytes, shape: Shape, whites: Mapping[str, int] = MappingProxyType({})) -> Decoded:
    """Read one image: the first of several; upright by its EXIF orientation; in sRGB; resized by Lanczos.

    Args:
        content: of the file.
        shape: as it is wanted.
        whites: see `opened`.
    """
    try:
        image, about = opened(content, whites)
        image = with_channels(image, shape.channels)
    except Exception as error:
        return Decoded(None, error=reason_of(error))
    if shape.crop is not None:
        if shape.crop > min(image.size):
            return Decoded(None, error=f"{image.width}x{image.height}, too small for data.crop={shape.crop}")
        left, top = (image.width - shape.crop) // 2, (image.height - shape.crop) // 2
        image = image.crop((left, top, left + shape.crop, top + shape.crop))
    return about._replace(pixels=fitted(image, shape), width=image.width, height=image.height)


class WholeShape(NamedTuple):
    """How pictures are wanted that keep their shape.

    Attributes:
        channels: 1 grey, 3 colours, 4 with alpha.
        shorter_side: in pixels, to which each is resized; None for its own.
        least: (height, width) to which smaller ones are enlarged; None leaves them as they are.
    """

    channels: int
    shorter_side: int | None
    least: tuple[int, int] | None


def decode_whole(content: bytes, shape: WholeShape, whites: Mapping[str, int]) -> Decoded:
    """Read one image as `decode` does, without a change of its shape.

    Args:
        content, whites: see `decode`.
        shape: as it is wanted.
    Returns:
        `pixels` (H, W, C).
    """
    try:
        image, about = opened(content, whites)
        image = with_channels(image, shape.channels)
        own = about._replace(width=image.width, height=image.height)
        if shape.shorter_side is not None:
            image = scaled(image, shape.shorter_side / min(image.size))
        if shape.least is not None and (image.height < shape.least[0] or image.width < shape.least[1]):
            factor = max(shape.least[0] / image.height, shape.least[1] / image.width)
            image = scaled(image, factor)
            own = own._replace(remarks=(*own.remarks, f"enlarged, smaller than {shape.least[0]}x{shape.least[1]}"))
    except Exception as error:  # Pillow's plugins raise whatever a damaged file makes them stumble over
        return Decoded(None, error=reason_of(error))
    return own._replace(pixels=np.asarray(image).reshape(image.height, image.width, shape.channels))


def scaled(image: Image.Image, factor: float) -> Image.Image:
    """An image that is so many times as high and as wide, by Lanczos; itself where that is once."""
    size = round(image.width * factor), round(image.height * factor)
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


def opened(content: bytes, whites: Mapping[str, int]) -> tuple[Image.Image, Decoded]:
    """The image of a file, of 8 bits, upright and in sRGB, and what there is to say about it, without pixels.

    Args:
        content: of the file.
        whites: for each kind of grey above 8 bits (see `grey_kind`) the level that is white; 65535 where it is absent.
    Raises:
        Exception: whatever a damaged file makes Pillow's plugins stumble over; see `reason_of`.
    """
    remarks: list[str] = []
    with Image.open(io.BytesIO(content)) as stored:
        mode, kind = stored.mode, grey_kind(stored.mode)
        # A photograph of several frames (MPO) has the others for depth or a preview.
        if getattr(stored, "is_animated", False) and stored.format != "MPO":
            remarks.append("of several images in one file the first is taken")
        bits = bits_of(stored, content)
        upper_only = kind is None and bits > 8
        about = Decoded(
            None, mode, format=stored.format or "", bits=bits, turned=stored.getexif().get(ORIENTATION, 1) in TURNS
        )
        upright = ImageOps.exif_transpose(stored)
    peak = None
    if kind is not None:
        peak = int(np.asarray(upright).max())
        upright = eight_bits(upright, whites.get(kind, FULL))
    elif upper_only:
        peak = int(np.asarray(upright.convert("RGB")).max())
        upright = with_upper_transparency(upright)
    image = in_srgb(upright, stored.info.get("icc_profile"), remarks)
    width, height = image.size
    return image, about._replace(width=width, height=height, peak=peak, upper_only=upper_only, remarks=tuple(remarks))


def reason_of(error: Exception) -> str:
    """Why a file cannot be read, for a report."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    return f"{error}" or type(error).__name__


def fitted(image: Image.Image, shape: Shape, resampling: Image.Resampling = Image.Resampling.LANCZOS) -> np.ndarray:
    """(C, H, W) uint8: an image that has the channels of `shape`, cut or squeezed to its size."""
    height, width = shape.image_size
    if shape.center_crop:
        brought = ImageOps.fit(image, (width, height), resampling)
    else:
        brought = image.resize((width, height), resampling)
    return np.asarray(brought).reshape(height, width, shape.channels).transpose(2, 0, 1)


def grey_kind(mode: str) -> str | None:
    """`16`, `32` or `float`: bits of a mode of grey that Pillow would clip to 255; None for other modes."""
    return "16" if mode.startswith("I;16") else {"I": "32", "F": "float"}.get(mode)


def bits_of(image: Image.Image, content: bytes) -> int:
    """Bits of a channel in the file, of which Pillow keeps the upper 8 where there are colours or alpha."""
    if image.format == "PNG":
        return content[BIT_DEPTH]
    if image.format == "TIFF":
        return max(image.tag_v2.get(BITS_PER_SAMPLE, (8,)))  # type: ignore[attr-defined]
    return 8


def eight_bits(image: Image.Image, white: int) -> Image.Image:
    """Grey of 16 or 32 bits in 8, with alpha where one level is transparent.

    Raises:
        ValueError: floating-point levels, or some below 0 or above 65535, whose black and white nobody knows.
    """
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known black and white: convert it to 8 or 16 bits")
    levels = np.asarray(image).astype(np.int64)
    if levels.min() < 0 or levels.max() > FULL:
        raise ValueError(
            f"levels from {levels.min()} to {levels.max()} have no known white: convert it to 8 or 16 bits"
        )
    grey = Image.fromarray(np.rint(levels * (255 / white)).clip(0, 255).astype(np.uint8))
    transparent = image.info.get("transparency")
    if transparent is not None:
        grey.putalpha(Image.fromarray(np.where(levels == transparent, 0, 255).astype(np.uint8)))
    return grey


def with_upper_transparency(image: Image.Image) -> Image.Image:
    """An image of 16 bits, read in 8, whose transparent colour is in 16 bits yet."""
    transparent = image.info.get("transparency")
    if isinstance(transparent, tuple):
        image.info["transparency"] = tuple(level >> 8 for level in transparent)
    return image


def in_srgb(image: Image.Image, profile: bytes | None, remarks: list[str]) -> Image.Image:
    """An image's colours in sRGB by the profile it comes with; itself where there is none, or it is sRGB.

    Args:
        image: of 8 bits.
        profile: ICC.
        remarks: gets what was done.
    """
    if not profile:
        return image
    remark, transform, space = to_srgb(profile)
    if transform is not None and space not in SPACES.get(image.mode, ("RGB",)):
        remark, transform = f"of mode {image.mode} with an ICC profile for {space}, taken as sRGB", None
    if remark:
        remarks.append(remark)
    if transform is None:
        return image
    if not image.has_transparency_data:
        return transform.apply(image.convert(space))
    clear = image.convert("RGBA")
    opaque = transform.apply(clear.convert(space))
    opaque.putalpha(clear.getchannel("A"))
    return opaque


@lru_cache(maxsize=64)
def to_srgb(profile: bytes) -> tuple[str, Any, str]:
    """What is to be said about an ICC profile, the transform by it to RGB, and the mode that this takes.

    There is no transform where it cannot be made, and none for a profile that is sRGB to within `NEAR` levels: pixels
    stay as they are.
    """
    try:
        from PIL import ImageCms

        given, wanted = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        space = given.profile.xcolor_space.strip().replace("GRAY", "L")
        intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
        transform = ImageCms.buildTransform(given, wanted, space, "RGB", intent, flags)
    except ImportError:
        return "with an ICC profile, taken as sRGB as this Pillow has no LittleCMS", None, ""
    except Exception:  # of a profile that is damaged, or for colours that images have not
        return "with an ICC profile that cannot be read, taken as sRGB", None, ""
    levels = np.linspace(0, 255, PROBE).round().astype(np.uint8)
    probes = {
        "L": levels[None],
        "RGB": np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(PROBE, -1, 3),
    }
    if space in probes:
        probe = Image.fromarray(probes[space])
        moved = np.asarray(transform.apply(probe), dtype=int) - np.asarray(probe.convert("RGB"), dtype=int)
        if abs(moved).max() <= NEAR:
            return "", None, space
    return "brought to sRGB by their ICC profiles", transform, space


def with_channels(image: Image.Image, channels: int) -> Image.Image:
    """`image` of 8 bits as grey, RGB or RGBA. What is transparent becomes white where no alpha is wanted."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if channels != 4:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(MODES[channels])


class Survey:
    """What is odd about the files read so far.

    Args:
        channels: as images are wanted.
        whites: see `decode`.
    Attributes:
        unreadable: names of the files, with the errors.
        checksums: of all files in order.
        modes, sizes: how many readable files have which.
        brought: what is done where sizes differ.
    """

    brought = "all are brought to one"

    def __init__(self, channels: int, whites: Mapping[str, int]) -> None:
        self._mode, self._whites = MODES[channels], whites
        self.unreadable: list[str] = []
        self.checksums: list[int] = []
        self.modes: Counter[str] = Counter()
        self.sizes: Counter[str] = Counter()
        self._converted: list[str] = []
        self._named_sizes: list[tuple[str, str]] = []
        self._remarks: dict[str, list[str]] = {}
        self._peaks: dict[str, int] = {}
        self._grey: dict[str, list[str]] = {}
        self._upper_only: list[str] = []
        self._upper_peak = 0

    def add(self, name: str, decoded: Decoded) -> None:
        """Note one file."""
        self.checksums.append(decoded.checksum)
        if decoded.pixels is None:
            self.unreadable.append(f"{name} ({decoded.error})")
            return
        if decoded.mode != self._mode:
            self._converted.append(f"{name} ({decoded.mode})")
        size = f"{decoded.width}x{decoded.height}"
        self._named_sizes.append((name, size))
        self.modes[decoded.mode] += 1
        self.sizes[size] += 1
        for remark in decoded.remarks:
            self._remarks.setdefault(remark, []).append(name)
        if decoded.peak is None:
            return
        if decoded.upper_only:
            self._upper_only.append(name)
            self._upper_peak = max(self._upper_peak, decoded.peak)
        elif kind := grey_kind(decoded.mode):
            self._grey.setdefault(kind, []).append(name)
            self._peaks[kind] = max(self._peaks.get(kind, 0), decoded.peak)

    def whites(self) -> dict[str, int]:
        """For each kind of grey above 8 bits the white of 8, 12 or 16 bits that no file exceeds, but for those of 16.

        Files of 16 bits of which none uses the upper 4 come from a camera of 12 bits, or fewer.
        """
        whites = {kind: min(white for white in WHITES if white >= peak) for kind, peak in self._peaks.items()}
        return {kind: white for kind, white in whites.items() if white != FULL}

    def facts(self) -> dict[str, Any]:
        """What is kept beside a decoded copy, as plain JSON values; nothing, unless a kind says otherwise."""
        return {}

    def notes(self) -> list[str]:
        """What else there is to say of the readable files, a line each."""
        return []

    def findings(self) -> list[str]:
        """A line for each kind of oddity among the readable files."""
        lines = [text for what, names in self.groups() for text in line(what, names)]
        return lines + self.findings_of_sizes()

    def groups(self) -> list[tuple[str, list[str]]]:
        """Each kind of oddity but for sizes, with the names of all files that have it, which may be none."""
        groups = [(f"converted to {self._mode}", self._converted)]
        for kind, white in self._whites.items():
            bits = f"{white.bit_length()} bits in files of {kind}"
            groups.append((f"{bits}: no level is above {self._peaks[kind]}, so {white} is white", self._grey[kind]))
        if 0 < self._upper_peak <= UPPER_OF_12:
            what = (
                "nearly black, colours of 12 bits in files of 16 of which the upper 8 are read; convert them to 8 bits"
            )
            groups.append((what, self._upper_only))
        return groups + list(self._remarks.items())

    def findings_of_sizes(self) -> list[str]:
        """A line where the readable files are of several sizes."""
        if len(self.sizes) < 2:
            return []
        usual = self.sizes.most_common(1)[0][0]
        odd = [f"{name} ({size})" for name, size in self._named_sizes if size != usual]
        return [f"of another size than most ({usual}), {self.brought}: {listed(odd)}"]


class SurveyOfAnySizes(Survey):
    """A survey of pictures that stay as large as they are."""

    def findings_of_sizes(self) -> list[str]:
        """None: they may be of any sizes."""
        return []


def decode_all(
    source: Source, names: list[str], decoder: Callable[[bytes], Decoded], *, large: bool
) -> Iterator[tuple[str, Decoded]]:
    """Every file in order, decoded by threads, under a progress bar.

    Args:
        large: whether pixels are so many that no more images are held at once than there are threads.
    """

    def read(name: str) -> Decoded:
        try:
            content = source.read(name)
        except Exception as error:  # a zip entry with a wrong checksum, an encrypted one, a file without permission
            return Decoded(None, error=reason_of(error))
        return decoder(content)._replace(checksum=checksum(content))

    yield from zip(names, in_threads(read, names, "Reading images", few=large), strict=True)


def checksums_of(
    source: Source, names: list[str], *, quietly: bool = False, title: str = "Comparing images with a decoded copy"
) -> list[int]:
    """The checksum of each file, read by threads; `UNREAD` for what cannot be read.

    Args:
        source: of the files `names`.
        quietly: without a progress bar.
        title: of the progress bar.
    """

    def read(name: str) -> int:
        try:
            return checksum(source.read(name))
        except Exception:  # as above: what it is shows when it is decoded
            return UNREAD

    if quietly:
        return [read(name) for name in names]
    return list(in_threads(read, names, title))


def in_threads(function: Any, names: list[str], title: str, *, few: bool = False) -> Iterator[Any]:
    """`function` of each name, in order, under a progress bar; with `few`, no more at once than there are threads."""
    threads = min(THREADS, os.cpu_count() or 1)
    with ThreadPool(threads) as pool:
        if few:
            parts = (names[first : first + threads] for first in range(0, len(names), threads))
            results: Iterable[Any] = chain.from_iterable(pool.map(function, part, chunksize=1) for part in parts)
        else:
            results = pool.imap(function, names, chunksize=AT_ONCE)
        yield from track(results, title, total=len(names))


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
