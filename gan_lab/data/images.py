"""Pixels: the one place where [-1, 1] becomes uint8 (by rounding) and back, and where arrays of images change size."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

RESIZE_BLOCK = 1024


def to_uint8(images: Tensor) -> Tensor:
    """Round images to the 256 levels of a file.

    Args:
        images: (...) floating point in [-1, 1] on any device; values outside are clamped.
    Returns:
        (...) uint8 on the same device: round((x + 1) * 127.5).
    Raises:
        ValueError: a value is NaN or infinite. A diverged generator has no picture, and clamping would score it as one.
    """
    pixels = images.float() * 127.5 + 127.5
    broken = int((~torch.isfinite(pixels)).sum())
    if broken:
        raise ValueError(f"{broken} of {pixels.numel()} pixel values are NaN or infinite: the generator has diverged")
    return pixels.round().clamp(0, 255).to(torch.uint8)


def from_uint8(pixels: Tensor) -> Tensor:
    """Pixels as the networks see them; `to_uint8` gives back all 256 levels.

    Args:
        pixels: (...) uint8.
    Returns:
        (...) float32 in [-1, 1] on the same device: a new tensor.
    """
    return pixels.to(torch.float32).div_(127.5).sub_(1.0)


def as_inputs(made: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a condition has made, uint8 pictures and bool masks, as a generator is given it: float32."""
    return {name: from_uint8(value) if name == "condition" else value.to(torch.float32) for name, value in made.items()}


def unchanged(sources: Tensor, shape: Sequence[int]) -> Tensor:
    """What a translator that does nothing would give: the source as a picture of the target's shape.

    Args:
        sources: (B, C', H', W') uint8.
        shape: (C, H, W) of the targets.
    Returns:
        (B, C, H, W) uint8. Grey is repeated; smaller sources are enlarged by torch's bicubic kernel (a = -0.75, corners
        not aligned), rounded and clamped.
    Raises:
        ValueError: there is no such picture: colour for grey, another number of channels, or a larger source.
    """
    channels, height, width = shape
    given = tuple(sources.shape[1:])
    if given[0] not in (1, channels):
        raise ValueError(f"a source of {given[0]} channels is no picture of {channels}, as its target is")
    if given[1] > height or given[2] > width:
        raise ValueError(
            f"sources of {given[1]}x{given[2]} pixels are larger than their targets of {height}x{width}, and are "
            "enlarged only"
        )
    if given[1:] != (height, width):
        enlarged = torch.nn.functional.interpolate(
            sources.cpu().double(), size=(height, width), mode="bicubic", align_corners=False
        )
        sources = enlarged.round().clamp(0, 255).to(torch.uint8)
    return sources.expand(-1, channels, -1, -1)


def resize(pixels: Tensor, image_size: Sequence[int]) -> Tensor:
    """Bicubic with antialiasing, squeezed to the asked size; overshoot is clamped.

    Args:
        pixels: (N, C, H, W) uint8.
        image_size: (height, width) in pixels.
    Returns:
        (N, C, height, width) uint8; `pixels` itself where the size is right already.
    """
    height, width = image_size
    if tuple(pixels.shape[-2:]) == (height, width):
        return pixels
    resized = pixels.new_empty((*pixels.shape[:2], height, width))
    for first in range(0, len(pixels), RESIZE_BLOCK):  # float32 of a whole data set would not fit
        block = pixels[first : first + RESIZE_BLOCK].float()
        block = torch.nn.functional.interpolate(block, size=(height, width), mode="bicubic", antialias=True)
        resized[first : first + RESIZE_BLOCK] = block.round().clamp(0, 255).to(torch.uint8)
    return resized
