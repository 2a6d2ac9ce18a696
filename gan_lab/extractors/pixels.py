"""Images as published networks want them: channels, and the resizing of the library that published the numbers."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from gan_lab.extractors.base import without_alpha

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of images in [0, 1]
IMAGENET_STD = (0.229, 0.224, 0.225)


def to_channels(images: Tensor, channels: int) -> Tensor:
    """(B, C, H, W) uint8 with 1, 3 or 4 channels as (B, `channels`, H, W) uint8.

    Grey is repeated, colours are averaged and rounded, RGBA is laid over white; where alpha is wanted, it is opaque.
    """
    if images.shape[1] == channels:
        return images
    images = without_alpha(images)
    if channels == 1:
        return images.float().mean(dim=1, keepdim=True).round().to(torch.uint8)
    images = images.expand(-1, 3, -1, -1)
    return images if channels == 3 else torch.cat([images, torch.full_like(images[:, :1], 255)], dim=1)


def continuous(images: Tensor, channels: int, image_size: Sequence[int] | None) -> Tensor:
    """As `to_channels` and then `gan_lab.data.images.resize`, without rounding and clamping: with a gradient.

    Args:
        images: (B, C, H, W) floating point in [-1, 1], C 1, 3 or 4.
        channels: wanted.
        image_size: (height, width) wanted; None for as they are.
    Returns:
        (B, channels, height, width) of the same dtype.
    """
    if images.shape[1] != channels:
        if images.shape[1] == 4:
            alpha = (images[:, 3:] + 1) / 2
            images = images[:, :3] * alpha + (1 - alpha)
        images = images.mean(dim=1, keepdim=True) if channels == 1 else images.expand(-1, 3, -1, -1)
        if channels == 4:
            images = torch.cat([images, torch.ones_like(images[:, :1])], dim=1)
    if image_size is None or tuple(images.shape[2:]) == tuple(image_size):
        return images
    return interpolate(images, size=tuple(image_size), mode="bicubic", antialias=True)


def pillow_bicubic_float(images: Tensor, size: int) -> Tensor:
    """Each channel resized alone as a float image: clean-fid's "clean", which Parmar et al. 2022 propose.

    Args:
        images: (B, C, H, W) uint8 on any device.
        size: height and width wanted.
    Returns:
        (B, C, size, size) float32 in [0, 255], not rounded, on the same device.
    """
    planes = images.reshape(-1, *images.shape[2:]).cpu().numpy().astype(np.float32)
    resized = [Image.fromarray(plane).resize((size, size), Image.Resampling.BICUBIC) for plane in planes]
    stacked = torch.from_numpy(np.stack([np.asarray(plane) for plane in resized])).clamp_(0, 255)
    return stacked.view(*images.shape[:2], size, size).to(images.device)


def pillow_bicubic_uint8(images: Tensor, size: int) -> Tensor:
    """Pictures of 256 levels resized to pictures of 256 levels, as an image viewer does.

    Args:
        images: (B, 3, H, W) uint8 on any device.
        size: height and width wanted.
    Returns:
        (B, 3, size, size) uint8 on the same device.
    """
    pictures = images.permute(0, 2, 3, 1).cpu().contiguous().numpy()
    resized = [Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC) for picture in pictures]
    stacked = torch.from_numpy(np.stack([np.asarray(picture) for picture in resized]))
    return stacked.permute(0, 3, 1, 2).contiguous().to(images.device)


def tensorflow1_bilinear(images: Tensor, size: int) -> Tensor:
    """Bilinear as TensorFlow 1 did it: the first pixels' corners aligned, no antialiasing.

    Pixel i of the result lies at i * old / new between pixels of `images`; what lies beyond the last is the last.

    Args:
        images: (B, C, H, W) floating point.
        size: height and width wanted.
    """
    for dim in (3, 2):
        old = images.shape[dim]
        place = torch.arange(size, dtype=torch.float32, device=images.device) * (old / size)
        before = place.long()
        after = (before + 1).clamp_max(old - 1)
        share = (place - before).view(-1, 1) if dim == 2 else place - before
        lower = images.index_select(dim, before)
        images = lower + (images.index_select(dim, after) - lower) * share
    return images


def standardized(images: Tensor, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Tensor:
    """(B, C, H, W) minus each channel's mean, over its deviation."""
    shape = (1, len(mean), 1, 1)
    centre = torch.tensor(mean, device=images.device).view(shape)
    return (images - centre) / torch.tensor(deviation, device=images.device).view(shape)
