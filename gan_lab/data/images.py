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
