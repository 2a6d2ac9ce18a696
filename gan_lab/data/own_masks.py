"""Files of pictures with masks of their own: which mask goes with which picture, and all of them decoded together."""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from gan_lab.data.holes import WHITE, HoleFacts, HoleRule, alpha_of, hole_at, mask_levels
from gan_lab.data.image_files import Decoded, Shape, fitted, opened, reason_of, with_channels
from gan_lab.data.pair_files import alike, by_stem
from gan_lab.data.sources import Source, line

MASK_OF = re.compile(r"(?P<picture>.+)_mask\d*")  # without extension: a mask of the picture of that name, as LaMa's
MOST = 8  # masks of a picture: a bit of a byte each
LENGTH_BYTES = 8  # before what tells the parts of a picture's content


class PicturesWithMasks(Source):
    """Pictures and the masks of each, by their paths without extension: `x` and `x_mask`, `x_mask001`, .. belong to x.

    A picture's content is its own file and all of its masks'.

    Args:
        pictures: where they lie.
        masks: where those lie; `pictures` itself where both lie in one place.
    Attributes:
        unmatched: what has no partner, a line for each kind.
    """

    def __init__(self, pictures: Source, masks: Source) -> None:
        self._pictures, self._masks = pictures, masks
        self._parts = (pictures,) if pictures is masks else (pictures, masks)
        self.title, self.place = pictures.title, " and ".join(part.place for part in self._parts)
        stems = by_stem(pictures.names())
        if pictures is masks:
            stems = {stem: names for stem, names in stems.items() if _picture_of(stem, stems) in (None, stem)}
        self._masks_of: dict[str, list[str]] = {}
        alone = []
        for stem, names in by_stem(masks.names()).items():
            picture = _picture_of(stem, stems)
            if pictures is masks and stem in stems:
                continue
            if picture is None:
                alone += names
            else:
                self._masks_of.setdefault(picture, []).extend(names)
        self._files = {
            names[0]: self._masks_of[stem]
            for stem, names in sorted(stems.items(), key=lambda item: item[1])
            if len(names) == 1 and stem in self._masks_of
        }
        without = [name for stem, names in stems.items() if stem not in self._masks_of for name in names]
        doubled = [name for names in stems.values() if len(names) > 1 for name in names]
        self.unmatched = [
            *line("pictures without a mask", without),
            *line("masks without a picture", alone),
            *line("pictures that differ by extension alone", doubled),
        ]

    def stamps(self) -> list[Any]:
        """See `Source`."""
        return [part.stamps() for part in self._parts]

    def names(self) -> list[str]:
        """See `Source`: of the pictures that have masks."""
        return list(self._files)

    def read(self, name: str) -> bytes:
        """See `Source`: of picture and masks, with a head that says how long each of them is; see `unpacked`."""
        masks = {mask: self._masks.read(mask) for mask in self._files[name][:MOST]}
        picture = self._pictures.read(name)
        head = json.dumps([len(picture), [[mask, len(content)] for mask, content in masks.items()]]).encode()
        return b"".join([len(head).to_bytes(LENGTH_BYTES, "big"), head, picture, *masks.values()])

    def outline(self) -> list[Any]:
        """See `Source`."""
        return [part.outline() for part in self._parts]

    def labels(self) -> tuple[str, bytes] | None:
        """See `Source`: of the pictures."""
        return self._pictures.labels()

    def findings(self) -> list[str]:
        """See `Source`."""
        many = [name for name, masks in self._files.items() if len(masks) > MOST]
        return [
            *(f"skipped, {unmatched}" for unmatched in self.unmatched),
            *line(f"pictures with more than {MOST} masks, of which the first {MOST} are taken", many),
            *(f"{part.place}: {finding}" for part in self._parts for finding in part.findings()),
        ]

    def notes(self) -> list[str]:
        """See `Source`."""
        return [f"{part.place}: {note}" for part in self._parts for note in part.notes()]


def _picture_of(stem: str, stems: Mapping[str, Any]) -> str | None:
    """The one of `stems` to which a mask of this name belongs; None where there is none."""
    match = MASK_OF.fullmatch(stem)
    if match is not None and match["picture"] in stems:
        return match["picture"]
    return stem if stem in stems else None


def unpacked(content: bytes) -> tuple[bytes, dict[str, bytes]]:
    """A picture's file, and those of its masks by their names: of what `PicturesWithMasks.read` gives."""
    start = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "big")
    length, lengths = json.loads(content[LENGTH_BYTES:start])
    picture, start = content[start : start + length], start + length
    masks = {}
    for name, length in lengths:
        masks[name], start = content[start : start + length], start + length
    return picture, masks


class MaskedShape(NamedTuple):
    """How pictures with masks are wanted.

    Attributes:
        shape: of the pictures.
        rule: which pixels of a mask are hole, and which masks are taken.
        by_alpha: whether what is transparent is hole, of files without masks.
    """

    shape: Shape
    rule: HoleRule
    by_alpha: bool


def decode_masked(content: bytes, wanted: MaskedShape, whites: Mapping[str, int]) -> Decoded:
    """Read one picture with its holes.

    Args:
        content: of a file, or as `PicturesWithMasks.read` gives it.
        wanted: shapes and the rule.
        whites: see `image_files.decode`.
    Returns:
        `pixels` (C + 1, H, W): the picture, and the holes that are taken, one in each bit from the lowest on. No pixels
        and no error where none is.
    """
    try:
        if wanted.by_alpha:
            image, about = opened(content, whites)
            alpha, image = seen_below(image)
            shown, facts = hole_at(WHITE - alpha, wanted.shape, wanted.rule)
            holes = [(shown, facts)]
        else:
            picture, masks = unpacked(content)
            image, about = opened(picture, whites)
            holes = [hole_beside(name, mask, image, wanted) for name, mask in masks.items()]
        pixels = fitted(with_channels(image, wanted.shape.channels), wanted.shape)
    except Exception as error:  # Pillow's plugins raise whatever a damaged file makes them stumble over
        return Decoded(None, error=reason_of(error))
    about = about._replace(width=image.width, height=image.height, holes=tuple(facts for _, facts in holes))
    taken = [shown for shown, facts in holes if wanted.rule.takes(facts.share)]
    if not taken:
        return about
    plane = np.bitwise_or.reduce([shown.astype(np.uint8) << bit for bit, shown in enumerate(taken)])
    return about._replace(pixels=np.concatenate([pixels, plane[None]]))


def seen_below(image: Image.Image) -> tuple[np.ndarray, Image.Image]:
    """How opaque a picture is, and all of its colours, also where it is transparent.

    Returns:
        (H, W) uint8, and the picture without transparency.
    Raises:
        ValueError: it has no transparency, or one colour below all that is clear.
    """
    if not image.has_transparency_data:
        raise ValueError("no transparency, which is to say where its hole is")
    alpha = alpha_of(image)
    colours = image.convert("RGBA").convert("RGB")
    below = np.asarray(colours)[alpha == 0]
    if len(below) > 1 and (below == below[0]).all():
        raise ValueError(
            f"nothing but the colour {below[0].tolist()} below what is transparent, so that there is no picture to "
            "learn from; save colours below transparency, or give whole pictures and masks beside them"
        )
    return alpha, colours


def hole_beside(name: str, content: bytes, picture: Image.Image, wanted: MaskedShape) -> tuple[np.ndarray, HoleFacts]:
    """The hole of one of a picture's masks.

    Raises:
        ValueError: it cannot be read, or is of another shape than the picture.
    """
    try:
        levels = mask_levels(content)
    except ValueError as error:
        raise ValueError(f"its mask {name}: {error}") from error
    height, width = levels.shape
    if not alike((width, height), picture.size):
        raise ValueError(
            f"its mask {name} is {width}x{height}, another shape than the picture's {picture.width}x{picture.height}"
        )
    shown, facts = hole_at(levels, wanted.shape, wanted.rule, name)
    other = "" if (width, height) == picture.size else f"{picture.width}x{picture.height}"
    return shown, facts._replace(other_size=other)
