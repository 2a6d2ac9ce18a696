"""What augmentations share: numbers for each sample, pictures put together from their own pixels, colour and alpha."""

import torch
from torch import Tensor

from gan_lab.sampling import Draws


def check_pictures(images: Tensor, name: str) -> None:
    """Raise ValueError where `images` are not (B, C, H, W)."""
    if images.ndim != 4:
        raise ValueError(
            f"{name} changes pictures of shape (B, C, H, W), got {tuple(images.shape)}; leave it out of model.augment"
        )


def uniforms(draws: Draws, purpose: str, images: Tensor, count: int) -> tuple[Tensor, ...]:
    """`count` tensors (B, 1, 1, 1), uniform on [0, 1), of the type and on the device of `images`."""
    return _columns(draws.uniform(purpose, len(images), (count,)), images)


def uniforms_and_normals(
    draws: Draws, images: Tensor, *, uniform: tuple[str, int], normal: tuple[str, int]
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """As `uniforms`, and as many standard normal ones, each of (purpose, count): in one copy to the device."""
    on_cpu, count = draws.on_cpu(), len(images)
    drawn = [on_cpu.uniform(uniform[0], count, (uniform[1],)), on_cpu.normal(normal[0], count, (normal[1],))]
    columns = _columns(draws.send(torch.cat(drawn, dim=1)), images)
    return columns[: uniform[1]], columns[uniform[1] :]


def _columns(drawn: Tensor, images: Tensor) -> tuple[Tensor, ...]:
    return drawn.to(images.dtype).view(len(images), -1, 1, 1, 1).unbind(1)


def take(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixel (i, j) of sample b is the one at (rows[b, 0, i, j], columns[b, 0, i, j]).

    Args:
        images: (B, C, H, W).
        rows, columns: int64 within the picture, together broadcastable to (B, 1, h, w).
    Returns:
        (B, C, h, w).
    """
    places = rows * images.shape[3] + columns
    flat = places.expand(len(images), -1, -1, -1).flatten(2).expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, flat).unflatten(2, places.shape[2:])


def reflect(places: Tensor, size: int) -> Tensor:
    """Places, whole or not, folded into 0 .. size - 1 by mirrors at the centres of the first and the last pixel."""
    if size == 1:
        return torch.zeros_like(places)
    folded = places.remainder(2 * (size - 1))
    return torch.minimum(folded, 2 * (size - 1) - folded)


def split_alpha(images: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 1 or 3, H, W) of grey or colour, and (B, 0 or 1, H, W) of what is neither.

    Raises:
        ValueError: the pictures have other than 1, 3 or 4 channels.
    """
    channels = images.shape[1]
    if channels not in (1, 3, 4):
        raise ValueError(
            f"colours are changed in pictures of 1, 3 or 4 channels, got {channels}; leave them as they are"
        )
    kept = 3 if channels == 4 else channels
    return images[:, :kept], images[:, kept:]
