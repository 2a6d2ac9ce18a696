"""What a translator is given of a person's files: pictures of any size, their transparency, the holes in them."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from gan_lab.data import label_maps, pair_files
from gan_lab.data.archives import ArchiveSource, open_source
from gan_lab.data.image_files import FULL, MODES, UPPER_OF_12, Decoded, opened, reason_of
from gan_lab.data.sources import Source, file_stamps, is_image

TWELVE_BITS = 4095


class Picture(NamedTuple):
    """One source.

    Attributes:
        pixels: (H, W, C') uint8, upright, in sRGB.
        alpha: (H, W) uint8, 0 where nothing is to be seen; None where the file has no transparency.
        size: (height, width) of the file's own, upright.
        remarks: what a person should know about how it was read.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    size: tuple[int, int]
    remarks: list[str]


class OneFile(Source):
    """A single image file, as if it were alone in its folder."""

    def __init__(self, path: Path) -> None:
        self._path, self.title, self.place = path, path.stem, str(path)

    def stamps(self) -> list[Any]:
        """See `Source`."""
        return file_stamps(self._path)

    def names(self) -> list[str]:
        """See `Source`."""
        return [self._path.name]

    def read(self, name: str) -> bytes:
        """See `Source`."""
        return self._path.read_bytes()


def pictures_at(key: str, place: str) -> Source:
    """The image files of a folder or a zip at any depth, or the one that is there.

    Args:
        key: as a person has typed it, for messages.
        place: what was typed.
    Raises:
        ValueError: there is nothing of the kind.
    """
    path = Path(place)
    if path.is_file() and is_image(path.name):
        return OneFile(path)
    if not path.exists():
        raise ValueError(f"{key}={place} does not exist; give a picture, a folder or a zip of pictures")
    source = open_source(path, key)
    try:
        names = source.names()
    except ValueError as error:  # which names the key of a data set
        raise ValueError(f"{key}={place} is neither a picture, nor a folder or a zip of pictures") from error
    if not names:
        kind = "zip or tar" if isinstance(source, ArchiveSource) else "folder"
        raise ValueError(f"{key}={place} is a {kind} without pictures; convert to .png what is one")
    return source


def read_picture(content: bytes, channels: int, image_size: Sequence[int] | None = None) -> Picture:
    """Read a source.

    Grey becomes colours of equal levels and colours become their luma, as the network wants them. Colours that shine
    through stay as they are, since their transparency is carried beside them; where nothing is seen there is white, as
    in training.

    Args:
        content: of the file.
        channels: 1, 3 or 4 (with alpha), as the network wants them.
        image_size: (height, width) to which it is squeezed, by Lanczos; None for its own.
    Raises:
        ValueError: the file cannot be read.
    """
    try:
        image, about = opened(content, {})
        alpha, size = None, (image.height, image.width)
        has_alpha = image.has_transparency_data
        if has_alpha:
            image = image.convert("RGBA")
        if image_size is not None:
            if image.mode not in ("L", "RGB", "RGBA"):
                image = image.convert("RGB")
            image = image.resize((image_size[1], image_size[0]), Image.Resampling.LANCZOS)
        if has_alpha:
            alpha = np.array(image.getchannel("A"))
        if alpha is not None and channels != 4:
            image = image.convert("RGB")  # without alpha, and with all colours as they are
            image.paste((255, 255, 255), mask=Image.fromarray(np.equal(alpha, 0)))
        pixels = np.array(image.convert(MODES[channels])).reshape(image.height, image.width, channels)
    except Exception as error:
        raise ValueError(reason_of(error)) from error
    return Picture(pixels, alpha, size, [*about.remarks, *dark(about)])


def read_label_map(content: bytes, labels: label_maps.Labels, image_size: Sequence[int] | None = None) -> Picture:
    """Read a source that is a label map.

    Args:
        content: of the file.
        labels: what its ids mean.
        image_size: (height, width) to which it is squeezed, to the nearest pixel; None for its own.
    Returns:
        `pixels` (H, W, 1): ids, see `gan_lab.data.label_maps.opened`.
    Raises:
        ValueError: the file cannot be read, or is no such label map.
    """
    try:
        image, _ = label_maps.opened(content, labels)
    except Exception as error:
        raise ValueError(reason_of(error)) from error
    size = (image.height, image.width)
    if image_size is not None:
        image = image.resize((image_size[1], image_size[0]), Image.Resampling.NEAREST)
    return Picture(np.array(image)[..., None], None, size, [])


def dark(seen: Decoded) -> list[str]:
    """A remark on a picture of 16 bits that uses so few of them that it is nearly black."""
    limit = UPPER_OF_12 if seen.upper_only else TWELVE_BITS
    if seen.peak is None or not 0 < seen.peak <= limit:
        return []
    most = 255 if seen.upper_only else FULL
    return [f"nearly black: no level is above {seen.peak} of {most}; if it has 12 bits, or 8, convert it to 8 bits"]


def shrunk_hole(hole: np.ndarray, image_size: Sequence[int]) -> np.ndarray:
    """A hole brought to another size: each pixel into which some of it falls.

    Args:
        hole: (H, W) bool.
        image_size: (height, width).
    """
    levels = Image.fromarray(hole.astype(np.float32)).resize((image_size[1], image_size[0]), Image.Resampling.BOX)
    return np.asarray(levels) > 0


def by_stem(key: str, source: Source) -> dict[str, str]:
    """Name without extension -> name, of all files of `source`.

    Raises:
        ValueError: two differ by their extension alone.
    """
    found = pair_files.by_stem(source.names())
    if twice := [name for names in found.values() if len(names) > 1 for name in names]:
        raise ValueError(f"{key} has {', '.join(twice[:10])}, which differ by their extension alone; keep one of each")
    return {stem: names[0] for stem, names in found.items()}


def stem(name: str) -> str:
    """A relative path without its extension."""
    return str(PurePosixPath(name).with_suffix(""))


def image_of(made: np.ndarray, alpha: np.ndarray | None) -> Image.Image:
    """What a network has made as an image to be saved.

    Args:
        made: (H, W, C) uint8, C 1, 3 or 4.
        alpha: (H', W') uint8 of the source, brought to H x W and carried where the network has made none; None: opaque.
    """
    image = Image.fromarray(made[..., 0] if made.shape[2] == 1 else made)
    if alpha is not None and made.shape[2] != 4:
        image.putalpha(Image.fromarray(alpha).resize(image.size, Image.Resampling.BICUBIC))
    return image
