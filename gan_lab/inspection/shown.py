"""Pictures of a page: as the network sees them, what is cut away, and doubles side by side; each as data."""

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from gan_lab.data.image_files import Shape, decode, opened, with_channels
from gan_lab.data.sources import spread
from gan_lab.inspection.survey import Looked, Seen

PIXELS = 2_000_000  # of all pictures of the contact sheet together, which bounds the page
FEWEST, MOST = 12, 96  # pictures of it
CROPS, DOUBLES, OF_A_GROUP = 8, 48, 4  # pictures, groups, and pictures of a group that are shown
SIDE = 240  # pixels of the longer side of a picture that is shown whole
SLIGHT = 0.02  # share of a picture whose loss is not worth a look
SHADE = np.array([200, 30, 60], np.float32)  # over what is cut away


def contact_sheet(looked: Looked, shape: Shape) -> list[dict[str, Any]]:
    """Pictures evenly spread over all, made by the code of training."""
    height, width = shape.image_size
    count = min(MOST, max(FEWEST, PIXELS // (height * width)))
    known = {one.name: one for one in looked.readable}
    return each([known[name] for name in spread(list(known), count)], lambda one: as_trained(looked, one, shape))


def as_trained(looked: Looked, one: Seen, shape: Shape) -> dict[str, Any]:
    """A picture as the network sees it."""
    pixels = decode(looked.source.read(one.name), shape, looked.whites).pixels
    if pixels is None:
        raise ValueError(f"{one.name} cannot be read any more")
    picture = pixels.transpose(1, 2, 0)
    return embedded(Image.fromarray(picture[..., 0] if shape.channels == 1 else picture), one.name)


def cropped(looked: Looked, shape: Shape) -> list[dict[str, Any]]:
    """Pictures of which training cuts most away, whole, with that shaded; none where pictures are squeezed."""
    if not shape.center_crop:
        return []
    losing = sorted(looked.readable, key=lambda one: -lost(one.size, shape.image_size))
    chosen = [one for one in losing if lost(one.size, shape.image_size) > SLIGHT][:CROPS]
    return each(chosen, lambda one: with_shade(looked, one, shape))


def with_shade(looked: Looked, one: Seen, shape: Shape) -> dict[str, Any]:
    """A whole picture, red where it is cut away."""
    image = whole(looked, one, shape.channels).convert("RGB")
    pixels = np.asarray(image).astype(np.float32)
    left, top, right, bottom = (round(edge) for edge in box_of(image.size, shape.image_size))
    kept = pixels[top:bottom, left:right].copy()
    pixels = 0.45 * pixels + 0.55 * SHADE
    pixels[top:bottom, left:right] = kept
    caption = f"{one.name}, {one.decoded.width}x{one.decoded.height}: {100 * lost(one.size, shape.image_size):.0f} %"
    return embedded(Image.fromarray(pixels.round().astype(np.uint8)), caption)


def box_of(size: tuple[int, int], image_size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what is kept of a picture of (width, height) `size`, as `ImageOps.fit` has it."""
    width, height = size
    scale = min(width / image_size[1], height / image_size[0])
    kept_width, kept_height = scale * image_size[1], scale * image_size[0]
    left, top = (width - kept_width) / 2, (height - kept_height) / 2
    return left, top, left + kept_width, top + kept_height


def lost(size: tuple[int, int], image_size: tuple[int, int]) -> float:
    """The share of a picture that is cut away."""
    left, top, right, bottom = box_of(size, image_size)
    return 1 - (right - left) * (bottom - top) / (size[0] * size[1])


def side_by_side(looked: Looked, channels: int) -> list[list[dict[str, Any]]]:
    """Groups of pictures that are one, the largest groups first; of each the first few."""
    groups = sorted(looked.groups, key=len, reverse=True)[:DOUBLES]

    def shown(one: Seen) -> dict[str, Any]:
        size = f"{one.decoded.width}x{one.decoded.height} {one.decoded.format}"
        return embedded(whole(looked, one, channels), f"{one.name}, {size}")

    return [each(group[:OF_A_GROUP], shown) for group in groups]


def whole(looked: Looked, one: Seen, channels: int) -> Image.Image:
    """A picture as it is read, uncut, of `SIDE` pixels at most."""
    image, _ = opened(looked.source.read(one.name), looked.whites)
    image = with_channels(image, channels)
    factor = SIDE / max(image.size)
    size = max(1, round(factor * image.width)), max(1, round(factor * image.height))
    return image if factor >= 1 else image.resize(size, Image.Resampling.LANCZOS)


def each(chosen: list[Seen], made: Callable[[Seen], dict[str, Any]]) -> list[dict[str, Any]]:
    """What is made of each, but for files that have gone since they were looked at."""
    pictures = []
    for one in chosen:
        try:
            pictures.append(made(one))
        except (OSError, ValueError):
            continue
    return pictures


def embedded(image: Image.Image, caption: str) -> dict[str, Any]:
    """A picture as data within a page."""
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True, icc_profile=None)  # pixels are in sRGB by now
    source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    return {"source": source, "width": image.width, "height": image.height, "caption": caption}
