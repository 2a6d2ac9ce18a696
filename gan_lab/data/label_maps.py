"""Label maps: pictures whose pixels are the numbers of classes, read as they are and shown as a plane per class."""

import io
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from gan_lab.data.image_files import Decoded, Survey, bits_of
from gan_lab.data.sources import SHOWN

UNLABELLED = 255  # as ids are stored; so that there are at most as many others
LARGEST_ID = 65535
OF_NUMBERS = ("1", "L", "P", "I")  # modes of one channel, beside those of 16 bits
LOSSY = ("JPEG", "MPO", "JPEG2000", "WEBP", "AVIF")  # formats that change levels, or may
GOLDEN = 0.618034  # of the circle of hues between one id and the next: no two of a few are near each other


class NotIds(ValueError):
    """A file that is no such label map.

    Args:
        message: why.
        remedy: what can be done about it where data are chosen, to come after that.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class Labels(NamedTuple):
    """What the ids of a label map mean.

    Attributes:
        planes: N, from 1 to 255: ids 0 to N - 1 are those of classes, which have a plane each.
        unlabelled: ids of pixels about which nothing is known, within these or not.
    """

    planes: int
    unlabelled: tuple[int, ...] = ()


def as_labels(count: int | None, unlabelled: Sequence[int]) -> Labels | None:
    """Of `data.source_labels` and `data.unlabelled_ids`; None where sources are no label maps.

    Raises:
        ValueError: a value out of range, or the latter without the former.
    """
    if count is None:
        if unlabelled:
            raise ValueError(
                f"data.unlabelled_ids={list(unlabelled)} are of label maps; give data.source_labels=N, too"
            )
        return None
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= UNLABELLED:
        raise ValueError(f"data.source_labels must be a whole number from 1 to {UNLABELLED}, or null, got {count!r}")
    listed = isinstance(unlabelled, Sequence) and not isinstance(unlabelled, str)
    if not listed or any(type(one) is not int or not 0 <= one <= LARGEST_ID for one in unlabelled):
        raise ValueError(
            f"data.unlabelled_ids must be a list of ids from 0 to {LARGEST_ID}, [255] for example, got {unlabelled!r}"
        )
    return Labels(count, tuple(unlabelled))


def opened(content: bytes, labels: Labels) -> tuple[Image.Image, Decoded]:
    """The ids of a label map, and what there is to say about it, without pixels.

    Grey is read as it is stored, of any depth, and of a palette its numbers; neither colours nor a profile are heeded.

    Args:
        content: of the file.
        labels: what the ids mean.
    Returns:
        Mode L, upright: an id below N, or `UNLABELLED`.
    Raises:
        NotIds: colours, a format that changes levels, or ids that mean nothing.
        Exception: whatever a damaged file makes Pillow's plugins stumble over.
    """
    with Image.open(io.BytesIO(content)) as stored:
        if stored.format in LOSSY:
            raise NotIds(f"{stored.format} mixes ids where they meet; a label map is a PNG of ids, or of a palette")
        mode, depth = stored.mode, bits_of(stored, content)
        levels = levels_of(ImageOps.exif_transpose(stored))
    if mode == "L" and depth < 8:
        levels = levels // (255 // (2**depth - 1))  # Pillow spreads grey of 2 and 4 bits over 0 to 255
    counts = counted(levels, labels)
    stored_as = np.arange(LARGEST_ID + 1).astype(np.uint8)
    stored_as[list(labels.unlabelled)] = UNLABELLED
    image = Image.fromarray(stored_as[levels])
    return image, Decoded(None, mode, *image.size, ids=counts)


def levels_of(image: Image.Image) -> np.ndarray:
    """(H, W) of whole numbers from 0 to 65535: what a picture's pixels are.

    Raises:
        NotIds: they are others, colours, or partly transparent.
    """
    if image.mode in OF_NUMBERS or image.mode.startswith("I;16"):
        levels = np.asarray(image)
        if levels.dtype == np.bool_:
            return levels.astype(np.uint8)
        if levels.min() < 0 or levels.max() > LARGEST_ID:
            raise NotIds(f"levels from {levels.min()} to {levels.max()} are no ids, which go from 0 to {LARGEST_ID}")
        return levels
    red, green, blue, alpha = np.moveaxis(np.asarray(image.convert("RGBA")), 2, 0)
    if alpha.min() < 255:
        raise NotIds("it has transparency, and ids have none; save it as grey or with a palette")
    if not (np.array_equal(red, green) and np.array_equal(red, blue)):
        raise NotIds(
            "it has colours, and no palette of which they are numbers; save it with one",
            ", or leave data.source_labels out and give data.source_resize=nearest, by which it is of 3 channels",
        )
    return red


def counted(levels: np.ndarray, labels: Labels) -> dict[int, int]:
    """Id -> how many pixels have it.

    Raises:
        NotIds: an id is neither below N nor one of those that mean that nothing is known.
    """
    counts = np.bincount(levels.ravel())
    found = np.flatnonzero(counts).tolist()
    unknown = [one for one in found if one >= labels.planes and one not in labels.unlabelled]
    if unknown:
        shown, more = ",".join(map(str, unknown[:SHOWN])), ", and others," if len(unknown) > SHOWN else ""
        raise NotIds(
            f"ids {shown}{more} are not among 0 to {labels.planes - 1} of data.source_labels={labels.planes}",
            f"; raise that, or where they mean that nothing is known give data.unlabelled_ids=[{shown}]",
        )
    return {one: int(counts[one]) for one in found}


class LabelSurvey(Survey):
    """What is odd about label maps, and which ids they have.

    Args:
        labels: what the ids mean.
    """

    def __init__(self, labels: Labels) -> None:
        super().__init__(1, {})
        self._labels = labels
        self._pixels: Counter[int] = Counter()
        self._files: Counter[int] = Counter()

    def add(self, name: str, decoded: Decoded) -> None:
        """See `Survey`."""
        super().add(name, decoded._replace(mode=self._mode))  # whatever it was, ids were not converted
        self._pixels.update(decoded.ids or {})
        self._files.update(list(decoded.ids or {}))

    def notes(self) -> list[str]:
        """See `Survey`: which ids there are, in how many pixels and files."""
        pixels, unlabelled = self._pixels.total(), self._labels.unlabelled
        shares = [
            f"{one}{' unlabelled' * (one in unlabelled)} ({count / pixels:.2%}, {self._files[one]})"
            for one, count in sorted(self._pixels.items())
        ]
        about = "label ids, with their share of all pixels and the number of files"
        return [f"{about}: {', '.join(shares)}"] if shares else []

    def findings(self) -> list[str]:
        """See `Survey`."""
        count, found = self._labels.planes, super().findings()
        known = [one for one in self._pixels if one not in self._labels.unlabelled]
        if known and max(known) < count - 1:
            found.append(
                f"no id is above {max(known)}, so that some of data.source_labels={count} planes stay empty; "
                f"{max(known) + 1} would do"
            )
        if known and 0 not in self._pixels:
            found.append("no pixel has the id 0: if ids count from 1, plane 0 is empty")
        return found


def planes_of(ids: Tensor, count: int) -> Tensor:
    """A plane per class, as networks are given label maps.

    Args:
        ids: (N, 1, H, W) uint8 on any device, below `count` or `UNLABELLED`.
        count: of classes.
    Returns:
        (N, count, H, W) uint8 there: 255 in the plane of a pixel's id and 0 in the others, which are 1 and -1 of [-1,
        1]; 0 in all where nothing is known.
    """
    planes = torch.arange(count, dtype=torch.uint8, device=ids.device).view(-1, 1, 1)
    return (ids == planes).to(torch.uint8) * 255


def coloured(planes: Tensor) -> Tensor:
    """Planes as a picture for people, each class in its own colour of `colours`; black where nothing is known.

    Args:
        planes: (N, count, H, W) uint8; the class is that of the greatest, if it is in the upper half of levels.
    Returns:
        (N, 3, H, W) uint8 there.
    """
    strongest, ids = planes.max(dim=1)
    table = torch.from_numpy(colours(planes.shape[1])).to(planes.device)
    ids = torch.where(strongest < 128, len(table) - 1, ids)
    return table[ids].movedim(-1, 1)


@lru_cache
def colours(count: int) -> np.ndarray:
    """(count + 1, 3) uint8: a fixed colour for each id, whatever the count, and black at last."""
    numbers = np.arange(count)
    hue = numbers * GOLDEN % 1 * 6
    saturation, value = 1 - 0.3 * (numbers // 7 % 2), 1 - 0.25 * (numbers // 14 % 3)
    # Of HSV: each primary is at its least where the hue is far from it.
    away = (np.array([5, 3, 1]) + hue[:, None]) % 6
    least = np.minimum(away, 4 - away).clip(0, 1)
    table = value[:, None] * (1 - saturation[:, None] * least)
    return np.vstack([np.rint(255 * table), np.zeros((1, 3))]).astype(np.uint8)
